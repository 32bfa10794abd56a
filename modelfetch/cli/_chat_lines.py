"""Where typed lines come from: prompt_toolkit on a terminal, with editing and history; plain lines anywhere else.

- What was typed is kept for this conversation and written nowhere.
- What is typed while the model loads or writes is not shown in the middle of that; it begins the next line.
- Ctrl-C empties a line; where there is nothing to empty it is a KeyboardInterrupt. Ctrl-D is an EOFError.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import click

PROMPT = ">>> "


class Lines(Protocol):
    """Gives one typed line after another."""

    def read(self) -> str:
        """The next line. Blocks.

        Raises:
            EOFError: there are no more.
            KeyboardInterrupt: Ctrl-C, and no line was being typed.
        """


def typed_lines(commands: list[str]) -> Lines:
    """The best there is here. `commands` can be completed with Tab where lines can be edited."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _PlainLines()
    try:
        return _EditedLines(commands)
    except ImportError:
        return _PlainLines()


@contextmanager
def typing_unseen() -> Iterator[None]:
    """Let the terminal not show what is typed meanwhile; it is kept for whoever reads next."""
    try:
        import termios
    except ImportError:
        # Not on Windows.
        yield
        return
    if not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    quiet = list(before)
    quiet[3] = before[3] & ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class _PlainLines:
    def read(self) -> str:
        # Not with `input`, which writes its prompt to stdout, where the answers go.
        click.echo(PROMPT, nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line


class _EditedLines:
    def __init__(self, commands: list[str]) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.key_binding import KeyBindings

        keys = KeyBindings()
        keys.add("c-c")(_empty_line_or_interrupt)
        # What terminals send for Alt-Enter.
        keys.add("escape", "enter")(_begin_line)
        completer = WordCompleter(commands, sentence=True)
        self._session: Any = PromptSession(key_bindings=keys, completer=completer, complete_while_typing=False)

    def read(self) -> str:
        return str(self._session.prompt(PROMPT))


def _empty_line_or_interrupt(event: Any) -> None:
    if event.current_buffer.text:
        event.current_buffer.reset()
    else:
        event.app.exit(exception=KeyboardInterrupt())


def _begin_line(event: Any) -> None:
    event.current_buffer.insert_text("\n")
