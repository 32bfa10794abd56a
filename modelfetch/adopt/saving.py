"""Saves what was found of a model as a snapshot, once its bytes are in the store; or says what that would be.

- What the store has of the same commit stays, and grows.
- In Hugging Face's cache there may be a view of ours, of another hub's model: that is known, and no second model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from modelfetch.adopt.candidate import Candidate
from modelfetch.adopt.report import AdoptedModel
from modelfetch.adopt.snapshots import (
    Content,
    content_of,
    covers,
    is_part_of,
    with_earlier,
    with_revision_of_its_own,
)
from modelfetch.adopt.work import Inode, inode_of
from modelfetch.manifest import Digests, Manifest
from modelfetch.reference import Reference
from modelfetch.store import Snapshot, Store


def foreseen_model(
    store: Store, candidate: Candidate, digests: Mapping[Inode, Digests], taken: frozenset[Path]
) -> AdoptedModel:
    """What `save` would make of `candidate`, when the files `taken` come to those that the store has."""
    here = _here_of(candidate, digests)
    content = content_of(candidate, here) if candidate.repo else None
    known = _known(store, candidate, content) if content else None
    is_taken = any(found.file in taken for found in candidate.files)
    is_new = candidate.repo is not None and (is_taken or (content is not None and known is None))
    return AdoptedModel(candidate, known, is_new, len(here), candidate.size_bytes)


def save(store: Store, candidate: Candidate, digests: Mapping[Inode, Digests]) -> AdoptedModel:
    """The model as the store has it now. `digests` are those of the files that it has.

    Raises:
        DiskFullError: there is no room.
        StoreError: the store cannot be written to.
    """
    here = _here_of(candidate, digests)
    content = content_of(candidate, here) if candidate.repo else None
    known = _known(store, candidate, content) if content else None
    if content is None or (known is not None and _is_named(store, known, content.manifest)):
        return AdoptedModel(candidate, known, False, len(here), candidate.size_bytes)
    same_commit = store.records.matching(_reference(content.manifest, content.manifest.commit))
    referred = store.records.matching(_reference(content.manifest, content.manifest.revision))
    if candidate.commit is None:
        # The commit is the digest of what was taken: of a part it is another one, and the name is for the whole.
        referred = [snapshot for snapshot in referred if not is_part_of(snapshot, content)]
    content = with_earlier(content, next((each for each in same_commit if not each.plain), None))
    content = with_revision_of_its_own(content, referred, candidate.asked_at)
    snapshot = store.save(content.manifest, content.paths, whole_listing=content.whole_listing)
    return AdoptedModel(candidate, snapshot, True, len(here), candidate.size_bytes)


def _here_of(candidate: Candidate, digests: Mapping[Inode, Digests]) -> dict[str, Digests]:
    """The files of `candidate` that the store has as they are claimed to be."""
    known = ((found, digests.get(inode_of(found))) for found in candidate.files)
    return {found.path: here for found, here in known if here and here.agree(found.claim) is not False}


def _known(store: Store, candidate: Candidate, content: Content) -> Snapshot | None:
    """The snapshot that has all this already."""
    pinned = _reference(content.manifest, content.manifest.commit)
    if candidate.commit is not None:
        # The commit is the folder's name, and so another hub's when the folder is a view of ours.
        found = store.records.matching(replace(pinned, hub=None))
    else:
        # Of a part of a model the digest is none that the hub has: what its revision leads to may have this part.
        found = store.records.matching(pinned)
        found += store.records.matching(_reference(content.manifest, content.manifest.revision))
    return next((snapshot for snapshot in found if not snapshot.plain and covers(snapshot, content)), None)


def _is_named(store: Store, known: Snapshot, manifest: Manifest) -> bool:
    """Whether a reference leads to what is known: one that was killed may have written its record and nothing after."""
    return known.manifest.hub != manifest.hub or bool(store.records.matching(_reference(manifest, manifest.revision)))


def _reference(manifest: Manifest, revision: str | None) -> Reference:
    return Reference.of(manifest.repo, manifest.hub, revision)
