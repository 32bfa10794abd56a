"""Conversations with real models: on a terminal, in a pipe, stopped, killed, too long; every kind that writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from modelfetch.chat import ChatOptions, Talk, open_talk
from modelfetch.chat.settings import Defaults, Settings
from modelfetch.chat.state import State
from modelfetch.chat.talk import LeftOut, Replied, Told
from modelfetch.chat.unfolding import Part
from modelfetch.errors import SmokeError, UsageError
from tests.models import smollm2_folder, smollm2_gguf, tiny
from tests.terminal import CTRL_C, CTRL_D, Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

_ORACLE = """
import json, sys, torch, transformers
folder, question, chosen, seed = sys.argv[1:]
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
asked = tokenizer.apply_chat_template(
    [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
)
torch.manual_seed(int(seed))
written = model.generate(**asked, do_sample=True, **json.loads(chosen))[0, asked["input_ids"].shape[1] :]
print(json.dumps(tokenizer.decode(written, skip_special_tokens=True)))
"""
PARIS = "What is the capital of France? Answer in one sentence."
CHAT = [sys.executable, "-m", "modelfetch", "chat"]
SHORT = Settings(max_new_tokens=12)


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smollm2_folder(tmp_path_factory.mktemp("models") / "SmolLM2-135M-Instruct")


@contextmanager
def talking(folder: Path) -> Iterator[Talk]:
    talk = open_talk(folder, ChatOptions(device="cpu"), lambda report: None)
    try:
        yield talk
    finally:
        talk.close()


def ask(talk: Talk, state: State, question: str) -> tuple[State, list[Told]]:
    told = list(talk.ask(state, question))
    assert isinstance(told[-1], Replied)
    return replace(state, conversation=told[-1].conversation), told


def copied(model: Path, target: Path) -> Path:
    """The model with documents of its own and the same weights."""
    target.mkdir()
    for path in model.iterdir():
        if path.suffix == ".safetensors":
            (target / path.name).symlink_to(path)
        else:
            (target / path.name).write_bytes(path.read_bytes())
    return target


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_on_a_terminal_a_reply_is_stopped_and_the_conversation_goes_on(smollm2: Path) -> None:
    with Terminal([*CHAT, str(smollm2), "--device", "cpu"], os.environ) as terminal:
        terminal.wait_for("runs on the CPU in float32: it was asked for with --device cpu")
        terminal.wait_for("greedy: always the likeliest token")
        terminal.wait_for(">>>")
        terminal.enter(PARIS)
        terminal.wait_for("The capital of France is Paris.")
        terminal.wait_for("(8 tokens, ")
        terminal.enter("Tell me a long story about a dragon.")
        terminal.wait_for(" dragon is ")
        terminal.type(CTRL_C)
        terminal.wait_for("(stopped)")
        terminal.wait_for(">>>")
        terminal.enter("/clear")
        terminal.wait_for("forgotten: 2 exchanges")
        terminal.enter(PARIS)
        terminal.wait_for("The capital of France is Paris.")
        (child,) = psutil.Process(terminal.pid).children()
        child.kill()
        terminal.wait_for(">>>")
        terminal.enter(PARIS)
        terminal.wait_for("The capital of France is Paris.")
        terminal.wait_for(">>>")
        terminal.type(CTRL_D)
        assert terminal.wait_for_end() == 0


def test_in_a_pipe_only_the_answer_is_printed(smollm2: Path) -> None:
    done = subprocess.run([*CHAT, str(smollm2)], input=PARIS, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "The capital of France is Paris.\n", "")


def test_a_real_gguf_file_talks(tmp_path: Path) -> None:
    (tmp_path / smollm2_gguf().name).symlink_to(smollm2_gguf())
    done = subprocess.run([*CHAT, str(tmp_path)], input=PARIS, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Paris" in done.stdout


def test_what_is_remembered_changes_no_reply_and_a_seed_gives_the_same_again(smollm2: Path) -> None:
    questions = (PARIS, "And of Germany?", "And of Italy?")
    with talking(smollm2) as talk:
        state = State(talk.load(), settings=Settings(max_new_tokens=24))
        states = [state]
        for question in questions:
            state, _ = ask(talk, state, question)
            states.append(state)
        assert "Berlin" in state.conversation.exchanges[1].answer
        # Each again after something else, so that nothing of the conversation before it is remembered.
        for before, after, question in zip(states, states[1:], questions, strict=False):
            ask(talk, replace(states[0], settings=SHORT), "Something else.")
            again, _ = ask(talk, before, question)
            assert again.conversation == after.conversation
        sampled = replace(states[0], settings=Settings(temperature=1.5, seed=7, max_new_tokens=24))
        answers = [ask(talk, sampled, "Tell me a story.")[0].conversation.exchanges[0].answer for _ in range(2)]
        assert answers[0] == answers[1]
        other = replace(sampled, settings=replace(sampled.settings, seed=8))
        assert ask(talk, other, "Tell me a story.")[0].conversation.exchanges[0].answer != answers[0]


def test_a_parameter_means_what_it_means_to_transformers(smollm2: Path) -> None:
    chosen = {"temperature": 0.7, "top_p": 0.9, "top_k": 20, "max_new_tokens": 24}
    with talking(smollm2) as talk:
        state = State(talk.load(), settings=Settings(seed=3, **chosen))  # type: ignore[arg-type]  # names with their values
        answer = ask(talk, state, "Tell me a story.")[0].conversation.exchanges[0].answer
    command = [sys.executable, "-W", "ignore", "-c", _ORACLE, str(smollm2), "Tell me a story.", json.dumps(chosen), "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert answer == json.loads(done.stdout).strip()


def test_what_nobody_says_is_what_transformers_does() -> None:
    from transformers import GenerationConfig

    said = Settings().sampling(Defaults(do_sample=True))
    its_own = GenerationConfig._get_default_generation_params()
    assert {name: getattr(said, name) for name in ("temperature", "top_p", "top_k")}.items() <= its_own.items()


def test_what_the_model_cannot_read_is_left_out_with_the_numbers_and_refused_where_nothing_is_left(
    tmp_path: Path,
) -> None:
    folder = tiny("chat", tmp_path / "short")
    change_json(folder / "config.json", max_position_embeddings=96)
    with talking(folder) as talk:
        state = State(talk.load(), settings=SHORT)
        assert state.model.context_tokens == 96
        left_out: list[LeftOut] = []
        for number in range(6):
            state, told = ask(talk, state, f"question {number}")
            left_out += [each for each in told if isinstance(each, LeftOut)]
        assert left_out
        assert all(each.prompt_tokens + 12 > each.context_tokens == 96 for each in left_out)
        assert sum(each.exchanges for each in left_out) == state.conversation.left_out
        with pytest.raises(UsageError, match=r"it has \d+ tokens, and the model can read 96 with its reply"):
            ask(talk, state, "a very long question " * 20)
        ask(talk, state, "short")


def test_a_base_model_goes_on_from_plain_text_and_says_so(tmp_path: Path) -> None:
    folder = tiny("base", tmp_path / "base")
    done = subprocess.run(
        [*CHAT, str(folder), "--max-new-tokens", "5"], input=b"Once upon", capture_output=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout
    assert b"it has no chat template" in done.stderr


@pytest.mark.parametrize("kind", ["base", "old_base", "vision"])
def test_every_kind_that_writes_can_be_talked_with(kind: str, tmp_path: Path) -> None:
    with talking(tiny(kind, tmp_path / kind)) as talk:
        state = State(talk.load(), settings=SHORT)
        for question in ("One", "Two 好"):
            state, told = ask(talk, state, question)
            ended = told[-1]
            assert isinstance(ended, Replied)
            assert 1 <= ended.ended.new_tokens <= 12


@pytest.mark.parametrize("kind", ["embedding", "classifier", "spans"])
def test_a_kind_that_is_not_for_talking_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no model that writes"), talking(tiny(kind, tmp_path / kind)):
        pass


def test_thinking_is_switched_by_the_template_and_not_told_again(tmp_path: Path) -> None:
    folder = tiny("chat", tmp_path / "thinks")
    template = (
        "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant:"
        "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% else %}<think>{% endif %}"
    )
    (folder / "chat_template.jinja").write_text(template)
    with talking(folder) as talk:
        state = State(talk.load(), settings=SHORT)
        assert state.model.thinking_switch
        _, told = ask(talk, state, "Hi")
        # The prompt opened the thinking, and noise does not close it.
        assert all(each.thinking for each in told if isinstance(each, Part))
        _, told = ask(talk, replace(state, thinking=False), "Hi")
        assert not any(each.thinking for each in told if isinstance(each, Part))


def test_a_tokenizer_that_says_what_is_thinking_is_believed(tmp_path: Path) -> None:
    folder = tiny("chat", tmp_path / "says")
    region = {"open_pattern": "assistant\n", "close": "what no noise holds", "content": "text"}
    change_json(
        folder / "tokenizer_config.json",
        response_template={"start_anchor": "<|im_start|>", "fields": {"thinking": region}},
    )
    with talking(folder) as talk:
        _, told = ask(talk, State(talk.load(), settings=SHORT), "Hi")
        assert isinstance(told[-1], Replied)
        parts = [each for each in told if isinstance(each, Part)]
        assert parts
        assert all(each.thinking for each in parts)
        assert (told[-1].reply.answer, told[-1].reply.finished) == ("", False)


def test_a_stop_string_of_the_models_own_ends_a_reply(smollm2: Path, tmp_path: Path) -> None:
    folder = copied(smollm2, tmp_path / "stops")
    change_json(folder / "generation_config.json", stop_strings=["France"])
    with talking(folder) as talk:
        _, told = ask(talk, State(talk.load(), settings=SHORT), PARIS)
        assert isinstance(told[-1], Replied)
        assert told[-1].ended.why == "stop string"
        assert told[-1].reply.answer == "The capital of France"


def test_a_template_that_refuses_costs_one_question(tmp_path: Path) -> None:
    folder = tiny("chat", tmp_path / "refuses")
    (folder / "chat_template.jinja").write_text(
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{{ messages[-1]['content'] }}"
    )
    with talking(folder) as talk:
        state = State(talk.load(), settings=SHORT)
        strict = replace(state, conversation=state.conversation.with_system("Be kind."))
        with pytest.raises(SmokeError, match="rendering the chat template: System role not supported"):
            ask(talk, strict, "Hi")
        ask(talk, state, "Hi")


def test_a_template_without_end_is_left_by_ctrl_c(tmp_path: Path) -> None:
    folder = tiny("chat", tmp_path / "endless")
    (folder / "chat_template.jinja").write_text(
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{{ messages[-1]['content'] }}"
    )
    with talking(folder) as talk:
        state = State(talk.load())

        # As a signal does, in the middle of the wait for what never comes.
        def interrupt(number: int, frame: object) -> None:
            talk.interrupt()
            talk.interrupt()

        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        try:
            with pytest.raises(SmokeError, match="ended together with the process"):
                ask(talk, state, "Hi")
        finally:
            signal.signal(signal.SIGALRM, before)


def test_code_of_the_model_runs_only_with_consent(tmp_path: Path) -> None:
    folder = tiny("base", tmp_path / "own")
    marker = tmp_path / "it-ran"
    (folder / "modeling_own.py").write_text(
        f"open({str(marker)!r}, 'w').close()\n"
        "import sys\n"
        "assert sys.stdin.read() == ''\n"
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own'\n"
        "class OwnForCausalLM(LlamaForCausalLM):\n    config_class = OwnConfig\n"
    )
    auto_map = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
    change_json(folder / "config.json", model_type="own", architectures=["OwnForCausalLM"], auto_map=auto_map)
    with pytest.raises(UsageError, match="it needs Python code") as raised, talking(folder):
        pass
    assert "modeling_own.py" in raised.value.facts
    assert not marker.exists()
    talk = open_talk(folder, ChatOptions(device="cpu", trust_remote_code=True), lambda report: None)
    try:
        ask(talk, State(talk.load(), settings=SHORT), "Hi")
    finally:
        talk.close()
    assert marker.exists()


def test_weights_that_are_missing_are_said(tmp_path: Path) -> None:
    folder = tiny("chat", tmp_path / "lacking")
    change_json(folder / "config.json", num_hidden_layers=3, layer_types=["full_attention"] * 3)
    done = subprocess.run([*CHAT, str(folder)], input="Hi", capture_output=True, text=True, check=False)
    assert "of its weights are missing or have another shape" in done.stderr


def test_a_device_that_is_not_there_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    folder = tiny("chat", tmp_path / "chat")
    command = [*CHAT, str(folder), "--device", "cuda:97"]
    done = subprocess.run(command, input="Hi", capture_output=True, text=True, check=False)
    assert done.returncode == SmokeError.exit_status
    assert "`cuda:97` cannot be used: " in done.stderr
