"""`modelfetch ls`: the models in the store."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from modelfetch.cli._output import format_bytes, print_json, print_table, say

if TYPE_CHECKING:
    from pathlib import Path

    from modelfetch.store import Snapshot, ViewPlace
    from modelfetch.store.summary import Summary

_HEADINGS = ("REPO", "HUB", "REVISION", "COMMIT", "SIZE", "FILES", "PULLED", "VERIFIED", "SMOKE", "WHERE")
_EPILOG = """\b
Examples:
  modelfetch ls
  modelfetch ls -v
  modelfetch ls --json
"""


@click.command(epilog=_EPILOG)
@click.option("-v", "--verbose", is_flag=True, help="Also say which models share bytes, and which views show them.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/json.md).")
def command(*, verbose: bool, as_json: bool) -> None:
    """List the models in the store, the newest pull first.

    VERIFIED says when `modelfetch verify --deep` last read every byte; until then each was verified on arrival.
    SMOKE is what the last smoke test said; `-v` tells with which software it last passed.
    """
    from modelfetch.config import load
    from modelfetch.store import Store
    from modelfetch.store.listing import read_summaries
    from modelfetch.store.summary import distinct_bytes

    store = Store.open(load().home, create=False)
    listing = read_summaries(store.records)
    for record in listing.damaged:
        say(f"warning: `{record.path}` cannot be read; modelfetch verify says more", style="yellow")
    if as_json:
        print_json([_document(summary) for summary in listing.summaries])
        return
    if not listing.summaries:
        say("nothing is here yet; modelfetch pull Qwen/Qwen3-0.6B brings a first model")
        return
    if verbose:
        for line in _tree(listing.summaries, _shown(store.snapshots())):
            click.echo(line)
    else:
        print_table(_HEADINGS, [_row(summary) for summary in listing.summaries])
    apart = sum(summary.size_bytes for summary in listing.summaries)
    together = distinct_bytes(listing.summaries)
    shared = "; what is shared is counted once there" if together < apart else ""
    models = f"{len(listing.summaries)} model{'s' if len(listing.summaries) != 1 else ''}"
    click.echo(f"{format_bytes(apart)} in {models}, {format_bytes(together)} on disk{shared}")


def _row(summary: Summary) -> tuple[str, ...]:
    return (
        summary.repo,
        summary.hub,
        summary.revision or "-",
        summary.commit[:8],
        format_bytes(summary.size_bytes),
        _files(summary),
        _day(summary.pulled_at),
        _day(summary.verified_at) if summary.verified_at else "on arrival",
        _smoke(summary),
        _where(summary),
    )


def _files(summary: Summary) -> str:
    return str(summary.files) if summary.files == summary.listed else f"{summary.files} of {summary.listed or '?'}"


def _smoke(summary: Summary) -> str:
    """What the last smoke test said, and when."""
    tested_at = (summary.smoke or {}).get("tested_at")
    return (
        f"{summary.smoke['verdict']} {_day(datetime.fromisoformat(tested_at))}" if summary.smoke and tested_at else "-"
    )


def _last_pass(summary: Summary) -> list[str]:
    """When it last passed a smoke test, and with what; this outlives a failure."""
    passed = (summary.smoke or {}).get("last_pass")
    if not passed:
        return []
    stack = ", ".join(f"{name} {version}" for name, version in passed["stack"].items())
    day = _day(datetime.fromisoformat(passed["at"]))
    return [f"last passed smoke on {day} on {passed['device']} in {passed['dtype']}, with {stack}"]


def _where(summary: Summary) -> str:
    if not summary.plain:
        return "store"
    return str(summary.folder) if summary.folder.is_dir() else f"{summary.folder} (gone)"


def _day(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _tree(summaries: Sequence[Summary], shown: Mapping[Path, Sequence[str]]) -> Iterator[str]:
    """Each snapshot, and below it with whom it shares bytes in the store, and what is `shown` of it elsewhere."""
    holders: defaultdict[str, list[int]] = defaultdict(list)
    for number, summary in enumerate(summaries):
        if not summary.plain:
            for sha256 in summary.blobs:
                holders[sha256].append(number)
    for number, summary in enumerate(summaries):
        yield f"{_name(summary)}  {format_bytes(summary.size_bytes)}  {_files(summary)} file(s)  {_where(summary)}"
        below = [*_last_pass(summary), *_shares(summaries, number, holders), *shown.get(summary.folder, ())]
        for line in below[:-1]:
            yield f"├── {line}"
        for line in below[-1:]:
            yield f"└── {line}"


def _name(summary: Summary) -> str:
    return f"{summary.reference} ({summary.commit[:8]})"


def _shares(summaries: Sequence[Summary], number: int, holders: dict[str, list[int]]) -> list[str]:
    files: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    summary = summaries[number]
    for sha256, size in summary.blobs.items() if not summary.plain else ():
        for other in holders[sha256]:
            files[other] += 1
            sizes[other] += size
    return [
        f"shares {format_bytes(size)} in {files[other]} file(s) with {_name(summaries[other])}"
        for other, size in sizes.most_common()
        if other != number
    ]


def _shown(snapshots: Iterable[Snapshot]) -> dict[Path, list[str]]:
    """What views show of each snapshot, by its folder, as the disk has it now: other tools remove from their caches."""
    return {
        snapshot.folder: [_view(snapshot, place) for place in snapshot.views]
        for snapshot in snapshots
        if snapshot.views
    }


def _view(snapshot: Snapshot, place: ViewPlace) -> str:
    from modelfetch.store.views import registry

    gone = len(registry.missing(snapshot, place))
    if not gone:
        return f"shown to {place.kind} in {place.root}"
    again = f"modelfetch link {snapshot.reference} --to {place.name}"
    left = f"{len(snapshot.paths) - gone} of {len(snapshot.paths)} files"
    return f"shown to {place.kind} in {place.root}: {left}, another program took the rest; {again}"


def _document(summary: Summary) -> dict[str, Any]:
    from modelfetch.store.snapshot import format_moment

    return {
        "repo": summary.repo,
        "hub": summary.hub,
        "revision": summary.revision,
        "commit": summary.commit,
        "size_bytes": summary.size_bytes,
        "files": summary.files,
        "pulled_at": format_moment(summary.pulled_at),
        "verified_at": format_moment(summary.verified_at) if summary.verified_at else None,
        "smoke": summary.smoke,
        "folder": str(summary.folder),
    }
