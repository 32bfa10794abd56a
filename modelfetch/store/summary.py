"""What a list shows of a snapshot, without its whole listing, and the hint that keeps the summaries of all records.

Decides only. The hint is a cache of the records and never trusted over one of them:

- A summary counts while its record has the size, time and inode that were seen when the record was read.
- A hint that is malformed, or of another version, is as good as absent.
- A blob that several snapshots share counts once in a sum.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from modelfetch.reference import Reference
from modelfetch.store.snapshot import Snapshot, ViewPlace, format_moment, parse_moment

_VERSION = 1
# 64 bits tell the blobs of any disk apart well enough for a sum that a person reads; all 256 take three times as long.
_DIGITS = 16


@dataclass(frozen=True)
class Summary:
    """A snapshot without its listing. `blobs` has the size of every present file's bytes, each once, by the first
    digits of their sha256; `listed` is None where the listing may not be the whole.
    """

    repo: str
    hub: str
    revision: str | None
    commit: str
    folder: Path
    plain: bool
    files: int
    listed: int | None
    size_bytes: int
    pulled_at: datetime
    verified_at: datetime | None
    smoke: Mapping[str, Any] | None
    views: tuple[ViewPlace, ...]
    blobs: Mapping[str, int]

    @property
    def reference(self) -> Reference:
        return Reference.of(self.repo, self.hub, self.revision)


@dataclass(frozen=True)
class RecordStamp:
    """A record's file as it was when it was read. A record is only ever replaced by another file."""

    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True)
class Kept:
    """One line of the hint: the summary of the record that had this stamp."""

    stamp: RecordStamp
    summary: Summary


def summary_of(snapshot: Snapshot) -> Summary:
    """The summary of a record that was read."""
    manifest, entries = snapshot.manifest, snapshot.entries
    return Summary(
        manifest.repo,
        manifest.hub,
        manifest.revision,
        manifest.commit,
        snapshot.folder,
        snapshot.plain,
        len(entries),
        len(manifest.entries) if snapshot.whole_listing else None,
        sum(entry.size for entry in entries),
        snapshot.pulled_at,
        snapshot.verified_at,
        snapshot.smoke,
        snapshot.views,
        {entry.digests.sha256[:_DIGITS]: entry.size for entry in entries if entry.digests.sha256},
    )


def distinct_bytes(summaries: Iterable[Summary]) -> int:
    """What the snapshots take on the disk: a blob that several share counts once, a plain folder's file where it is."""
    in_store: dict[str, int] = {}
    in_folders: dict[str, dict[str, int]] = {}
    for summary in summaries:
        place = in_folders.setdefault(str(summary.folder), {}) if summary.plain else in_store
        place.update(summary.blobs)
    return sum(sum(place.values()) for place in (in_store, *in_folders.values()))


def to_hint(kept: Mapping[str, Kept]) -> str:
    """The hint's text; the keys are the records' paths below the folder of all snapshots."""
    records = {
        path: [one.stamp.size, one.stamp.mtime_ns, one.stamp.inode, _to_json(one.summary)] for path, one in kept.items()
    }
    return json.dumps({"version": _VERSION, "records": records}, separators=(",", ":"))


def from_hint(content: bytes, root: Path) -> dict[str, Kept]:
    """What `to_hint` wrote, for the records below `root`; empty where it is anything else."""
    try:
        document = json.loads(content)
        if document["version"] != _VERSION:
            return {}
        return {
            path: Kept(RecordStamp(size, mtime_ns, inode), _from_json(fields, linked=root / path.removesuffix(".json")))
            for path, (size, mtime_ns, inode, fields) in document["records"].items()
        }
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return {}


def _to_json(summary: Summary) -> dict[str, Any]:
    return {
        "repo": summary.repo,
        "hub": summary.hub,
        "revision": summary.revision,
        "commit": summary.commit,
        "folder": str(summary.folder) if summary.plain else None,
        "files": summary.files,
        "listed": summary.listed,
        "size_bytes": summary.size_bytes,
        "pulled_at": format_moment(summary.pulled_at),
        "verified_at": format_moment(summary.verified_at) if summary.verified_at else None,
        "smoke": summary.smoke,
        "views": [{"kind": view.kind, "root": str(view.root)} for view in summary.views],
        "blobs": summary.blobs,
    }


def _from_json(fields: Mapping[str, Any], *, linked: Path) -> Summary:
    plain = fields["folder"] is not None
    verified_at = fields["verified_at"]
    return Summary(
        fields["repo"],
        fields["hub"],
        fields["revision"],
        fields["commit"],
        Path(fields["folder"]) if plain else linked,
        plain,
        fields["files"],
        fields["listed"],
        fields["size_bytes"],
        parse_moment(fields["pulled_at"]),
        parse_moment(verified_at) if verified_at else None,
        fields["smoke"],
        tuple(ViewPlace(view["kind"], Path(view["root"])) for view in fields["views"]),
        fields["blobs"],
    )
