"""`modelfetch demo`: the whole way with a real small model and no hub in reach."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from modelfetch.cli._output import format_duration

if TYPE_CHECKING:
    from modelfetch.demo import Event

_LINE_WIDTH = 110
_EPILOG = """\b
Examples:
  modelfetch demo
  modelfetch demo --keep .demo
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Work in this folder, and keep the model there for the next time.",
)
def command(*, keep: Path | None) -> None:
    """Try the whole way with a real small model and no hub.

    Makes SmolLM2-135M-Instruct out of a Python package, serves it as both hubs would, pulls it, kills a pull and goes
    on, pulls it from the other hub, verifies it, makes it answer a question, and looks at this machine. Needs torch,
    transformers, about 1 GB of room, and a minute or two; touches no setting and no cache of yours.
    """
    from modelfetch.demo import run

    show = _Show()
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(TemporaryDirectory(prefix="modelfetch-demo-")))
        run(folder, show)
    click.echo()
    click.secho(f"All of it works here. It took {format_duration(show.seconds)}.", fg="green")


class _Show:
    """Prints what happens, a numbered step at a time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._steps = 0

    def __call__(self, event: Event) -> None:
        from modelfetch.demo import Began, Ended, Typed

        match event:
            case Began():
                self._steps += 1
                click.echo()
                click.secho(f"{self._steps}  {event.title}", bold=True)
            case Typed():
                click.secho(f"   $ {event.command}", fg="cyan")
            case Ended():
                self.seconds += event.seconds
                width = min(shutil.get_terminal_size((_LINE_WIDTH, 24)).columns, _LINE_WIDTH)
                for line in event.lines:
                    click.echo(click.wrap_text(line, width, initial_indent="   ", subsequent_indent="     "))
