"""One adoption from beginning to end: what lies where, what of it is taken and how, and what is saved of it.

- Nothing outside the store is written, moved or removed; a hard link takes a file's permission to be written away.
- A snapshot is saved when its files are in the store. Killed before, the next run finds them there and saves it.
- Copies that do not fit on the disk are refused before the first byte is read.
- What this counts on is named for whoever removes from the store meanwhile, before it is looked for or published.
- A second run reads nothing of what is linked, and nothing that is named by its digest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelfetch.adopt.candidate import Candidate
from modelfetch.adopt.foreseeing import foreseen
from modelfetch.adopt.orphans import orphans
from modelfetch.adopt.places import Place
from modelfetch.adopt.report import TAKEN, AdoptedModel, Adoption, Fate, State
from modelfetch.adopt.saving import foreseen_model, save
from modelfetch.adopt.scanning import scan_place
from modelfetch.adopt.taking import Taking, take_all
from modelfetch.adopt.work import Inode, Means, Work, plan
from modelfetch.errors import DiskFullError, UsageError
from modelfetch.manifest import Digests
from modelfetch.processes import cores
from modelfetch.reference import Reference
from modelfetch.store import Store
from modelfetch.store.adopting import device_of, makes_reflinks, may_hard_link, payload_identities
from modelfetch.store.room import check_room
from modelfetch.store.views.real_files import is_edited_by_people
from modelfetch.transfer.needs import Needs

_COPIES, _CHOOSES_ANOTHER_DISK = "the files that must be copied", "MODELFETCH_HOME"


@dataclass(frozen=True)
class Hashed:
    """So many more bytes of a file were hashed, of `total_bytes` that will be."""

    path: Path
    advanced: int
    total_bytes: int


def _ignore(hashed: Hashed) -> None:
    """The listener of somebody who does not want to know."""


def adopt(
    store: Store,
    places: Sequence[Place],
    *,
    name: Reference | None = None,
    copy: bool = False,
    dry_run: bool = False,
    listener: Callable[[Hashed], None] = _ignore,
) -> Adoption:
    """Take the models in `places` into the store.

    `name` is for the one model there that nothing tells the name of. With `copy` also what cannot be linked is taken.
    `listener` is called from several threads.

    Raises:
        DiskFullError: there is no room for the copies.
        StoreError: the store cannot be written to.
        UsageError: `name` is given, and there is not exactly one model that it can be for.
    """
    began = time.monotonic()
    scans = [scan_place(place, ours=store.blobs.root) for place in places]
    candidates = [candidate for scan in scans for candidate in scan.candidates]
    candidates = candidates if name is None else _named(candidates, name)
    means = Means(
        device_of(store),
        may_hard_link=lambda found: may_hard_link(found.status),
        is_edited=lambda found: is_edited_by_people(found.entry(found.claim)),
        copy=copy,
    )
    models, fates = _foresee(store, candidates, means) if dry_run else _take(store, candidates, means, listener)
    refusals = tuple(refusal for scan in scans for refusal in scan.refusals)
    left_over = tuple(orphans(places))
    return Adoption(tuple(places), models, fates, refusals, left_over, dry_run, time.monotonic() - began)


def _take(
    store: Store, candidates: Sequence[Candidate], means: Means, listener: Callable[[Hashed], None]
) -> tuple[tuple[AdoptedModel, ...], tuple[Fate, ...]]:
    with Needs(store.partials) as needs:

        def find(digests: Digests, size: int) -> Digests | None:
            found = store.find(digests, size)
            # Named for whoever removes, and looked for again: from then on it stays.
            return store.find(found, size) if found and found.sha256 and needs.add(found.sha256) else found

        work = plan(candidates, means, payload_identities(store), find)
        _check_room(store, work)
        total = work.total_bytes
        taking = Taking(store, needs.add, lambda path, count: listener(Hashed(path, count, total)))
        fates = (*take_all(taking, work.groups, cores()), *_here(work))
        digests = _digests(work, fates)
        return tuple(save(store, candidate, digests) for candidate in candidates), fates


def _check_room(store: Store, work: Work) -> None:
    """Refuse what cannot fit, however it is taken.

    Raises:
        DiskFullError: so it is.
    """
    try:
        check_room(store.home, work.copied_bytes(reflinks=False), _COPIES, _CHOOSES_ANOTHER_DISK)
    except DiskFullError:
        if not makes_reflinks(store):
            raise
        check_room(store.home, work.copied_bytes(reflinks=True), _COPIES, _CHOOSES_ANOTHER_DISK)


def _foresee(
    store: Store, candidates: Sequence[Candidate], means: Means
) -> tuple[tuple[AdoptedModel, ...], tuple[Fate, ...]]:
    work = plan(candidates, means, payload_identities(store), store.find)
    fates = (*foreseen(work), *_here(work))
    digests = _digests(work, fates)
    taken = frozenset(fate.path for fate in fates if fate.state in TAKEN)
    return tuple(foreseen_model(store, candidate, digests, taken) for candidate in candidates), fates


def _named(candidates: Sequence[Candidate], name: Reference) -> list[Candidate]:
    """`candidates`, of which the one without a repository has that of `name`."""
    nameless = [candidate for candidate in candidates if candidate.repo is None]
    if len(nameless) != 1:
        folders = ", ".join(str(candidate.folder) for candidate in nameless[:3])
        raise UsageError(
            f"`--as {name}` is for one model without a name",
            facts={"models without one": len(nameless), **({"such as": folders} if folders else {})},
            hint=f"modelfetch adopt PATH --as {name}, with the folder or file of that one",
        )
    return [
        replace(candidate, repo=name.repo, label=name.repo) if candidate.repo is None else candidate
        for candidate in candidates
    ]


def _here(work: Work) -> list[Fate]:
    return [
        Fate(
            work.items[inode].found.file,
            work.items[inode].found.size,
            State.REPEATED if inode in work.repeated else State.HERE,
            digests,
        )
        for inode, digests in work.here.items()
    ]


def _digests(work: Work, fates: Sequence[Fate]) -> dict[Inode, Digests]:
    """What the store has of every file."""
    by_path = {fate.path: fate.digests for fate in fates if fate.digests is not None}
    return {
        inode: digests for inode, item in work.items.items() if (digests := by_path.get(item.found.file)) is not None
    }
