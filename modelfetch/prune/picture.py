"""A store at one moment, as a value: all that `planning` is told. Ages are in seconds, so that no clock is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from modelfetch.store import Snapshot, ViewPlace


class Kind(StrEnum):
    """What was left over."""

    PARTIAL = "partial"
    SCRATCH = "sdk scratch"
    PULL = "list of a pull"
    TEMPORARY = "temporary"
    DAMAGED = "damaged blob"
    HINT = "hint"
    ORPHAN = "orphan"


@dataclass(frozen=True)
class Leftover:
    """Something that no snapshot is made of. `user` is the living process that works on it, None when none does."""

    kind: Kind
    path: Path
    size_bytes: int
    idle_s: float
    user: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Model:
    """A snapshot, how long ago it was last used, and the views that still show it."""

    snapshot: Snapshot
    idle_s: float
    shown_in: tuple[ViewPlace, ...] = ()


@dataclass(frozen=True)
class Blob:
    """A payload. `foreign_links` counts the hard links besides the store's own names and those in known views."""

    path: Path
    size_bytes: int
    age_s: float
    foreign_links: int = 0


@dataclass(frozen=True)
class Picture:
    """`blobs` are by sha256. Of some `needed` says which running pull counts on them, `opened` which process has them
    open or mapped.
    """

    models: tuple[Model, ...]
    blobs: Mapping[str, Blob]
    leftovers: tuple[Leftover, ...] = ()
    needed: Mapping[str, str] = field(default_factory=dict)
    opened: Mapping[str, str] = field(default_factory=dict)
    unreadable_records: int = 0
