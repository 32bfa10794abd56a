"""What program and child say to each other arrives as it was said, and what is no line of theirs is refused."""

from __future__ import annotations

import json

import pytest

from modelfetch.chat.conversation import Message
from modelfetch.chat.protocol import (
    Ask,
    Began,
    Ended,
    Load,
    Raised,
    Ready,
    Report,
    Request,
    Started,
    Stop,
    TooLong,
    Wrote,
    from_line,
    to_line,
)
from modelfetch.chat.settings import Defaults, Sampling
from modelfetch.model.kind import Exercise, Kind
from modelfetch.model.placement import DoesNotFit, NoDevice, Placed, Wish

EXERCISE = Exercise(Kind.CHAT, "LlamaForCausalLM", 1, 2, 3)
SAMPLING = Sampling(do_sample=True, temperature=1, top_p=0.5, top_k=50, max_new_tokens=9, seed=0)
SAID: tuple[Request | Report, ...] = (
    Load("/a folder", EXERCISE, Wish("cuda:0", "auto"), trust_remote_code=False),
    Ask(1, (Message("user", "line\nline\u2028 好 🔥 \x00"),), SAMPLING, thinking=None),
    Stop(1),
    Started("load"),
    Placed("cpu", "a CPU", "no GPU", "float32", "exact"),
    DoesNotFit("cuda:0", 10, 9, "load"),
    NoDevice("cuda:7", "torch counts 1"),
    Ready(Defaults(do_sample=True, temperature=0.6), template=True, thinking_switch=False, context_tokens=None),
    TooLong(1, 10, 9),
    Began(1, "<think>\n", 12),
    Wrote(1, "\ud83d half a pair", special=False),
    Ended(1, "stop", 3, 0.25, 1.5),
    Raised("writing", "ValueError", "no"),
)


@pytest.mark.parametrize("value", SAID, ids=lambda value: type(value).__name__)
def test_everything_that_can_be_said_arrives_as_it_was_said_on_one_line(value: Request | Report) -> None:
    line = to_line(value)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert from_line(line) == value


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"hello",
        b"[]",
        b"null",
        b'"Stop"',
        b"{}",
        b'{"is": "Nothing"}',
        b'{"is": ["Stop"], "number": 1}',
        b'{"is": "Stop"}',
        b'{"is": "Stop", "number": "1"}',
        b'{"is": "Stop", "number": true}',
        b'{"is": "Stop", "number": 1, "more": 2}',
        b'{"is": "Load", "folder": "/", "exercise": {}, "wish": {}, "trust_remote_code": true}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_line_of_theirs_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        from_line(line)


def test_a_load_names_no_more_than_the_child_needs() -> None:
    assert set(json.loads(to_line(SAID[0]))) == {"is", "folder", "exercise", "wish", "trust_remote_code"}
