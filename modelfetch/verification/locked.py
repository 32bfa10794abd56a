"""Holds what is here to what a lock file says. Decides only: it is told what is locked, and what the store records.

- A locked model is here when the snapshot of its hub and commit is; another commit of the same model is told.
- Each of its locked files is present in that snapshot, by the same size and sha256. Whether the disk still holds those
  bytes is what verifying the snapshot finds out.
- Files that the snapshot has besides are no finding: a lock says which bytes are meant, not that there are no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelfetch.lock import LockedModel
from modelfetch.store import Snapshot
from modelfetch.verification.report import Finding, Problem

# In the place of a path: every file of the model.
_EVERY_FILE = "*"


@dataclass(frozen=True)
class Held:
    """The snapshots that are to be verified, and where they are not what is locked."""

    snapshots: tuple[Snapshot, ...]
    findings: tuple[Finding, ...]


def hold_to_lock(models: Sequence[LockedModel], here: Sequence[Snapshot], *, where: str) -> Held:
    """Compare `models`, locked in the file `where`, with the snapshots that are `here`."""
    snapshots: list[Snapshot] = []
    findings: list[Finding] = []
    for model in models:
        same_name = [each for each in here if each.manifest.repo == model.manifest.repo]
        same_commit = [each for each in same_name if _commit(each) == _commit(model)]
        if not same_commit:
            findings.append(_missing_model(model, same_name, where))
            continue
        # The same commit may be in the store and in plain folders: the one that has most of it speaks for all.
        compared = [(list(_differences(model, snapshot, where)), snapshot) for snapshot in same_commit]
        differences, snapshot = min(compared, key=lambda pair: (len(pair[0]), pair[1].plain))
        findings += differences
        if snapshot not in snapshots:
            snapshots.append(snapshot)
    return Held(tuple(snapshots), tuple(findings))


def _commit(model: LockedModel | Snapshot) -> tuple[str, str]:
    return model.manifest.hub, model.manifest.commit


def _missing_model(model: LockedModel, others: Sequence[Snapshot], where: str) -> Finding:
    there = ", ".join(dict.fromkeys(f"{hub} {commit[:12]}" for hub, commit in map(_commit, others)))
    hub, commit = _commit(model)
    return Finding(
        model.manifest.repo,
        _EVERY_FILE,
        Problem.MISSING_MODEL,
        expected=f"{hub} {commit[:12]}",
        got=there or "no snapshot",
        hint=_hint(model, where),
    )


def _differences(model: LockedModel, snapshot: Snapshot, where: str) -> Iterator[Finding]:
    present = {entry.path: entry for entry in snapshot.entries}
    for locked in model.entries:
        entry = present.get(locked.path)
        if entry is None:
            problem, expected, got = Problem.NOT_PULLED, f"{locked.size} bytes", "no such file in the snapshot"
        elif (entry.size, entry.digests.sha256) != (locked.size, locked.digests.sha256):
            problem, expected, got = Problem.NOT_AS_LOCKED, str(locked.digests.sha256), str(entry.digests.sha256)
        else:
            continue
        hint = _hint(model, where)
        yield Finding(model.manifest.repo, locked.path, problem, expected=expected, got=got, hint=hint)


def _hint(model: LockedModel, where: str) -> str:
    return f"modelfetch pull {model.reference} --locked {where}"
