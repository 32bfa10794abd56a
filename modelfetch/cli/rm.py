"""`modelfetch rm`: says what goes and what stays, asks on a terminal, removes."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from modelfetch.cli._output import format_bytes, print_json, say
from modelfetch.cli._removal import documents, tell_what_goes, tell_what_stays

if TYPE_CHECKING:
    from modelfetch.store import Removal, Store

_EPILOG = """\b
Examples:
  modelfetch rm Qwen/Qwen3-0.6B --dry-run
  modelfetch rm hf:Qwen/Qwen3-0.6B@c1899de2 --yes
"""


@click.command(epilog=_EPILOG)
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Say what would go and what would stay, and why; remove nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/json.md); does not ask.")
def command(*, references: tuple[str, ...], dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove models: their snapshots, their views in other tools' caches, and the bytes that nothing else needs.

    Without a revision, every revision of the model goes. Plain folders (--local-dir) are yours and stay.
    """
    from modelfetch.cli._stored import matching
    from modelfetch.config import load
    from modelfetch.store import Store

    store = Store.open(load().home, create=False)
    snapshots = matching(store, references)
    in_use = partial(_needed_by_pulls, store)
    removal = store.remove(*snapshots, dry_run=True, in_use=in_use)
    if not as_json:
        _tell(removal)
    if not dry_run:
        if not (yes or as_json) and sys.stdin.isatty():
            click.confirm("Remove this?", abort=True, err=True)
        removal = store.remove(*snapshots, dry_run=False, in_use=in_use)
        say(f"removed; {format_bytes(removal.freed_bytes)} are free again", style="green")
    if as_json:
        print_json(_document(removal))


def _needed_by_pulls(store: Store) -> dict[str, str]:
    from modelfetch.transfer.needs import needed

    return needed(store.partials, time.time())


def _tell(removal: Removal) -> None:
    for snapshot in removal.snapshots:
        click.echo(f"{snapshot.reference}  {snapshot.manifest.commit[:8]}  {format_bytes(snapshot.size_bytes)}")
    tell_what_goes(removal.goes)
    tell_what_stays(removal.stays)


def _document(removal: Removal) -> dict[str, Any]:
    return {
        "dry_run": removal.dry_run,
        "freed_bytes": removal.freed_bytes,
        "removed": [
            {"repo": snapshot.manifest.repo, "hub": snapshot.manifest.hub, "commit": snapshot.manifest.commit}
            for snapshot in removal.snapshots
        ],
        "goes": documents(removal.goes),
        "stays": documents(removal.stays),
    }
