"""`modelfetch chat` on a terminal and in a pipe, with a stand-in for the child: everything but a model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from modelfetch.errors import INTERRUPTED
from tests.conftest import safetensors_bytes
from tests.terminal import CTRL_C, CTRL_D, Terminal

ROOT = Path(__file__).parents[2]
MODEL = {
    "config.json": b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}',
    "tokenizer_config.json": b'{"chat_template": "{{ messages }}"}',
    "tokenizer.json": b"{}",
    "model.safetensors": safetensors_bytes({"a": b"12345678"}),
}
# What the stand-in replies is what it is asked, and a few words are orders to it.
CHILD = """
import os, signal, sys, time
from modelfetch.chat.protocol import *
from modelfetch.chat.settings import Defaults
from modelfetch.model.placement import *
channel = os.fdopen(int(sys.argv[1]), "wb", buffering=0)
def say(*reports):
    for report in reports:
        channel.write(to_line(report))
def hear():
    return from_line(sys.stdin.buffer.readline() or os._exit(0))
hear()
say(Started("load"), Placed("cpu", "a CPU", "this torch was built without CUDA", "float32", "exact"))
say(Ready(Defaults(), True, True, 100))
while True:
    ask = hear()
    if isinstance(ask, Stop):
        continue
    n, text = ask.number, ask.messages[-1].content
    say(Began(n, "", 3))
    def write(*texts):
        say(*(Wrote(n, each, False) for each in texts))
    if text == "die":
        write("dying ")
        os.kill(os.getpid(), signal.SIGKILL)
    elif text == "endless":
        write("once upon a time ")
        while hear() != Stop(n):
            pass
        say(Ended(n, "stop", 4, 0.1, 1.0))
    elif text == "deaf":
        write("I write. ")
        hear()
        write("I do not stop.")
        time.sleep(600)
    elif text == "empty":
        say(Ended(n, "end of text", 1, 0.1, 0.0))
    elif text == "think":
        write("<think>", "Hm, hm.", "</think>", "Yes.")
        say(Ended(n, "end of text", 4, 0.1, 1.0))
    elif text == "late":
        write("Hm, hm.", "</think>", "Yes.")
        say(Ended(n, "end of text", 3, 0.1, 1.0))
    elif text == "long thought":
        write("<think>", "Hm.")
        say(Ended(n, "length", 1024, 0.1, 1.0))
    elif text == "escape":
        write("a\\x1b[2J\\x07b\\r\\nc\\x9bd")
        say(Ended(n, "end of text", 4, 0.1, 1.0))
    elif text == "told":
        write(" | ".join(f"{each.role}: {each.content}" for each in ask.messages))
        write(f" | {ask.thinking} {ask.sampling.temperature} {ask.sampling.seed}")
        say(Ended(n, "end of text", 5, 0.1, 1.0))
    else:
        write("You said: ", text)
        say(Ended(n, "end of text", 5, 0.1, 2.0))
"""
MAIN = """
import sys
import modelfetch.chat.process
modelfetch.chat.process.CHILD = "stand_in"
if sys.argv.pop(1) == "plain":
    sys.modules["prompt_toolkit"] = None
from modelfetch.cli import main
main()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in MODEL.items():
        (tmp_path / "model" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "model" / name).write_bytes(content)
    (tmp_path / "stand_in.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    return tmp_path / "model"


def command(folder: Path, *options: str, editing: bool = True) -> list[str]:
    return [sys.executable, "-c", MAIN, "edited" if editing else "plain", "chat", str(folder), *options]


@pytest.fixture
def terminal(folder: Path) -> Iterator[Terminal]:
    with Terminal(command(folder), os.environ) as terminal:
        terminal.wait_for("Ctrl-D leaves")
        terminal.wait_for(">>>")
        yield terminal


def piped(folder: Path, text: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(folder, *options), input=text, capture_output=True, check=False)


# ---- in a pipe


def test_in_a_pipe_only_the_answer_is_printed(folder: Path) -> None:
    done = piped(folder, "你好\nand more\n".encode())
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, "You said: 你好\nand more\n", b"")


def test_in_a_pipe_nothing_is_a_command_and_thinking_is_not_printed(folder: Path) -> None:
    assert piped(folder, b"/exit").stdout == b"You said: /exit\n"
    done = piped(folder, b"think")
    assert (done.stdout, done.stderr) == (b"Yes.\n", b"")


def test_a_pipe_gets_every_byte(folder: Path) -> None:
    assert piped(folder, b"escape").stdout == b"a\x1b[2J\x07b\r\nc\xc2\x9bd\n"


def test_in_a_pipe_an_empty_answer_is_explained_beside_it(folder: Path) -> None:
    done = piped(folder, b"empty")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"without a word" in done.stderr
    assert b"--temperature 0.7" in done.stderr


def test_options_are_what_the_model_is_told(folder: Path) -> None:
    done = piped(folder, b"told", "--system", "Be kind.", "--temperature", "0.5", "--seed", "3")
    assert done.stdout == b"system: Be kind. | user: told | None 0.5 3\n"


def test_nothing_to_answer_is_a_usage_error(folder: Path) -> None:
    done = piped(folder, b" \n")
    assert done.returncode == 2
    assert b"nothing on stdin" in done.stderr


def test_a_child_that_dies_in_a_pipe_is_a_failure_with_its_status(folder: Path) -> None:
    done = piped(folder, b"die")
    assert (done.returncode, done.stdout) == (10, b"dying")
    assert done.stderr.startswith(b"error: the process that held")
    assert b"Traceback" not in done.stderr


def test_bytes_that_are_no_text_are_no_failure(folder: Path) -> None:
    assert piped(folder, b"a\xff").stdout.decode() == "You said: a\ufffd\n"


def test_ctrl_c_in_a_pipe_ends_it_all(folder: Path) -> None:
    with subprocess.Popen(command(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"endless")
        process.stdin.close()
        assert process.stdout.read(4) == b"once"
        children = psutil.Process(process.pid).children()
        process.send_signal(2)
        assert process.wait() == INTERRUPTED
    assert not [child for child in children if child.is_running()]


# ---- on a terminal


def test_a_conversation_goes_on_until_it_is_left(terminal: Terminal) -> None:
    terminal.enter("Hello")
    terminal.wait_for("You said: Hello")
    terminal.wait_for("(5 tokens, 2.0 tokens/s, the first after 0.1 s)")
    terminal.enter("told")
    terminal.wait_for("user: Hello | assistant: You said: Hello | user: told")
    terminal.enter("/exit")
    assert terminal.wait_for_end() == 0


def test_it_says_at_once_where_the_model_runs_and_why(folder: Path) -> None:
    with Terminal(command(folder, "--temperature", "0.7"), os.environ) as terminal:
        terminal.wait_for(f"{folder} runs on the CPU in float32: this torch was built without CUDA")
        terminal.wait_for("sampling: temperature 0.7")


def test_commands_change_what_the_model_is_told_next(terminal: Terminal) -> None:
    for line, answer in (
        ("/system Be kind.", "the system prompt is set"),
        ("/think off", "thinking is off"),
        ("/set temperature 0.5", "temperature is 0.5; sampling"),
        ("/set temperature 500", "a number from 0 to 100"),
        ("/nope", "is no command"),
        ("/help", "/save FILE"),
    ):
        terminal.enter(line)
        terminal.wait_for(answer)
        terminal.wait_for(">>>")
    terminal.enter("told")
    terminal.wait_for("system: Be kind. | user: told | False 0.5 None")
    terminal.enter("/clear")
    terminal.wait_for("forgotten: 1 exchange")


def test_ctrl_c_stops_the_reply_and_not_the_program(terminal: Terminal) -> None:
    terminal.enter("endless")
    terminal.wait_for("once upon a time")
    terminal.type(CTRL_C)
    terminal.wait_for("(stopped)")
    terminal.enter("told")
    terminal.wait_for("user: endless | assistant: once upon a time | user: told")


def test_what_is_typed_while_a_reply_is_written_is_not_shown_in_it_and_comes_next(terminal: Terminal) -> None:
    terminal.enter("endless")
    terminal.wait_for("once upon a time")
    terminal.type("told\n")
    os.kill(terminal.pid, signal.SIGINT)
    assert "told" not in terminal.wait_for("(stopped)")
    terminal.wait_for("user: endless | assistant: once upon a time | user: told")


def test_on_a_narrow_terminal_nothing_is_broken_inside_a_word(folder: Path) -> None:
    columns = 40
    with Terminal(command(folder), os.environ, (60, columns)) as terminal:
        terminal.wait_for(">>>")
        terminal.enter("/help")
        shown = terminal.wait_for("so does Ctrl-D")
    lines = [line.strip("\r") for line in shown.split("\n")]
    assert "/set NAME VALUE  set a parameter, such" in lines
    assert max(map(len, lines)) < columns
    loading = [line for line in terminal.raw.split("\r\x1b[K") if "loading the weights" in line or line.endswith("…")]
    assert loading, "what is waited for is shown"


def test_a_second_ctrl_c_ends_what_does_not_stop_and_the_next_message_loads_it_again(terminal: Terminal) -> None:
    terminal.enter("deaf")
    terminal.wait_for("I write.")
    terminal.type(CTRL_C)
    terminal.wait_for("I do not stop.")
    terminal.type(CTRL_C)
    terminal.wait_for("error: the reply was ended together with the process")
    terminal.wait_for("your next message loads the model again")
    terminal.enter("Hello")
    terminal.wait_for("You said: Hello")


def test_a_child_that_dies_costs_one_question(terminal: Terminal) -> None:
    terminal.enter("Hello")
    terminal.wait_for("You said: Hello")
    terminal.enter("die")
    terminal.wait_for("error: the process that held")
    terminal.wait_for("your next message loads the model again")
    terminal.enter("told")
    terminal.wait_for("user: Hello | assistant: You said: Hello | user: told")


def test_at_the_prompt_ctrl_c_empties_the_line_and_two_more_leave(terminal: Terminal) -> None:
    terminal.type("half a li")
    terminal.wait_for("half a li")
    terminal.type(CTRL_C)
    terminal.enter("Hello")
    terminal.wait_for("You said: Hello")
    terminal.wait_for(">>>")
    terminal.type(CTRL_C)
    terminal.wait_for("Ctrl-C again leaves")
    terminal.wait_for(">>>")
    terminal.enter("Hello")
    terminal.wait_for("You said: Hello")
    terminal.wait_for(">>>")
    terminal.type(CTRL_C)
    terminal.wait_for("Ctrl-C again leaves")
    terminal.wait_for(">>>")
    terminal.type(CTRL_C)
    assert terminal.wait_for_end() == 0


def test_ctrl_d_leaves_and_no_child_is_left(terminal: Terminal) -> None:
    children = psutil.Process(terminal.pid).children(recursive=True)
    assert children
    terminal.type(CTRL_D)
    assert terminal.wait_for_end() == 0
    assert not [child for child in children if child.is_running()]


def test_a_terminals_commands_are_shown_and_not_sent(terminal: Terminal) -> None:
    terminal.enter("escape")
    terminal.wait_for("tokens/s")
    reply = terminal.raw.rpartition("a\\x1b")[2]
    assert reply.startswith("[2J\\x07b\r\nc\\x9bd")


def test_thinking_is_dimmed_and_apart_from_the_answer(terminal: Terminal) -> None:
    terminal.enter("think")
    terminal.wait_for("(thinking) Hm, hm.")
    terminal.wait_for("Yes.")
    assert "\x1b[2m(thinking) Hm, hm.\x1b[0m" in terminal.raw


def test_with_no_color_nothing_is_dimmed_and_the_words_say_what_it_is(folder: Path) -> None:
    with Terminal(command(folder), {**os.environ, "NO_COLOR": "1"}) as terminal:
        terminal.wait_for(">>>")
        terminal.enter("think")
        terminal.wait_for("(thinking) Hm, hm.")
        terminal.wait_for("tokens/s")
        assert "\x1b[2m" not in terminal.raw
        assert "\r\x1b[K" in terminal.raw, "what clears a line is no colour"


def test_an_answer_that_turns_out_to_have_been_thinking_is_told_and_is_no_answer(terminal: Terminal) -> None:
    terminal.enter("late")
    assert "Hm, hm." in terminal.wait_for("(all of that was thinking)")
    terminal.wait_for("Yes.")
    terminal.enter("told")
    terminal.wait_for("user: late | assistant: Yes. | user: told")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("empty", "the model ended its turn without a word"),
        ("long thought", "still thinking when its 1024 tokens ran out: /set max_new_tokens 4096, or /think off"),
    ],
)
def test_an_empty_reply_is_answered_with_a_sentence_and_forgotten(text: str, sentence: str, terminal: Terminal) -> None:
    terminal.enter(text)
    terminal.wait_for(sentence)
    terminal.enter("told")
    terminal.wait_for("user: told | None 1.0 None")


def test_chinese_and_long_lines_arrive_as_they_were_typed(terminal: Terminal) -> None:
    line = "你好，世界。" * 40 + "🔥"
    terminal.enter(line)
    terminal.wait_for(f"You said: {line}")


def test_a_conversation_is_saved_over_no_file_but_its_own(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    terminal.enter("Hello")
    terminal.wait_for("tokens/s")
    for name, answer in (("there", "is there already"), ("no/folder", "cannot be written"), ("talk.json", "saved to")):
        terminal.enter(f"/save {tmp_path / name}")
        terminal.wait_for(answer)
    terminal.enter("More")
    terminal.wait_for("tokens/s")
    terminal.enter(f"/save {tmp_path / 'talk.json'}")
    terminal.wait_for("saved to")
    messages = json.loads((tmp_path / "talk.json").read_text(encoding="utf-8"))["messages"]
    assert [each["content"] for each in messages] == ["Hello", "You said: Hello", "More", "You said: More"]
    assert (tmp_path / "there").read_text() == "mine"
    names = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}
    assert names == {"model", "stand_in.py", "talk.json", "there"}


def test_without_prompt_toolkit_plain_lines_do(folder: Path) -> None:
    with Terminal(command(folder, editing=False), os.environ) as terminal:
        terminal.wait_for(">>>")
        terminal.enter("Hello")
        terminal.wait_for("You said: Hello")
        terminal.wait_for(">>>")
        terminal.type(CTRL_C)
        terminal.wait_for("Ctrl-C again leaves")
        terminal.wait_for(">>>")
        terminal.type(CTRL_D)
        assert terminal.wait_for_end() == 0


# ---- refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--temperature", "-1"], "a number from 0 to 100"),
        (["--top-p", "2"], "a number from 0 to 1"),
        (["--top-k", "many"], "a whole number from 0"),
        (["--max-new-tokens", "0"], "a whole number from 1"),
        (["--seed", "-1"], "a whole number from 0"),
        (["--device", "tpu"], "auto, cpu, mps, cuda or cuda:N"),
        (["--dtype", "int4"], "float32"),
    ],
)
def test_an_option_that_cannot_be_is_a_usage_error_that_names_the_range(
    options: list[str], words: str, folder: Path
) -> None:
    done = piped(folder, b"Hello", *options)
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("files", "status", "words"),
    [
        ({"model.safetensors": b"version https://git-lfs.github.com/spec/v1\n"}, 10, "a Git LFS pointer"),
        ({"config.json": b'{"model_type": "own", "auto_map": {"AutoModelForCausalLM": "m.M"}}', "m.py": b"1"}, 2,
         "--trust-remote-code"),
        ({"config.json": b'{"architectures": ["BertForSequenceClassification"], "model_type": "bert"}'}, 2,
         "is no model that writes"),
        ({"config.json": b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama", '
          b'"quantization_config": {"quant_method": "aqlm"}}'}, 3, "pip install"),
    ],
)  # fmt: skip
def test_what_cannot_be_talked_with_is_refused_by_its_files(
    files: dict[str, bytes], status: int, words: str, folder: Path
) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    done = piped(folder, b"Hello")
    assert (done.returncode, done.stdout) == (status, b"")
    assert words in done.stderr.decode()


def test_a_model_that_is_not_in_the_store_is_an_error_with_the_command_that_brings_it(folder: Path) -> None:
    done = subprocess.run(command(Path("own/other")), input=b"Hello", capture_output=True, check=False)
    assert done.returncode == 4
    assert b"hint: modelfetch pull own/other" in done.stderr
