"""What goes when snapshots are removed, what stays, and why. Decides only: it is told what is on the disk.

- A payload goes when no other snapshot needs it, no pull that runs counts on it, and no other hard link holds it.
- Its bytes are counted once, however many of the removed snapshots share it.
- While any record cannot be read, no payload goes: nobody knows what that record needs.
- A plain folder is the user's: it stays, and the snapshot's record goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelfetch.store.snapshot import Snapshot
from modelfetch.units import format_names


@dataclass(frozen=True)
class Item:
    """One thing that goes or stays. `model` is the snapshot that it is, or that it is a view of."""

    what: str
    path: Path
    size_bytes: int
    why: str
    model: str | None = None


@dataclass(frozen=True)
class Removal:
    """What was, or with `dry_run` would be, removed."""

    snapshots: tuple[Snapshot, ...]
    goes: tuple[Item, ...]
    stays: tuple[Item, ...]
    dry_run: bool

    @property
    def freed_bytes(self) -> int:
        return sum(item.size_bytes for item in self.goes)


@dataclass(frozen=True)
class Holdings:
    """What the disk says about the payloads in question.

    `foreign_links` counts, for each sha256, the hard links besides the store's own name and those in views that go too;
    `in_use` says of some which running pull counts on them.
    """

    others: Sequence[Snapshot]
    foreign_links: Mapping[str, int]
    unreadable_records: int
    in_use: Mapping[str, str]


def payloads(snapshots: Iterable[Snapshot]) -> dict[str, int]:
    """sha256 and size of every payload in the store that `snapshots` need."""
    return {
        entry.digests.sha256: entry.size
        for snapshot in snapshots
        if not snapshot.plain
        for entry in snapshot.entries
        if entry.digests.sha256 is not None
    }


def reasons_to_stay(digests: Iterable[str], holdings: Holdings) -> dict[str, str]:
    """Those of the payloads that stay, and why."""
    needed: dict[str, list[str]] = {}
    for snapshot in holdings.others:
        for sha256 in payloads([snapshot]):
            needed.setdefault(sha256, []).append(snapshot.name)
    reasons = {}
    for sha256 in digests:
        if sha256 in needed:
            reasons[sha256] = f"needed by {format_names(needed[sha256])}"
        elif sha256 in holdings.in_use:
            reasons[sha256] = f"a pull that runs counts on it: {holdings.in_use[sha256]}"
        elif holdings.unreadable_records:
            reasons[sha256] = f"{holdings.unreadable_records} record(s) that cannot be read may need it"
        elif links := holdings.foreign_links.get(sha256, 0):
            reasons[sha256] = f"{links} other hard link(s) hold it: removing it would free nothing"
    return reasons
