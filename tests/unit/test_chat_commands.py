"""A line is something to say or a command, and a command that is not understood is never said to the model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.chat.commands import (
    COMMANDS,
    Action,
    Clear,
    Help,
    Leave,
    Save,
    Say,
    Set,
    SetSystem,
    ShowSettings,
    Think,
    Wrong,
    parse,
)


@pytest.mark.parametrize(
    ("line", "action"),
    [
        ("Hello, you!", Say("Hello, you!")),
        ("  a line \n", Say("a line")),
        ("one\ntwo", Say("one\ntwo")),
        ("what is 1/2?", Say("what is 1/2?")),
        ("//etc/passwd", Say("/etc/passwd")),
        ("/system Be brief.", SetSystem("Be brief.")),
        ("/system off", SetSystem("")),
        ("/system", SetSystem(None)),
        ("/clear", Clear()),
        ("/CLEAR", Clear()),
        ("/think on", Think(on=True)),
        ("/think OFF", Think(on=False)),
        ("/set temperature 0.7", Set("temperature", "0.7")),
        ("/set temperature=0.7", Set("temperature", "0.7")),
        ("/set temperature = 0.7", Set("temperature", "0.7")),
        ("/set", ShowSettings()),
        ("/save my talk.json", Save("my talk.json")),
        ("/help", Help()),
        ("/exit", Leave()),
        ("/quit", Leave()),
        ("caf\udce9", Say("caf?")),
        ("", None),
        (" \t\n", None),
    ],
)
def test_a_line_means(line: str, action: Action | None) -> None:
    assert parse(line) == action


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("/nope", "/nope"),
        ("/etc/passwd has what in it?", "/etc/passwd"),
        ("/", "is no command"),
        ("/think", "on or"),
        ("/think maybe", "on or"),
        ("/set temperature", "a name and a value"),
        ("/set temperature 0.7 1", "a name and a value"),
        ("/save", "say where"),
        ("/clear all", "nothing after it"),
        ("/exit now", "nothing after it"),
    ],
)
def test_a_command_that_is_not_understood_is_said_so(line: str, word: str) -> None:
    action = parse(line)
    assert isinstance(action, Wrong)
    assert word in action.reason


@given(st.text())
def test_what_begins_with_one_slash_is_never_said_to_the_model(text: str) -> None:
    action = parse("/" + text)
    assert not isinstance(action, Say) or text.startswith("/")


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip))
def test_any_line_can_be_said_to_the_model(text: str) -> None:
    escaped = "/" + text.strip() if text.strip().startswith("/") else text
    assert parse(escaped) == Say(text.strip())


@pytest.mark.parametrize("shown", COMMANDS)
def test_every_command_that_help_shows_exists(shown: str) -> None:
    name = shown.partition(" ")[0]
    action = parse(name)
    assert not isinstance(action, Wrong) or "is no command" not in action.reason
