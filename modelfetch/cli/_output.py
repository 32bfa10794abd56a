"""How commands print: one JSON document or plain lines to stdout, everything else to stderr, numbers as people read them."""

from __future__ import annotations

import json
from typing import Any

import click

from modelfetch.redact import redact

_UNITS = ("B", "kB", "MB", "GB", "TB")


def print_json(document: Any) -> None:
    """The one document of `--json`."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def say(text: str, *, style: str | None = None) -> None:
    """A line for a person, on stderr. Colour only where stderr is a terminal and NO_COLOR is not set (click sees to both)."""
    click.secho(redact(text), err=True, fg=style)


def format_bytes(size: float) -> str:
    """`1.2 GB`: powers of 1000, as hubs, disks and links count."""
    for unit in _UNITS[:-1]:
        if abs(size) < 999.5:
            break
        size /= 1000
    else:
        unit = _UNITS[-1]
    return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"


def format_duration(seconds: float) -> str:
    """`8.1 s`, `2 min 05 s`, `3 h 07 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
