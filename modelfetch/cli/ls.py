"""`modelfetch ls`: the models in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from modelfetch.cli._output import format_bytes, print_json, print_table, say

if TYPE_CHECKING:
    from datetime import datetime

    from modelfetch.store import Snapshot

_HEADINGS = ("REPO", "HUB", "REVISION", "COMMIT", "SIZE", "FILES", "PULLED", "VERIFIED", "WHERE")


@click.command(epilog="Example:  modelfetch ls --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/json.md).")
def command(*, as_json: bool) -> None:
    """List the models in the store, the newest pull first.

    VERIFIED says when `modelfetch verify` last read every byte; until then each was verified on arrival.
    """
    from modelfetch.config import load
    from modelfetch.store import Store
    from modelfetch.store.snapshot import distinct_bytes

    listing = Store.open(load().home, create=False).records.scan()
    for record in listing.damaged:
        say(f"warning: `{record.path}` cannot be read; modelfetch verify says more", style="yellow")
    if as_json:
        print_json([_document(snapshot) for snapshot in listing.snapshots])
        return
    if not listing.snapshots:
        say("nothing is here yet; modelfetch pull Qwen/Qwen3-0.6B brings a first model")
        return
    print_table(_HEADINGS, [_row(snapshot) for snapshot in listing.snapshots])
    apart = sum(snapshot.size_bytes for snapshot in listing.snapshots)
    together = distinct_bytes(listing.snapshots)
    shared = f"; {format_bytes(apart - together)} are shared and counted once" if together < apart else ""
    click.echo(f"{len(listing.snapshots)} in all, {format_bytes(together)} on disk{shared}")


def _row(snapshot: Snapshot) -> tuple[str, ...]:
    manifest = snapshot.manifest
    where = "store"
    if snapshot.plain:
        where = str(snapshot.folder) if snapshot.folder.is_dir() else f"{snapshot.folder} (gone)"
    return (
        manifest.repo,
        manifest.hub,
        manifest.revision or "-",
        manifest.commit[:8],
        format_bytes(snapshot.size_bytes),
        str(len(snapshot.paths)) if snapshot.complete else f"{len(snapshot.paths)} of {len(manifest.entries)}",
        _day(snapshot.pulled_at),
        _day(snapshot.verified_at) if snapshot.verified_at else "on arrival",
        where,
    )


def _day(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _document(snapshot: Snapshot) -> dict[str, Any]:
    from modelfetch.store.snapshot import format_moment

    manifest = snapshot.manifest
    return {
        "repo": manifest.repo,
        "hub": manifest.hub,
        "revision": manifest.revision,
        "commit": manifest.commit,
        "size_bytes": snapshot.size_bytes,
        "files": len(snapshot.paths),
        "pulled_at": format_moment(snapshot.pulled_at),
        "verified_at": format_moment(snapshot.verified_at) if snapshot.verified_at else None,
        "smoke": snapshot.smoke,
        "folder": str(snapshot.folder),
    }
