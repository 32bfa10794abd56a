"""How a conversation is shown: answers on stdout, everything else on stderr.

- What a model writes may hold a terminal's commands: on a terminal they are shown, not sent. A pipe gets every byte.
- Thinking and remarks are dimmed; without colour their words say what they are.
- Remarks are broken between words where a terminal is narrow. A reply is not: it can be copied as it was written.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from modelfetch.cli._cells import folded
from modelfetch.cli._output import printable, say
from modelfetch.cli._waiting import WaitingLine, line_columns
from modelfetch.redact import redact

if TYPE_CHECKING:
    from modelfetch.chat.protocol import Report
    from modelfetch.chat.unfolding import Part
    from modelfetch.model.placement import Placed

_PHASES = {
    "import": "importing torch and transformers",
    "tokenizer": "loading the tokenizer",
    "load": "loading the weights",
}


class Loading(WaitingLine):
    """What of a model's loading is being waited for."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.placed: Placed | None = None
        self._name = name

    def __call__(self, report: Report) -> None:
        from modelfetch.chat.protocol import Ready, Started
        from modelfetch.model.placement import Placed

        match report:
            case Placed():
                self.placed = report
            case Started(phase) if phase in _PHASES:
                self.show(f"{self._name}: {_PHASES[phase]}")
            case Ready():
                self.show("")


class Screen:
    """One reply after another. Whoever answers `in_pipe` shows no thinking."""

    def __init__(self, *, in_pipe: bool) -> None:
        self.in_pipe = in_pipe
        self._terminal = sys.stdout.isatty()
        self._shown: str | None = None

    def show(self, part: Part) -> None:
        """Show a bit of a reply as it comes."""
        if part.all_before_was_thinking:
            self.remark("(all of that was thinking)", before="\n")
            self._shown = "thinking"
        if part.thinking and not self.in_pipe:
            label = "" if self._shown == "thinking" else "(thinking) "
            self._shown = "thinking"
            click.secho(label + _shown(part.text), nl=False, err=True, dim=True)
        elif not part.thinking and part.text:
            if self._shown == "thinking" and not self.in_pipe:
                click.echo("\n", err=True)
            self._shown = "answer"
            # `color`, or click takes what looks like a terminal's command out of a pipe.
            click.echo(_shown(part.text) if self._terminal else part.text, nl=False, color=True)

    def end(self) -> None:
        """The reply is over."""
        if self._shown == "answer":
            click.echo()
        elif self._shown == "thinking" and not self.in_pipe:
            click.echo(err=True)
        self._shown = None

    def remark(self, text: str, *, before: str = "") -> None:
        """Say something that is no reply."""
        click.secho(before + "\n".join(_lines(redact(text))), err=True, dim=True)


def announce(text: str) -> None:
    """Say something before the first question."""
    for line in _lines(text):
        say(line)


def _lines(text: str) -> list[str]:
    """`text` in lines that fit into the terminal; as it is where there is none."""
    lines = text.splitlines()
    return [part for line in lines for part in folded(line, line_columns())] if sys.stderr.isatty() else lines


def _shown(text: str) -> str:
    return printable(text.replace("\r\n", "\n"))
