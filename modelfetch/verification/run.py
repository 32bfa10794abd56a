"""One verification from beginning to end: what to read, reading it, opening it, mending it, remembering it.

- A blob is read once, however many snapshots share it, and never stops the reading of another one. One that is as it
  was when it was last read is not read again, unless that is asked for (bits may rot under an unchanged time) or it
  cannot be opened as what it is.
- Plain verification removes and changes nothing; it only remembers what it found right, and trusts no more in what it
  found wrong.
- Mending: the damaged file leaves its name, the caller's function fetches it, and it is proven again before it counts.
- What nobody can be asked for stays where it is: most of a damaged file may be right, and it may be all there is.
- Nothing here needs a network; only the caller's function may.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelfetch.errors import ModelfetchError
from modelfetch.hashing import Pieces
from modelfetch.manifest import Entry
from modelfetch.processes import cores
from modelfetch.store import Snapshot, Store
from modelfetch.store.linking import leads_to
from modelfetch.store.pieces import PieceLists
from modelfetch.store.removal import payloads
from modelfetch.store.tree import Tree
from modelfetch.store.views import registry
from modelfetch.units import format_bytes
from modelfetch.verification.contents import check_contents
from modelfetch.verification.known import Known
from modelfetch.verification.reading import Reading, Target, read_all
from modelfetch.verification.report import Finding, Problem, Severity, VerifyReport, ordered

# What opening a file says of it when its bytes are others, or when it was never right.
_MAY_BE_ROT = frozenset({Problem.BAD_SAFETENSORS, Problem.BAD_GGUF, Problem.BAD_JSON, Problem.UNREADABLE})
# All but the vocabularies: parsing those twice would take longer than all the rest.
_QUICKLY_PARSED_BYTES = 1 << 20

# Fetches these files of the snapshot again into where the snapshot has its bytes. May raise ModelfetchError. For no
# files it does nothing, or raises because it would have nobody to ask.
Repair = Callable[[Snapshot, frozenset[str]], None]


@dataclass(frozen=True)
class Checked:
    """So many more bytes of a file were read, of `total_bytes` that will be."""

    path: Path
    advanced: int
    total_bytes: int


def _ignore(checked: Checked) -> None:
    """The listener of somebody who does not want to know."""


def verify(
    store: Store,
    snapshots: Sequence[Snapshot] | None = None,
    *,
    repair: Repair | None = None,
    deep: bool = True,
    jobs: int | None = None,
    listener: Callable[[Checked], None] = _ignore,
) -> VerifyReport:
    """Check `snapshots`, or everything in the store when there are none given.

    `deep` reads every byte; otherwise what fits the stamp of when it was last read is known. `listener` is called from
    several threads. With `repair`, what is damaged is set aside and fetched again by that function.

    Raises:
        StoreError: something is to be mended in a store that cannot be written to.
    """
    findings: list[Finding] = []
    if snapshots is None:
        snapshots = store.snapshots()
        findings += _record_findings(store) or _orphan_findings(store, snapshots)
    work = _plan(store, snapshots)
    readings = _read(store, work, deep=deep, jobs=jobs or cores(), listener=listener)
    damage = _damage(store, work, readings)
    errors: list[ModelfetchError] = []
    if repair is not None and damage:
        errors = _mend(store, damage, repair)
        damage = [_after_mending(store, found) for found in damage]
    findings += [found.finding for found in damage]
    for snapshot in snapshots:
        bad = {found.entry.path for found in damage if found.snapshot is snapshot and found.finding.remains}
        findings += check_contents(snapshot, (entry for entry in snapshot.entries if entry.path not in bad))
        findings += _gone_from_views(snapshot)
        if deep or repair is not None:
            # It may have to be read.
            findings += _stale_in_views(store, snapshot, errors if repair else None)
        if deep and not bad:
            store.note_verified(snapshot)
    checked_bytes = sum(reading.read_bytes for reading in readings.values())
    known_bytes = sum(target.size for target in {use.target for use in work} - readings.keys())
    return VerifyReport(checked_bytes, known_bytes, ordered(findings), tuple(errors))


@dataclass(frozen=True)
class _Use:
    """One present file of one snapshot, and the file on disk whose bytes it is."""

    snapshot: Snapshot
    entry: Entry
    target: Target


@dataclass(frozen=True)
class _Damage:
    """A file of a snapshot that is not as it was pulled."""

    use: _Use
    finding: Finding

    @property
    def snapshot(self) -> Snapshot:
        return self.use.snapshot

    @property
    def entry(self) -> Entry:
        return self.use.entry


def _record_findings(store: Store) -> list[Finding]:
    return [
        Finding(record.path.parent.name, str(record.path), Problem.UNREADABLE_RECORD, got=record.why)
        for record in store.damaged_records()
    ]


def _orphan_findings(store: Store, snapshots: Sequence[Snapshot]) -> list[Finding]:
    """Payloads that nobody needs, together: no damage, and nothing that is known while a record cannot be read."""
    needed = payloads(snapshots)
    sizes = [size for sha256, size in store.blobs.sizes() if sha256 not in needed]
    if not sizes:
        return []
    got = f"{len(sizes)} of the payloads, {format_bytes(sum(sizes))}, which no model here needs"
    folder = str(store.blobs.root)
    return [Finding("-", folder, Problem.ORPHANS, Severity.INFO, got=got, hint="modelfetch prune --dry-run")]


def _plan(store: Store, snapshots: Sequence[Snapshot]) -> list[_Use]:
    uses = []
    for snapshot in snapshots:
        for entry in snapshot.entries:
            assert entry.digests.sha256 is not None
            file = snapshot.file(entry.path)
            payload = file if snapshot.plain else store.blob(entry.digests.sha256)
            uses.append(_Use(snapshot, entry, Target(payload, entry.size, entry.digests.sha256)))
            if file.is_file() and not file.is_symlink() and not leads_to(file, payload):
                # Where no links can be made the snapshot has a copy: it is what a loader reads.
                uses.append(_Use(snapshot, entry, Target(file, entry.size, entry.digests.sha256)))
    return uses


def _read(
    store: Store, uses: Sequence[_Use], *, deep: bool, jobs: int, listener: Callable[[Checked], None]
) -> dict[Target, Reading]:
    """Read each target once, and stamp the payloads that are right."""
    by_target = {use.target: use for use in uses}
    targets = list(by_target) if deep else _doubtful(store, uses)
    total = sum(target.size for target in targets)
    readings = read_all(targets, jobs, lambda target, count: listener(Checked(target.path, count, total)))
    for reading in readings:
        use = by_target[reading.target]
        if reading.problem is not None:
            _distrust(store, use)
        elif reading.status is not None:
            _remember(store, use, reading.status, reading.pieces)
    return {reading.target: reading for reading in readings}


def _doubtful(store: Store, uses: Sequence[_Use]) -> list[Target]:
    """The files that are not known, and of the known those that cannot be opened as what they are: rot leaves the time
    as it is, and what is broken at the hub must not be mistaken for it.
    """
    known = Known(store)
    trusted: dict[int, list[_Use]] = {}
    targets: dict[Target, None] = {}
    for use in uses:
        if not known.is_known(use.snapshot, use.entry, use.target.path):
            targets[use.target] = None
        elif use.entry.size <= _QUICKLY_PARSED_BYTES or not use.entry.path.endswith(".json"):
            trusted.setdefault(id(use.snapshot), []).append(use)
    for group in trusted.values():
        findings = check_contents(group[0].snapshot, [use.entry for use in group])
        broken = {finding.path for finding in findings if finding.problem in _MAY_BE_ROT}
        targets.update((use.target, None) for use in group if use.entry.path in broken)
    return list(targets)


def _remember(store: Store, use: _Use, status: os.stat_result, pieces: Pieces | None) -> None:
    """What was found right needs not be read again, and shows later where it was damaged."""
    if use.target.path == store.blob(use.target.sha256):
        store.blobs.stamp(use.entry.digests, status)
    if pieces is not None:
        _piece_lists(store, use).keep(pieces)


def _distrust(store: Store, use: _Use) -> None:
    """What was found wrong is not known any more, though size and time may fit: a pull and a repair find it, too."""
    if use.snapshot.plain:
        Tree(use.snapshot.folder).distrust(use.entry.path)
    elif use.target.path == store.blob(use.target.sha256):
        store.blobs.distrust(use.target.sha256)


def _piece_lists(store: Store, use: _Use) -> PieceLists:
    return Tree(use.snapshot.folder).pieces if use.snapshot.plain else store.blobs.pieces


def _damage(store: Store, uses: Sequence[_Use], readings: Mapping[Target, Reading]) -> list[_Damage]:
    damage = []
    for use in uses:
        reading, where = readings.get(use.target), None
        if reading is not None and reading.problem is not None:
            seen = (reading.problem, reading.expected, reading.got)
            where = _where(store, use, reading)
        elif (got := _wrong_link(use)) is not None:
            seen = (Problem.BROKEN_LINK, str(use.target.path), got)
        else:
            continue
        problem, expected, got = seen
        finding = Finding(use.snapshot.manifest.repo, use.entry.path, problem, expected=expected, got=got, where=where)
        damage.append(_Damage(use, finding))
    return damage


def _where(store: Store, use: _Use, reading: Reading) -> str | None:
    """In which bytes the file first differs from what it was when it was whole."""
    if reading.problem is not Problem.CHANGED or reading.pieces is None:
        return None
    known = _piece_lists(store, use).read(use.target.sha256)
    piece = known.first_difference(reading.pieces) if known else None
    return f"first in bytes {piece.start}-{piece.stop - 1}" if piece else None


def _wrong_link(use: _Use) -> str | None:
    """What the snapshot has instead of a name that leads to the payload, None when it has one."""
    link = use.snapshot.file(use.entry.path)
    if use.snapshot.plain or leads_to(link, use.target.path):
        return None
    if link.is_symlink():
        return str(link.readlink())
    # A real file is a target of its own.
    return None if link.is_file() else "no link"


def _mend(store: Store, damage: Sequence[_Damage], repair: Repair) -> list[ModelfetchError]:
    """Set what is damaged aside, have it fetched, link it again; the errors of what did not work."""
    by_snapshot: dict[Path, list[_Damage]] = {}
    for found in damage:
        by_snapshot.setdefault(store.records.record(found.snapshot), []).append(found)
    errors: list[ModelfetchError] = []
    refusals = [(group, _refusal(group, repair)) for group in by_snapshot.values()]
    groups = [group for group, refusal in refusals if refusal is None]
    for found in (found for group in groups for found in group):
        _set_aside(store, found)
    for group in groups:
        snapshot = group[0].snapshot
        # Asked again for each snapshot: the one before may have brought a file that both need.
        lost = frozenset(found.entry.path for found in group if not _is_whole(store, snapshot, found.entry))
        try:
            if lost:
                repair(snapshot, lost)
            store.relink(snapshot)
            for place in snapshot.views:
                # What somebody took away as a whole is not forced on them again.
                if len(registry.missing(snapshot, place)) < len(snapshot.paths):
                    registry.link(store, snapshot, place)
        except ModelfetchError as error:
            errors.append(error)
    # What came for one model is here for another one that shares it.
    still_damaged = (refusal for group, refusal in refusals if refusal and not _are_whole(store, group))
    return [*errors, *still_damaged]


def _refusal(group: Sequence[_Damage], repair: Repair) -> ModelfetchError | None:
    """Why `repair` has nobody to ask for these files of a snapshot; None where it has, or nothing must come."""
    if all(found.finding.problem is Problem.BROKEN_LINK for found in group):
        return None
    try:
        repair(group[0].snapshot, frozenset())
    except ModelfetchError as error:
        return error
    return None


def _are_whole(store: Store, group: Sequence[_Damage]) -> bool:
    return all(_is_whole(store, found.snapshot, found.entry) for found in group)


def _set_aside(store: Store, found: _Damage) -> None:
    if found.finding.problem in {Problem.MISSING, Problem.BROKEN_LINK}:
        return
    target = found.use.target
    if found.snapshot.plain:
        Tree(found.snapshot.folder).set_aside(found.entry.path, target.sha256)
    elif target.path == store.blob(target.sha256):
        store.blobs.set_damaged_aside(target.sha256)


def _after_mending(store: Store, found: _Damage) -> _Damage:
    """The same, with what is known of it now."""
    repaired = _is_whole(store, found.snapshot, found.entry) and found.snapshot.file(found.entry.path).is_file()
    if repaired and found.snapshot.plain:
        Tree(found.snapshot.folder).damaged.drop(found.use.target.sha256)
    elif repaired:
        store.blobs.drop_damaged(found.use.target.sha256)
    return replace(found, finding=replace(found.finding, repaired=repaired))


def _is_whole(store: Store, snapshot: Snapshot, entry: Entry) -> bool:
    """Whether the bytes are here; reads them only where their stamp does not fit."""
    if snapshot.plain:
        return Tree(snapshot.folder).find(entry.path, entry) is not None
    return store.find(entry.digests, entry.size) is not None


def _stale_in_views(store: Store, snapshot: Snapshot, mending: list[ModelfetchError] | None) -> Iterator[Finding]:
    """Links of a damaged payload that a mending did not come to. Made again unless `mending`, which hears of what does
    not work, is None.
    """
    for place in snapshot.views:
        stale = registry.stale(store, snapshot, place)
        left = set(stale)
        if stale and mending is not None:
            try:
                registry.link(store, snapshot, place)
            except ModelfetchError as error:
                mending.append(error)
            left = set(registry.stale(store, snapshot, place))
        for path in stale:
            yield Finding(
                snapshot.manifest.repo,
                path,
                Problem.STALE_VIEW,
                expected="what the store has",
                got=f"what it was before it was mended, in {place.root}",
                hint=f"modelfetch link {snapshot.reference} --to {place.name}",
                repaired=path not in left,
            )


def _gone_from_views(snapshot: Snapshot) -> Iterator[Finding]:
    for place in snapshot.views:
        if gone := registry.missing(snapshot, place):
            yield Finding(
                snapshot.manifest.repo,
                str(place.root),
                Problem.GONE_FROM_VIEW,
                Severity.INFO,
                expected=f"{len(snapshot.paths)} files",
                got=f"{len(snapshot.paths) - len(gone)}: another program took the rest",
                hint=f"modelfetch link {snapshot.reference} --to {place.name}",
            )
