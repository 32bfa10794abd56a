"""How commands print: one JSON document or plain lines to stdout, everything else to stderr."""

from __future__ import annotations

import json
from typing import Any

import click

from modelfetch.redact import redact
from modelfetch.units import format_bytes, format_duration

__all__ = ["format_bytes", "format_duration", "print_json", "say"]


def print_json(document: Any) -> None:
    """The one document of `--json`."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def say(text: str, *, style: str | None = None) -> None:
    """A line for a person, on stderr. Colour only where stderr is a terminal and NO_COLOR is not set (click sees to
    both).
    """
    click.secho(redact(text), err=True, fg=style)
