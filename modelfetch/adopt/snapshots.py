"""What is saved of a model that was found: its manifest, as far as the disk tells it. Decides only.

- On Hugging Face the commit is the folder's. Where its owner keeps no listing of it, the manifest lists what was found
  and what an earlier adoption found, and is not taken for the whole.
- Elsewhere the commit is the digest of what is here, as it is of a listing: of a model that is here whole, the same.
- A view of ours in that cache has such a digest for its commit, and is recognised by it.
- A reference that leads to another commit stays, unless the owner of what was found has asked the hub since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from modelfetch.adopt.candidate import Candidate
from modelfetch.errors import HostileHubError
from modelfetch.manifest import Digests, Entry, Manifest, check_entries, content_digest
from modelfetch.reference import LOCAL
from modelfetch.store import Snapshot

# The hub whose commits are digests of listings.
MODELSCOPE = "modelscope"


@dataclass(frozen=True)
class Content:
    """A manifest, those of its files that are here, and whether it lists all that the model has."""

    manifest: Manifest
    paths: frozenset[str]
    whole_listing: bool


def content_of(candidate: Candidate, digests: Mapping[str, Digests]) -> Content | None:
    """What to save of `candidate`, of whose files `digests` are in the store; None when that is nothing."""
    assert candidate.repo is not None
    hub = candidate.hub or LOCAL
    entries = {found.path: found.entry(digests[found.path]) for found in candidate.files if found.path in digests}
    if candidate.commit is None:
        commit = content_digest(entries.values())[:40]
        manifest = Manifest(hub, candidate.repo, candidate.revision, commit, tuple(entries.values()))
        whole = len(entries) == len(candidate.files)
        return Content(manifest, frozenset(entries), whole_listing=whole) if entries else None
    if candidate.listing is None:
        manifest = Manifest(hub, candidate.repo, candidate.revision, candidate.commit, tuple(entries.values()))
        return Content(manifest, frozenset(entries), whole_listing=False) if entries else None
    paths = frozenset(listed.path for listed in candidate.listing if _fits(listed, entries.get(listed.path)))
    listing = tuple(
        replace(listed, digests=entries[listed.path].digests) if listed.path in paths else listed
        for listed in candidate.listing
    )
    if content_digest(listing)[:40] == candidate.commit:
        hub = MODELSCOPE
    manifest = Manifest(hub, candidate.repo, candidate.revision, candidate.commit, listing)
    return Content(manifest, paths, whole_listing=True) if paths else None


def _fits(listed: Entry, found: Entry | None) -> bool:
    return found is not None and found.size == listed.size and found.digests.agree(listed.digests) is not False


def with_earlier(content: Content, earlier: Snapshot | None) -> Content:
    """`content` with what an earlier adoption of the same commit listed besides."""
    if earlier is None or content.whole_listing:
        return content
    listed = {entry.path for entry in content.manifest.entries}
    entries = (*content.manifest.entries, *(entry for entry in earlier.manifest.entries if entry.path not in listed))
    try:
        check_entries(entries, where=str(earlier.reference))
    except HostileHubError:
        return content
    return replace(content, manifest=replace(content.manifest, entries=entries))


def with_revision_of_its_own(content: Content, referred: Sequence[Snapshot], asked_at: float | None) -> Content:
    """`content`, pinned to its commit when its revision's reference leads to `referred`, which is another and newer."""
    commit = content.manifest.commit
    others = [snapshot.pulled_at.timestamp() for snapshot in referred if snapshot.manifest.commit != commit]
    if others and (asked_at is None or asked_at <= max(others)):
        return replace(content, manifest=replace(content.manifest, revision=commit))
    return content


def is_part_of(snapshot: Snapshot, content: Content) -> bool:
    """Whether `content` has all that is in `snapshot`: an adoption before could take only some of the same files."""
    here = {entry.path: entry.digests for entry in content.manifest.entries if entry.path in content.paths}
    return all(entry.digests.agree(here.get(entry.path, Digests())) for entry in snapshot.entries)


def covers(snapshot: Snapshot, content: Content) -> bool:
    """Whether everything that `content` has here is in `snapshot` already, and its listing where that is the whole."""
    if content.whole_listing and not snapshot.whole_listing and content.manifest.commit == snapshot.manifest.commit:
        return False
    there = {entry.path: entry.digests for entry in snapshot.entries}
    here = (entry for entry in content.manifest.entries if entry.path in content.paths)
    return all(entry.digests.agree(there.get(entry.path, Digests())) for entry in here)
