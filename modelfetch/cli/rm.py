"""`modelfetch rm`: says what goes and what stays, asks on a terminal, removes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from modelfetch.cli._output import format_bytes, print_json, say

if TYPE_CHECKING:
    from modelfetch.store import Removal

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
    removal = store.remove(*snapshots, dry_run=True)
    if not as_json:
        _tell(removal)
    if not dry_run:
        if not (yes or as_json) and sys.stdin.isatty():
            click.confirm("Remove this?", abort=True, err=True)
        removal = store.remove(*snapshots, dry_run=False)
        say(f"removed; {format_bytes(removal.freed_bytes)} are free again", style="green")
    if as_json:
        print_json(_document(removal))


def _tell(removal: Removal) -> None:
    for snapshot in removal.snapshots:
        click.echo(f"{snapshot.reference}  {snapshot.manifest.commit[:8]}  {format_bytes(snapshot.size_bytes)}")
    for verb, items in (("goes", removal.goes), ("stays", removal.stays)):
        blobs = [item for item in items if item.what == "blob"]
        for item in items:
            if item.what != "blob":
                click.echo(f"  {verb}: {item.what} {item.path} ({item.why})")
        for why in sorted({item.why for item in blobs}):
            alike = [item for item in blobs if item.why == why]
            size = format_bytes(sum(item.size_bytes for item in alike))
            click.echo(f"  {verb}: {len(alike)} file(s), {size} ({why})")


def _document(removal: Removal) -> dict[str, Any]:
    def items(which: str) -> list[dict[str, Any]]:
        return [
            {"what": item.what, "path": str(item.path), "size_bytes": item.size_bytes, "why": item.why}
            for item in getattr(removal, which)
        ]

    return {
        "dry_run": removal.dry_run,
        "freed_bytes": removal.freed_bytes,
        "removed": [
            {"repo": snapshot.manifest.repo, "hub": snapshot.manifest.hub, "commit": snapshot.manifest.commit}
            for snapshot in removal.snapshots
        ],
        "goes": items("goes"),
        "stays": items("stays"),
    }
