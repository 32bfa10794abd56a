"""What other tools keep of models on this machine, as `adopt --dry-run` would see it, and what downloads have begun.

Hashes nothing and is bounded in time: a cache on a network disk may have a million names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelfetch.config.values import Settings
from modelfetch.diagnosis.background import Background
from modelfetch.diagnosis.machine import Machine
from modelfetch.errors import ModelfetchError

CACHES_LIMIT_S = 3.0
# What stat counts blocks in, whatever the file system's own blocks are.
_BLOCK_BYTES = 512


@dataclass(frozen=True)
class CacheFacts:
    """`repeated_bytes` lie in other tools' caches and again elsewhere, `adoptable_bytes` can be had without a download.

    `is_known` is false where looking took too long.
    """

    models: int = 0
    adoptable_bytes: int = 0
    repeated_bytes: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    is_known: bool = True


@dataclass(frozen=True)
class QueueFacts:
    """Downloads that have begun in the store and are not done: how many, and what they still want of the disk."""

    partials: int = 0
    missing_bytes: int = 0


def read_caches(machine: Machine, settings: Settings, limit_s: float = CACHES_LIMIT_S) -> CacheFacts:
    try:
        return Background(lambda: _look(machine, settings), limit_s).result()
    except (TimeoutError, ModelfetchError):
        return CacheFacts(is_known=False)


def _look(machine: Machine, settings: Settings) -> CacheFacts:
    # Imported here: the first lines are to be read while these are still being imported.
    from modelfetch.adopt import State, adopt, known_places
    from modelfetch.store import Store

    store = Store.open(settings.home, create=False)
    found = adopt(store, known_places(settings, machine.environment), dry_run=True)
    return CacheFacts(
        models=len(found.models),
        adoptable_bytes=found.size_bytes(State.LINKED),
        repeated_bytes=found.size_bytes(State.REPEATED),
        orphans=len(found.orphans),
        orphan_bytes=sum(orphan.size_bytes for orphan in found.orphans),
    )


def read_queue(_machine: Machine, settings: Settings) -> QueueFacts:
    from modelfetch.store import Store

    missing = list(_missing(Store(settings.home).partials))
    return QueueFacts(len(missing), sum(missing))


def _missing(partials: Path) -> Iterator[int]:
    """What is not written yet of each unfinished file: its data has the whole size from the start, with holes."""
    try:
        folders = list(partials.iterdir())
    except OSError:
        return
    for folder in folders:
        try:
            status = (folder / "data").stat()
        except OSError:
            continue
        yield max(0, status.st_size - getattr(status, "st_blocks", 0) * _BLOCK_BYTES)
