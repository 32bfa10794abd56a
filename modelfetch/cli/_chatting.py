"""The two ways to chat: a conversation, line by line, and one answer to all of stdin.

- Ctrl-C stops the reply; a second one ends the model's process, if the reply does not stop. At the prompt two of them
  leave.
- Whatever breaks in a conversation is said, and the conversation goes on.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelfetch.cli._chat_lines import Lines, typed_lines, typing_unseen
from modelfetch.cli._chat_screen import Screen, announce
from modelfetch.cli._output import say
from modelfetch.errors import ModelfetchError, UsageError

if TYPE_CHECKING:
    from modelfetch.chat import Talk
    from modelfetch.chat.state import State
    from modelfetch.model.placement import Placed


def converse(talk: Talk, state: State, placed: Placed | None) -> None:
    """Talk until the user leaves. `placed` is where the model runs."""
    from modelfetch.chat import commands, remarks
    from modelfetch.chat.state import obey

    lines = typed_lines([each.partition(" ")[0] for each in commands.COMMANDS])
    screen, saver = Screen(in_pipe=False), _Saver(talk.name)
    for line in remarks.greeting(talk.name, placed, state):
        announce(line)
    interrupted = False
    # From here on, or a Ctrl-C that comes when the reply has just ended would end the program.
    signal.signal(signal.SIGINT, lambda *_: talk.interrupt())
    while True:
        try:
            line = _read(lines)
        except EOFError:
            break
        except KeyboardInterrupt:
            if interrupted:
                break
            interrupted = True
            screen.remark("Ctrl-C again leaves", before="" if sys.stdout.isatty() else "\n")
            continue
        interrupted = False
        match commands.parse(line):
            case None:
                continue
            case commands.Leave():
                break
            case commands.Say(text):
                with typing_unseen():
                    state = _exchange(talk, state, text, screen)
            case commands.Save(path):
                screen.remark(saver.save(state, Path(path).expanduser()))
            case action:
                obeyed = obey(state, action)
                state = obeyed.state
                for answer in obeyed.lines:
                    screen.remark(answer)


def piped_message() -> str:
    """All that comes through stdin, as one message.

    Raises:
        UsageError: nothing came.
    """
    question = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    if not question:
        raise UsageError(
            "there is nothing on stdin to answer", hint="echo 'Why is the sky blue?' | modelfetch chat REF"
        )
    return question


def answer_once(talk: Talk, state: State, question: str) -> None:
    """Answer one message.

    Raises:
        SmokeError: the model or its process broke.
        UsageError: the message is longer than the model can read.
    """
    from modelfetch.chat import remarks

    for warning in remarks.warnings(talk.name, state):
        say(warning)
    _show(talk, state, question, Screen(in_pipe=True))


def _exchange(talk: Talk, state: State, question: str, screen: Screen) -> State:
    """One question and its reply. What breaks costs the question alone."""
    try:
        return _show(talk, state, question, screen)
    except ModelfetchError as error:
        screen.end()
        say(f"error: {error.render()}")
        if not talk.is_loaded:
            say("nothing else of what was said is lost; your next message loads the model again")
    return state


def _show(talk: Talk, state: State, question: str, screen: Screen) -> State:
    from modelfetch.chat import remarks
    from modelfetch.chat.talk import LeftOut, Replied
    from modelfetch.chat.unfolding import Part

    for told in talk.ask(state, question):
        match told:
            case Part():
                screen.show(told)
            case LeftOut():
                screen.remark(remarks.left_out(told))
            case Replied():
                screen.end()
                for remark in remarks.about_reply(told, state.model, in_pipe=screen.in_pipe):
                    screen.remark(f"({remark})")
                if sys.stdout.isatty() and sys.stderr.isatty() and (speed := remarks.speed(told.ended)):
                    screen.remark(f"({speed})")
                state = replace(state, conversation=told.conversation)
    return state


def _read(lines: Lines) -> str:
    """The next line; meanwhile Ctrl-C is a KeyboardInterrupt again."""
    stops_a_reply = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return lines.read()
    finally:
        signal.signal(signal.SIGINT, stops_a_reply)


class _Saver:
    """Writes the conversation to files, over none that it has not written itself."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._own: set[Path] = set()

    def save(self, state: State, path: Path) -> str:
        """Write `state` to `path`; a sentence that says what came of it."""
        from modelfetch.chat.state import saved

        path = path.absolute()
        if path not in self._own and os.path.lexists(path):
            return f"`{path}` is there already; name another file"
        text = json.dumps(saved(state, self._model), indent=2, ensure_ascii=False)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            temporary.write_text(text + "\n", encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            return f"`{path}` cannot be written: {error.strerror}"
        self._own.add(path)
        return f"saved to {path}"
