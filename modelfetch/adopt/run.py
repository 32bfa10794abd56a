"""One adoption from beginning to end: what lies where, what of it is taken and how, and what is saved of it.

- Nothing outside the store is written, moved or removed; a hard link takes a file's permission to be written away.
- A snapshot is saved when its files are in the store. Killed before, the next run finds them there and saves it.
- A second run reads nothing of what is linked, and nothing that is named by its digest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelfetch.adopt.candidate import Candidate
from modelfetch.adopt.orphans import orphans
from modelfetch.adopt.places import Place
from modelfetch.adopt.report import TAKEN, AdoptedModel, Adoption, Fate, State
from modelfetch.adopt.scanning import scan_place
from modelfetch.adopt.snapshots import Content, content_of, with_earlier, with_revision_of_its_own
from modelfetch.adopt.taking import take_all
from modelfetch.adopt.work import Inode, Item, Means, Work, inode_of, plan
from modelfetch.errors import UsageError
from modelfetch.manifest import Digests, Manifest
from modelfetch.reference import LOCAL, Reference
from modelfetch.store import Snapshot, Store
from modelfetch.store.adopting import device_of, may_hard_link, payload_identities
from modelfetch.store.links import Method
from modelfetch.store.views.real_files import is_edited_by_people


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
        DiskFullError: there is no room for a copy.
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
    work = plan(candidates, means, payload_identities(store), store.find)
    if dry_run:
        fates = _foreseen(work)
    else:
        total = work.total_bytes
        fates = take_all(store, work.groups, _cores(), lambda path, count: listener(Hashed(path, count, total)))
    fates = [*fates, *_here(work)]
    digests = _digests(work, fates)
    if dry_run:
        taken = frozenset(fate.path for fate in fates if fate.state in TAKEN)
        models = tuple(_foreseen_model(store, candidate, digests, taken) for candidate in candidates)
    else:
        models = tuple(_save(store, candidate, digests) for candidate in candidates)
    refusals = tuple(refusal for scan in scans for refusal in scan.refusals)
    left_over = tuple(orphans(places))
    return Adoption(tuple(places), models, tuple(fates), refusals, left_over, dry_run, time.monotonic() - began)


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


def _foreseen(work: Work) -> list[Fate]:
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


def _foreseen_model(
    store: Store, candidate: Candidate, digests: Mapping[Inode, Digests], taken: frozenset[Path]
) -> AdoptedModel:
    here = _here_of(candidate, digests)
    content = content_of(candidate, here, candidate.hub or LOCAL) if candidate.repo else None
    earlier = _earlier(store, candidate, content) if content else None
    is_taken = any(found.file in taken for found in candidate.files)
    is_new = candidate.repo is not None and (is_taken or (content is not None and earlier is None))
    return AdoptedModel(candidate, earlier, is_new, len(here), candidate.size_bytes)


def _save(store: Store, candidate: Candidate, digests: Mapping[Inode, Digests]) -> AdoptedModel:
    here = _here_of(candidate, digests)
    content = content_of(candidate, here, candidate.hub or LOCAL) if candidate.repo else None
    if content is None:
        return AdoptedModel(candidate, None, False, len(here), candidate.size_bytes)
    earlier = _earlier(store, candidate, content)
    if earlier is not None and (_is_view(earlier, content) or content.paths <= earlier.paths):
        return AdoptedModel(candidate, earlier, False, len(here), candidate.size_bytes)
    referred = store.records.matching(_reference(content.manifest, content.manifest.revision))
    content = with_revision_of_its_own(with_earlier(content, earlier), referred)
    snapshot = store.save(content.manifest, content.paths, whole_listing=content.whole_listing)
    return AdoptedModel(candidate, snapshot, True, len(here), candidate.size_bytes)


def _here_of(candidate: Candidate, digests: Mapping[Inode, Digests]) -> dict[str, Digests]:
    """The files of `candidate` that the store has as they are claimed to be."""
    known = ((found, digests.get(inode_of(found))) for found in candidate.files)
    return {found.path: here for found, here in known if here and here.agree(found.claim) is not False}


def _earlier(store: Store, candidate: Candidate, content: Content) -> Snapshot | None:
    """What the store has of the same commit, of whichever hub where the folder names it: it may be a view of ours."""
    pinned = _reference(content.manifest, content.manifest.commit)
    if candidate.commit is not None:
        pinned = replace(pinned, hub=None)
    return next((snapshot for snapshot in store.records.matching(pinned) if not snapshot.plain), None)


def _is_view(earlier: Snapshot, content: Content) -> bool:
    return earlier.manifest.hub != content.manifest.hub


def _reference(manifest: Manifest, revision: str | None) -> Reference:
    owner, _, name = manifest.repo.partition("/")
    return Reference(owner, name, manifest.hub, revision)


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
