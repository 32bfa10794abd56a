"""What commands make of a conversation, and what of it the model is told. No model is run here."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.chat.commands import COMMANDS, Clear, Help, Set, SetSystem, ShowSettings, Think, Wrong
from modelfetch.chat.conversation import Conversation, Exchange, Message
from modelfetch.chat.protocol import Ready
from modelfetch.chat.settings import PARAMETERS, Defaults, Settings
from modelfetch.chat.state import State, obey, saved

MODEL = Ready(Defaults(), template=True, thinking_switch=True, context_tokens=2048)
TALK = (
    Conversation("Be kind.").after(Exchange("Hi", "Hello.", "They greet.")).after(Exchange("And?", "Well.", cut=True))
)
STATE = State(MODEL, TALK)

exchanges = st.builds(Exchange, st.text(), st.text(min_size=1), st.none() | st.text())
conversations = st.builds(
    lambda system, given_: Conversation(system, tuple(given_)), st.none() | st.text(), st.lists(exchanges)
)


def test_the_model_is_told_everything_but_its_thoughts() -> None:
    assert TALK.messages("Why?") == (
        Message("system", "Be kind."),
        Message("user", "Hi"),
        Message("assistant", "Hello."),
        Message("user", "And?"),
        Message("assistant", "Well."),
        Message("user", "Why?"),
    )


@given(conversations)
def test_after_the_system_prompt_user_and_assistant_take_turns(conversation: Conversation) -> None:
    roles = [message.role for message in conversation.messages("?")]
    if roles[0] == "system":
        del roles[0]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]


def test_a_question_without_an_answer_leaves_nothing_behind() -> None:
    assert TALK.after(Exchange("Eh?", "", "Hm.")) == TALK


@given(conversations)
def test_the_oldest_exchanges_are_left_out_one_by_one_and_the_system_prompt_never(conversation: Conversation) -> None:
    told = len(conversation.exchanges)
    shorter: Conversation | None = conversation
    while shorter is not None:
        messages = shorter.messages("?")
        assert len(messages) == bool(conversation.system) + 2 * told + 1
        assert messages[-2 * told - 1 :] == conversation.messages("?")[-2 * told - 1 :]
        assert shorter.exchanges == conversation.exchanges
        shorter, told = shorter.shortened(), told - 1
    assert told == -1


def test_what_is_forgotten_is_told_again_to_nobody_and_the_rest_stays() -> None:
    state = replace(STATE, settings=Settings(seed=7), thinking=False)
    obeyed = obey(state, Clear())
    assert obeyed.state == replace(state, conversation=Conversation("Be kind."))
    assert obeyed.lines == ("forgotten: 2 exchanges",)


def test_a_conversation_that_was_shortened_begins_anew_when_it_is_forgotten() -> None:
    shortened = TALK.shortened()
    assert shortened is not None
    assert shortened.cleared().after(Exchange("a", "b")).messages("?")[1] == Message("user", "a")


def test_a_system_prompt_is_set_shown_and_taken_away() -> None:
    changed = obey(STATE, SetSystem("Be brief.")).state
    assert changed.conversation.messages("?")[0] == Message("system", "Be brief.")
    assert changed.conversation.exchanges == TALK.exchanges
    assert obey(changed, SetSystem(None)).lines == ("Be brief.",)
    without = obey(changed, SetSystem("")).state
    assert without.conversation.messages("?")[0].role == "user"
    assert "no system prompt" in obey(without, SetSystem(None)).lines[0]


def test_a_model_without_a_template_has_no_place_for_a_system_prompt() -> None:
    state = replace(STATE, model=replace(MODEL, template=False))
    assert obey(state, SetSystem("x")).state == state


def test_thinking_is_switched_where_the_template_knows_how() -> None:
    assert obey(STATE, Think(on=False)).state.thinking is False
    assert obey(STATE, Think(on=True)).state.thinking is True
    state = replace(STATE, model=replace(MODEL, thinking_switch=False))
    obeyed = obey(state, Think(on=True))
    assert obeyed.state == state
    assert "no switch for thinking" in obeyed.lines[0]


def test_a_parameter_is_set_and_what_it_comes_to_is_said() -> None:
    obeyed = obey(STATE, Set("temperature", "0.7"))
    assert obeyed.state.settings == Settings(temperature=0.7)
    assert obeyed.lines == ("temperature is 0.7; sampling: temperature 0.7, top_p 1, top_k 50",)
    assert obey(STATE, Set("temperature", "0")).lines == ("temperature is 0; greedy: always the likeliest token",)


@pytest.mark.parametrize("wrong", [Set("temperature", "-1"), Set("heat", "1")])
def test_a_parameter_that_cannot_be_changes_nothing_and_says_what_could(wrong: Set) -> None:
    obeyed = obey(STATE, wrong)
    assert obeyed.state == STATE
    assert any("expected" in line for line in obeyed.lines)


def test_every_parameter_is_shown_with_whose_it_is() -> None:
    own = replace(MODEL, defaults=Defaults(do_sample=True, temperature=0.6))
    lines = obey(replace(STATE, model=own, settings=Settings(top_p=0.5)), ShowSettings()).lines
    assert [line.split()[0] for line in lines[:-1]] == list(PARAMETERS)
    assert lines[0].endswith("(the model's own)")
    assert lines[1].endswith("(set here)")
    assert all(line.endswith("(by default)") for line in lines[2:-1])
    assert lines[-1] == "sampling: temperature 0.6, top_p 0.5, top_k 50"


def test_help_shows_every_command_with_its_meaning() -> None:
    lines = obey(STATE, Help()).lines
    assert [line.partition("  ")[0].strip() for line in lines] == list(COMMANDS)


def test_what_was_not_understood_is_answered_and_changes_nothing() -> None:
    assert obey(STATE, Wrong("no")).lines == ("no",)


def test_what_is_saved_has_every_message_also_those_that_the_model_is_no_longer_told() -> None:
    shortened = TALK.shortened()
    assert shortened is not None
    document = saved(replace(STATE, conversation=shortened, settings=Settings(seed=3)), "own/name")
    assert document["model"] == "own/name"
    assert document["settings"]["seed"] == 3
    assert document["messages"][:3] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
    ]
    assert len(document["messages"]) == 5
    assert document["thoughts"] == ["They greet.", None]
