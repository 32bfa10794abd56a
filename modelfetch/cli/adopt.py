"""`modelfetch adopt`: takes models that are on the disk already into the store, without a download."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelfetch.cli._output import print_json, say
from modelfetch.errors import DigestMismatchError, UsageError

if TYPE_CHECKING:
    from modelfetch.adopt import Place
    from modelfetch.config import Settings
    from modelfetch.reference import Reference

_EPILOG = """\b
Examples:
  modelfetch adopt --dry-run
  modelfetch adopt
  modelfetch adopt /data/models/qwen --as me/qwen
"""


@click.command(epilog=_EPILOG)
@click.argument("paths", metavar="[PATH...]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--as", "name", metavar="OWNER/NAME", help="What the one model is called that nothing tells the name of.")
@click.option("--copy", is_flag=True, help="Also what cannot be linked, as on another disk: it then takes room twice.")
@click.option("--dry-run", is_flag=True, help="Say what would be taken; hash nothing, change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/json.md).")
@click.option("-q", "--quiet", is_flag=True, help="No progress; models, and what is wrong.")
@click.pass_context
def command(  # noqa: PLR0913 - one for each option
    context: click.Context,
    *,
    paths: tuple[Path, ...],
    name: str | None,
    copy: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Take models that other tools or you keep on this disk into the store, without a download.

    Without PATH: the caches of Hugging Face, ModelScope and Ollama. A PATH is a cache, one model's folder in it, a
    folder that a model was downloaded to, or a file.

    Every byte is hashed. Weights are linked, so that they lie on the disk once; small files and texts are copied. The
    other tools go on working as they did: nothing of theirs is moved, changed or removed.

    Ends with exit status 8 when a file does not hold what its name says.
    """
    from modelfetch import config
    from modelfetch.adopt import adopt
    from modelfetch.cli._adopt_report import tell
    from modelfetch.cli._bar import ReadingBar
    from modelfetch.store import Store

    settings = config.load()
    places = _places(paths, settings)
    store = Store.open(settings.home, create=not dry_run)
    with ReadingBar("adopting", shown=not quiet and sys.stderr.isatty()) as bar:
        found = adopt(store, places, name=_name(name), copy=copy, dry_run=dry_run, listener=bar)
    if as_json:
        print_json(found.to_json())
    else:
        tell(found, quiet=quiet)
    if not found.ok:
        say("hint: remove a damaged file where it is, and its own tool or `modelfetch pull` fetches it again")
        context.exit(DigestMismatchError.exit_status)


def _places(paths: tuple[Path, ...], settings: Settings) -> tuple[Place, ...]:
    from modelfetch.adopt import known_places, place_at

    return tuple(dict.fromkeys(map(place_at, paths))) if paths else known_places(settings)


def _name(text: str | None) -> Reference | None:
    from modelfetch.reference import parse

    if text is None:
        return None
    name = parse(text)
    if (name.hub, name.revision, name.quant) != (None, None, None):
        raise UsageError(
            f"`--as {text}` says more than a name",
            facts={"expected": "owner/name: the files themselves tell the rest, or nothing does"},
            hint=f"--as {name.repo}",
        )
    return name
