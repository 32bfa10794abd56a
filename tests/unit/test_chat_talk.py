"""A conversation with a stand-in for the child that behaves as badly as one can: real processes, no model."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Protocol

import psutil
import pytest

from modelfetch.chat.conversation import Conversation, Exchange
from modelfetch.chat.protocol import Load
from modelfetch.chat.settings import Settings
from modelfetch.chat.state import State
from modelfetch.chat.talk import LeftOut, Replied, Talk, Told
from modelfetch.chat.unfolding import Part
from modelfetch.errors import SmokeError, UsageError
from modelfetch.model.kind import Exercise, Kind
from modelfetch.model.placement import Wish

LOAD = Load("/nowhere", Exercise(Kind.CHAT, "LlamaForCausalLM", 1, 0, 1), Wish(), trust_remote_code=False)
PREAMBLE = """
import os, signal, sys, time
from modelfetch.chat.protocol import *
from modelfetch.chat.settings import Defaults
from modelfetch.model.placement import *
channel = os.fdopen(int(sys.argv[1]), "wb", buffering=0)
def say(*reports):
    for report in reports:
        channel.write(to_line(report))
def hear():
    line = sys.stdin.buffer.readline()
    if not line:
        os._exit(0)
    return from_line(line)
def write(number, *texts, why="end of text"):
    say(Began(number, "", 3), *(Wrote(number, text, False) for text in texts), Ended(number, why, len(texts), 0.1, 0.2))
ready = Ready(Defaults(), True, False, 100)
load = hear()
"""


class Opening(Protocol):
    def __call__(self, code: str) -> Talk: ...


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opening]:
    """Begins a conversation with a child that runs `code`."""
    talks: list[Talk] = []

    def open_one(code: str) -> Talk:
        (tmp_path / "stand_in.py").write_text(PREAMBLE + dedent(code))
        monkeypatch.setattr("modelfetch.chat.process.CHILD", "stand_in")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        talks.append(Talk(LOAD, "own/name", lambda report: None))
        return talks[-1]

    yield open_one
    for talk in talks:
        talk.close()


def asked(talk: Talk, question: str, state: State | None = None) -> list[Told]:
    return list(talk.ask(state or State(talk.load()), question))


def answer(told: list[Told]) -> str:
    return "".join(each.text for each in told if isinstance(each, Part))


def test_a_reply_comes_in_parts_and_the_conversation_has_it_at_the_end(opened: Opening) -> None:
    talk = opened("""
        say(ready)
        while True:
            ask = hear()
            write(ask.number, ask.messages[-1].content, "!")
    """)
    state = State(talk.load())
    told = asked(talk, "Hi", state)
    assert told[:2] == [Part("Hi"), Part("!")]
    assert isinstance(told[2], Replied)
    assert told[2].conversation == Conversation().after(Exchange("Hi", "Hi!"))


def test_the_child_is_told_what_was_said_and_set(opened: Opening) -> None:
    talk = opened("""
        say(ready)
        ask = hear()
        write(ask.number, repr([(each.role, each.content) for each in ask.messages]), str(ask.sampling.seed))
    """)
    conversation = Conversation("Be kind.").after(Exchange("Hi", "Hello.", "They greet."))
    state = State(talk.load(), conversation, Settings(seed=5))
    said = "[('system', 'Be kind.'), ('user', 'Hi'), ('assistant', 'Hello.'), ('user', 'And?')]5"
    assert answer(asked(talk, "And?", state)) == said


def test_a_child_that_dies_costs_one_question_and_the_next_loads_again(opened: Opening, tmp_path: Path) -> None:
    talk = opened(f"""
        say(Started("load"), ready)
        ask = hear()
        if not os.path.exists({str(tmp_path / "died")!r}):
            open({str(tmp_path / "died")!r}, "w").close()
            say(Started("writing"), Began(ask.number, "", 3), Wrote(ask.number, "Well", False))
            os.kill(os.getpid(), signal.SIGKILL)
        write(ask.number, "again")
    """)
    state = State(talk.load())
    told: list[Told] = []
    with pytest.raises(SmokeError, match=r"the process that held `own/name` was killed while writing: .*memory"):
        told.extend(talk.ask(state, "Hi"))
    assert not talk.is_loaded
    assert answer(asked(talk, "Hi", state)) == "again"


def test_a_child_that_dies_between_two_replies_costs_nothing(opened: Opening) -> None:
    talk = opened("""
        say(ready)
        write(hear().number, str(os.getpid()))
        hear()
    """)
    state = State(talk.load())
    child = psutil.Process(int(answer(asked(talk, "Hi", state))))
    child.kill()
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        pass
    assert answer(asked(talk, "Hi", state)).isdecimal()


def test_a_crash_is_named_with_the_childs_last_words(opened: Opening) -> None:
    talk = opened("""
        say(ready)
        hear()
        print("the last words", flush=True)
        os.abort()
    """)
    with pytest.raises(SmokeError, match="crashed with SIGABRT") as raised:
        asked(talk, "Hi")
    assert "the last words\nFatal Python error: Aborted" in str(raised.value.facts["last lines"])


def test_an_error_in_a_reply_leaves_the_child_for_the_next(opened: Opening) -> None:
    talk = opened("""
        say(ready)
        say(Raised("rendering the chat template", "TemplateError", "no system role\\nhere")) if hear() else None
        write(hear().number, str(os.getpid()))
    """)
    state = State(talk.load())
    with pytest.raises(SmokeError, match=r"`own/name` failed while rendering the chat template: no system role$"):
        asked(talk, "Hi", state)
    assert talk.is_loaded
    assert answer(asked(talk, "Hi", state)).isdecimal()


def test_a_line_that_is_no_report_is_the_last_that_is_believed(opened: Opening) -> None:
    talk = opened("""
        say(ready)
        channel.write(b"PASS\\n")
        time.sleep(600)
    """)
    state = State(talk.load())
    with pytest.raises(SmokeError, match="wrote what is no reply"):
        asked(talk, "Hi", state)


def test_a_line_without_end_is_the_last_that_is_believed(opened: Opening) -> None:
    talk = opened("""
        say(ready)
        while True:
            channel.write(b"x" * 65536)
    """)
    state = State(talk.load())
    with pytest.raises(SmokeError, match="wrote what is no reply"):
        asked(talk, "Hi", state)


def test_a_flood_of_noise_holds_nothing_up(opened: Opening) -> None:
    talk = opened("""
        for _ in range(100):
            os.write(1, b"x" * 65536)
            os.write(2, b"y" * 65536)
        say(ready)
        write(hear().number, "done")
    """)
    assert answer(asked(talk, "Hi")) == "done"


def test_a_pipe_that_somebody_else_holds_open_is_not_waited_for(opened: Opening) -> None:
    talk = opened("""
        import subprocess
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=(channel.fileno(),))
        say(ready)
        hear()
        os._exit(3)
    """)
    state = State(talk.load())
    with pytest.raises(SmokeError, match="ended by itself with status 3"):
        asked(talk, "Hi", state)


def test_a_reply_that_is_interrupted_stops_and_the_part_of_it_is_kept(opened: Opening) -> None:
    talk = opened("""
        say(ready)
        ask = hear()
        say(Began(ask.number, "", 3), Wrote(ask.number, "Once upon", False))
        stop = hear()
        say(Ended(stop.number, "stop", 1, 0.1, 0.2))
        write(hear().number, "Next")
    """)
    state = State(talk.load())
    told = []
    for each in talk.ask(state, "Tell"):
        told.append(each)
        if isinstance(each, Part):
            talk.interrupt()
    assert isinstance(told[-1], Replied)
    assert told[-1].conversation.exchanges == (Exchange("Tell", "Once upon", cut=True),)
    assert answer(asked(talk, "And?", replace(state, conversation=told[-1].conversation))) == "Next"


def test_a_reply_that_does_not_stop_is_ended_with_its_process_at_the_second_interruption(opened: Opening) -> None:
    talk = opened("""
        say(ready)
        ask = hear()
        say(Began(ask.number, "", 3), Wrote(ask.number, str(os.getpid()), False))
        time.sleep(600)
    """)
    state = State(talk.load())
    told = talk.ask(state, "Tell")
    child_pid = int(answer([next(told)]))
    talk.interrupt()
    talk.interrupt()
    with pytest.raises(SmokeError, match="the reply was ended together with the process"):
        next(told)
    assert not psutil.pid_exists(child_pid)
    assert not talk.is_loaded


def test_an_interruption_in_the_middle_of_a_question_comes_after_it(opened: Opening) -> None:
    talk = opened("""
        say(ready)
        beginning = os.read(0, 100)
        # The rest does not fit into a pipe, so whoever writes it is in the middle of that.
        os.kill(os.getppid(), signal.SIGUSR1)
        ask = from_line(beginning + sys.stdin.buffer.readline())
        stop = hear()
        say(Began(ask.number, "", 3), Wrote(ask.number, f"{len(ask.messages[-1].content)} {stop.number}", False))
        say(Ended(ask.number, "stop", 1, 0.1, 0.2))
    """)
    state = State(talk.load())
    before = signal.signal(signal.SIGUSR1, lambda *_: talk.interrupt())
    try:
        assert answer(asked(talk, "x" * 1_000_000, state)) == "1000000 1"
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_interruption_between_two_replies_is_nobodys(opened: Opening) -> None:
    talk = opened("""
        say(ready)
        heard = [hear()]
        write(heard[0].number, "one")
        while not isinstance(heard[-1], Ask) or len(heard) == 1:
            heard.append(hear())
        write(heard[-1].number, str([each.number for each in heard if isinstance(each, Stop)]), str(heard[-1].number))
    """)
    state = State(talk.load())
    asked(talk, "Hi", state)
    talk.interrupt()
    assert answer(asked(talk, "Hi", state)) == "[1]2"


def test_the_oldest_exchanges_are_left_out_and_the_numbers_are_told_once(opened: Opening) -> None:
    talk = opened("""
        say(ready)
        while len((ask := hear()).messages) > 3:
            say(TooLong(ask.number, 10 * len(ask.messages), 30))
        write(ask.number, ask.messages[0].content)
    """)
    conversation = Conversation()
    for number in range(4):
        conversation = conversation.after(Exchange(f"question {number}", "answer"))
    told = asked(talk, "And?", State(talk.load(), conversation))
    assert told[0] == LeftOut(3, 90, 30)
    assert answer(told) == "question 3"
    assert isinstance(told[-1], Replied)
    assert told[-1].conversation.left_out == 3
    assert len(told[-1].conversation.exchanges) == 5


def test_a_message_that_alone_is_too_long_is_refused_with_its_numbers(opened: Opening) -> None:
    talk = opened("""
        say(ready)
        while True:
            ask = hear()
            say(TooLong(ask.number, 5000, 2048))
    """)
    state = State(talk.load(), Conversation().after(Exchange("a", "b")))
    with pytest.raises(UsageError, match=r"it has 5,000 tokens, and the model can read 2,048 with its reply"):
        asked(talk, "Hi", state)
    assert talk.is_loaded


def test_a_model_without_a_template_is_told_nothing_of_what_was_before(opened: Opening) -> None:
    talk = opened("""
        say(Ready(Defaults(), False, False, None))
        ask = hear()
        write(ask.number, f" <think>{len(ask.messages)}")
    """)
    state = State(talk.load(), Conversation("Be kind.").after(Exchange("a", "b")))
    assert answer(asked(talk, "Once", state)) == " <think>1"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ('say(NoDevice("cuda:7", "torch counts 1 here"))', "`cuda:7` cannot be used: torch counts 1 here"),
        ('say(DoesNotFit("cpu", 10**12, 10**9, "before loading"))', "not enough memory on `cpu` for `own/name`"),
        ('say(Started("load"), Raised("load", "KeyError", "x"))', "`own/name` failed while load"),
        ('say(Started("load")); os.kill(os.getpid(), signal.SIGSEGV)', "crashed with SIGSEGV while load"),
        ("sys.exit(3)", "ended by itself with status 3"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_sentence(code: str, why: str, opened: Opening) -> None:
    with pytest.raises(SmokeError, match=why):
        opened(code).load()


def test_what_runs_out_of_the_gpus_memory_while_it_loads_is_loaded_on_the_cpu(opened: Opening) -> None:
    talk = opened("""
        if load.wish.cpu_reason is None:
            say(Placed("cuda:0", "GPU", "there is one", "bfloat16", "so stored"), Started("load"))
            say(DoesNotFit("cuda:0", 10**12, 10**9, "load"))
            sys.exit(0)
        say(Placed("cpu", "CPU", load.wish.cpu_reason, "float32", "exact"), ready)
        write(hear().number, load.wish.cpu_reason, repr(os.environ["CUDA_VISIBLE_DEVICES"]))
    """)
    assert answer(asked(talk, "Hi")) == "the memory of the GPU was short during load''"


def test_what_did_not_fit_on_the_gpu_is_not_blamed_for_what_broke_on_the_cpu(opened: Opening) -> None:
    talk = opened("""
        say(DoesNotFit("cuda:0", 10**12, 10**9, "before loading"))
        say(Placed("cpu", "CPU", "the GPU is too small", "float32", "exact"), Started("load"))
        os.abort()
    """)
    with pytest.raises(SmokeError, match="crashed with SIGABRT while load"):
        talk.load()


def test_the_child_knows_no_token_and_leaves_nothing_behind(opened: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    talk = opened("""
        say(ready)
        write(hear().number, os.getcwd(), " ", os.environ["HF_HUB_OFFLINE"], " ", os.environ.get("HF_TOKEN", "none"))
    """)
    folder, offline, token = answer(asked(talk, "Hi")).split(" ")
    assert (offline, token) == ("1", "none")
    assert Path(folder).is_dir()
    talk.close()
    assert not Path(folder).exists()
