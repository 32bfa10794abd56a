"""What would become of files that nobody has hashed, for a dry run. Decides only.

- Every file is taken to hold what is claimed, and every link to be possible on the store's own file system.
"""

from __future__ import annotations

from modelfetch.adopt.report import Fate, State
from modelfetch.adopt.work import Item, Work
from modelfetch.store.links import Method


def foreseen(work: Work) -> list[Fate]:
    """What would become of the files, if each holds what is claimed."""
    fates = []
    for group in work.groups:
        first, *others = group
        fates.append(_foreseen_fate(first))
        fates += [
            Fate(other.found.file, other.found.size, State.REPEATED if first.methods else State.LEFT, why=other.why_not)
            for other in others
        ]
    return fates


def _foreseen_fate(item: Item) -> Fate:
    if Method.HARD_LINK in item.methods:
        return Fate(item.found.file, item.found.size, State.LINKED)
    if Method.COPY in item.methods:
        return Fate(item.found.file, item.found.size, State.COPIED)
    return Fate(item.found.file, item.found.size, State.LEFT, why=item.why_not)
