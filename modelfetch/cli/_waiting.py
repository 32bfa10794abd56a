"""One line on a terminal that says what is being waited for and is gone at the end; nothing anywhere else.

- It never takes more than one line: what is too long is cut, with a sign that it was.
"""

from __future__ import annotations

import shutil
import sys
from types import TracebackType
from typing import Self

import click

from modelfetch.cli._cells import shortened, shown
from modelfetch.cli._output import unheard


class WaitingLine:
    """Leave the `with` and the line is gone, whatever happened."""

    def __init__(self) -> None:
        self._seen = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.show("")

    def show(self, text: str) -> None:
        """Show `text` in the place of what was shown."""
        if self._seen:
            with unheard():
                # `color`, or NO_COLOR takes away what clears the line.
                click.echo(f"\r\x1b[K{shortened(shown(text), line_columns())}", nl=False, err=True, color=True)


def line_columns() -> int:
    """What fits into a line; the last column stays empty, or some terminals begin another line."""
    return max(1, shutil.get_terminal_size().columns - 1)
