"""How commands print: one JSON document or plain lines to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from modelfetch.cli._streams import lead_nowhere
from modelfetch.redact import redact
from modelfetch.units import format_bytes, format_duration

__all__ = [
    "format_bytes",
    "format_duration",
    "json_for",
    "print_json",
    "print_path",
    "print_table",
    "printable",
    "say",
    "unheard",
]

# Beyond what JSON escapes by itself: other controls, signs that turn the direction of a line, halves of pairs.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def print_json(document: Any) -> None:
    """The one document of `--json`. Nothing that a stranger wrote in it commands a terminal or cannot be printed."""
    click.echo(json_for(sys.stdout, document, indent=2))


def json_for(stream: TextIO, document: Any, *, indent: int | None = None) -> str:
    """`document` as JSON that `stream` can write and a terminal does not act on."""
    text = json.dumps(document, indent=indent, ensure_ascii="utf" not in (stream.encoding or "").lower())
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def print_path(path: Path) -> None:
    """A path alone on its line, to its last byte, for whoever opens it: `$(modelfetch path …)`."""
    click.echo(os.fsencode(path))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they must be, under their headings."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = (
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (headings, *rows)
    )
    click.echo("\n".join(lines))


def printable(text: str) -> str:
    """`text` with control characters shown and not sent, lines and tabs aside: a stranger's text may hold a terminal's
    commands.
    """
    return _CONTROL.sub(lambda match: ascii(match.group())[1:-1], text)


def say(text: str, *, style: str | None = None) -> None:
    """A line for a person, on stderr. Colour only where stderr is a terminal, which click sees to, and NO_COLOR is not
    set, which it is told.
    """
    with unheard():
        click.secho(printable(redact(text)), err=True, fg=style)


@contextmanager
def unheard() -> Iterator[None]:
    """Go on where stderr went away, as a terminal that was closed or a pipe that nobody reads: telling of the work is
    not the work.
    """
    try:
        yield
    except OSError:
        # Elsewhere from now on, or Python complains again at exit.
        lead_nowhere(sys.stderr.fileno())
