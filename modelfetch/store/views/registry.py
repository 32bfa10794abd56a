"""The kinds of views by name, for those who have a record of where views were made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelfetch.store.snapshot import Snapshot, ViewPlace
from modelfetch.store.store import Store
from modelfetch.store.views import View, folder, huggingface, modelscope


@dataclass(frozen=True)
class _Kind:
    link: Callable[[Store, Snapshot, Path], View]
    owned: Callable[[Store, Snapshot, Path, Sequence[Snapshot]], list[Path]]
    missing: Callable[[Snapshot, Path], list[str]]
    stale: Callable[[Store, Snapshot, Path], list[str]]


_KINDS = {
    module.KIND: _Kind(module.link, module.owned, module.missing, module.stale)
    for module in (huggingface, modelscope, folder)
}


def link(store: Store, snapshot: Snapshot, place: ViewPlace) -> View:
    """Make the view at `place`, or make whole what is left of it. Raises what that kind's `link` raises."""
    return _KINDS[place.kind].link(store, snapshot, place.root)


def owned(store: Store, snapshot: Snapshot, place: ViewPlace, going: Sequence[Snapshot]) -> list[Path]:
    """What may be removed from the view, in this order, when all of `going` are. Never anything of the user's."""
    return _KINDS[place.kind].owned(store, snapshot, place.root, going)


def missing(snapshot: Snapshot, place: ViewPlace) -> list[str]:
    """The files that somebody has taken out of the view."""
    return _KINDS[place.kind].missing(snapshot, place.root)


def stale(store: Store, snapshot: Snapshot, place: ViewPlace) -> list[str]:
    """The files in the view that were links of a payload which was mended since, and show what it was before."""
    return _KINDS[place.kind].stale(store, snapshot, place.root)
