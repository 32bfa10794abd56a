"""What is said besides a reply: where the model runs, why a reply is empty or not whole, and how fast it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelfetch.chat import remarks
from modelfetch.chat.conversation import Conversation
from modelfetch.chat.failures import ended, reported
from modelfetch.chat.process import Ending
from modelfetch.chat.protocol import WRITING, Ended, Raised, Ready
from modelfetch.chat.settings import Defaults
from modelfetch.chat.state import State
from modelfetch.chat.talk import LeftOut, Replied
from modelfetch.model.isolation import last_words
from modelfetch.model.placement import DoesNotFit, Placed
from modelfetch.model.thinking import Reply

MODEL = Ready(Defaults(do_sample=True, temperature=0.6), template=True, thinking_switch=True, context_tokens=2048)
ENDED = Ended(1, "end of text", 21, 0.26, 2.0)
DIED = Ending(exit_status=-9, signal="SIGKILL", for_memory=False, garbled=False, log="")


def about(reply: Reply, why: str = "end of text", *, in_pipe: bool = False, model: Ready = MODEL) -> list[str]:
    return list(remarks.about_reply(Replied(Conversation(), reply, replace(ENDED, why=why)), model, in_pipe=in_pipe))


def test_a_conversation_begins_with_where_the_model_runs_why_and_how_it_chooses() -> None:
    placed = Placed("cpu", "a CPU", "this torch was built without CUDA", "float32", "exact")
    assert list(remarks.greeting("own/name", placed, State(MODEL)))[:2] == [
        "own/name runs on the CPU in float32: this torch was built without CUDA",
        "sampling: temperature 0.6, top_p 1, top_k 50",
    ]
    on_gpu = Placed("cuda:0", "NVIDIA H100", "torch can use this GPU", "bfloat16", "so stored")
    assert "runs on cuda:0 (NVIDIA H100) in bfloat16" in next(iter(remarks.greeting("own/name", on_gpu, State(MODEL))))


def test_a_sound_chat_model_comes_with_no_warning() -> None:
    assert list(remarks.warnings("own/name", State(MODEL, Conversation("Be kind.")))) == []


def test_what_is_odd_about_a_model_is_said_before_the_first_word() -> None:
    odd = replace(MODEL, template=False, missing_weights=9)
    said = " ".join(remarks.warnings("own/name", State(odd, Conversation("Be kind."))))
    assert "9 of its weights are missing" in said
    assert "modelfetch smoke own/name" in said
    assert "no chat template" in said
    assert "no place for a system prompt" in said


def test_a_whole_answer_needs_no_remark() -> None:
    assert about(Reply("Hm.", "Yes.")) == []


@pytest.mark.parametrize(
    ("reply", "why", "words"),
    [
        (Reply(None, "Once"), "stop", "stopped"),
        (Reply(None, ""), "stop", "the question is forgotten"),
        (Reply(None, ""), "end of text", "without a word"),
        (Reply("Hm.", ""), "end of text", "the model thought and ended its turn without an answer"),
        (Reply(None, "Once"), "length", "cut off after 21 tokens: /set max_new_tokens 84"),
        (Reply("Hm.", "", finished=False), "length", "still thinking when its 21 tokens ran out"),
    ],
)
def test_what_a_reply_lacks_is_said_in_one_sentence(reply: Reply, why: str, words: str) -> None:
    (remark,) = about(reply, why)
    assert words in remark


def test_thinking_is_told_to_be_switched_off_only_where_it_can_be() -> None:
    for reply, why in ((Reply("Hm.", "", finished=False), "length"), (Reply("Hm.", ""), "end of text")):
        assert "/think off" in about(reply, why)[0]
        assert "/think off" not in about(reply, why, model=replace(MODEL, thinking_switch=False))[0]
        assert "/think off" not in about(reply, why, in_pipe=True)[0]


def test_in_a_pipe_options_are_named_and_no_commands() -> None:
    for reply, why in (
        (Reply(None, "Once"), "length"),
        (Reply(None, ""), "end of text"),
        (Reply("Hm.", "", False), "length"),
    ):
        (remark,) = about(reply, why, in_pipe=True)
        assert " --" in remark
        assert "/set" not in remark
        assert "/think" not in remark


def test_what_was_left_out_is_said_with_numbers() -> None:
    assert remarks.left_out(LeftOut(1, 2130, 2048)) == (
        "the conversation had 2,130 tokens, and the model reads 2,048 with its reply: the oldest exchange is no longer "
        "told to it"
    )
    assert "3 oldest exchanges are no longer told" in remarks.left_out(LeftOut(3, 2130, 2048))


def test_speed_counts_the_tokens_after_the_first_and_one_token_has_none() -> None:
    assert remarks.speed(ENDED) == "21 tokens, 10.0 tokens/s, the first after 0.3 s"
    assert remarks.speed(replace(ENDED, new_tokens=1)) is None
    assert remarks.speed(replace(ENDED, decode_s=0.0)) is None


def test_whoever_was_killed_is_told_from_who_crashed_and_from_who_left() -> None:
    assert "most often the kernel does" in ended(DIED, "own/name", WRITING).message
    assert "the kernel did, for want of memory" in ended(replace(DIED, for_memory=True), "own/name", WRITING).message
    crashed = ended(replace(DIED, exit_status=-11, signal="SIGSEGV", log="Fatal\n  File\n"), "own/name", "load")
    assert "crashed with SIGSEGV while load" in crashed.message
    assert crashed.facts["last lines"] == "Fatal"
    assert "status 3" in ended(replace(DIED, exit_status=3, signal=None), "own/name", "load").message


def test_memory_that_runs_out_in_a_reply_is_told_from_weights_that_do_not_fit() -> None:
    short = DoesNotFit("cuda:0", 10**10, 10**9, "load")
    assert reported(short, "own/name").facts["needed"] == "10.0 GB for the weights alone"
    in_reply = reported(replace(short, phase=WRITING), "own/name")
    assert "memory ran out on `cuda:0`" in in_reply.message
    assert "/clear" in str(in_reply.hint)


def test_an_error_is_its_first_line() -> None:
    error = reported(Raised("load", "OSError", "no such file\nand a page about it"), "own/name")
    assert error.message == "`own/name` failed while load: no such file"


def test_of_a_crash_those_lines_are_kept_that_name_it() -> None:
    crash = (
        "loading\n\nFatal Python error: Aborted\n\nCurrent thread 0x00007f (most recent call first):\n"
        '  File "x.py", line 1\n\nExtension modules: numpy.core, torch._C (total: 2)\n'
    )
    assert last_words(crash) == "loading\nFatal Python error: Aborted"
    assert last_words("a\nb\nc\nd\n") == "b\nc\nd"
    assert last_words("") == ""
