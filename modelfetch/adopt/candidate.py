"""What a scan of a place finds, as values, and the checks that every layout makes of it. Decides only.

- A name on a disk is as hostile as a name from a hub, and is refused by the same rules.
- A claim is what a tool says that a file holds, by the file's name or beside it. Only hashing makes it more.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from modelfetch.adopt.real_paths import RealPaths
from modelfetch.errors import HostileHubError, UsageError
from modelfetch.manifest import Digests, Entry, check_entries, path_problem
from modelfetch.reference import parse

# What no hub keeps in git itself: the dialects draw the line at the same size.
LARGE_BYTES = 5 << 20


@dataclass(frozen=True)
class Found:
    """One file of a model: its path in the repository, the file with its bytes, that file's status, what is claimed."""

    path: str
    file: Path
    status: os.stat_result
    claim: Digests = field(default_factory=Digests)
    lfs: bool | None = None

    @property
    def size(self) -> int:
        return self.status.st_size

    def entry(self, digests: Digests) -> Entry:
        """The file as a hub would list it."""
        return Entry(self.path, self.size, digests, lfs=self.size >= LARGE_BYTES if self.lfs is None else self.lfs)


@dataclass(frozen=True)
class Candidate:
    """A model, or a part of one, that lies in `folder`. `label` is what its owner calls it.

    `hub`, `repo` and `commit` are None where nothing tells them; `listing` is the whole one where the owner keeps it,
    and `asked_at` when it last asked the hub where `revision` leads, in seconds since the epoch.
    """

    label: str
    folder: Path
    files: tuple[Found, ...]
    hub: str | None = None
    repo: str | None = None
    revision: str | None = None
    commit: str | None = None
    listing: tuple[Entry, ...] | None = None
    asked_at: float | None = None

    @property
    def size_bytes(self) -> int:
        return sum(found.size for found in self.files)


@dataclass(frozen=True)
class Refusal:
    """Something that is left alone, and why."""

    path: Path
    why: str


@dataclass
class Scan:
    """What is found in a place, in the order in which it is found. `ours` is where our own links in it lead to."""

    ours: Path | None = None
    real_paths: RealPaths = field(default_factory=RealPaths)
    candidates: list[Candidate] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def refuse(self, path: Path, why: str) -> None:
        self.refusals.append(Refusal(path, why))

    def add(self, candidate: Candidate) -> None:
        """Take a candidate that has files, and whose files can all be in one folder."""
        if not candidate.files:
            return
        try:
            check_entries((found.entry(found.claim) for found in candidate.files), where=candidate.label)
        except HostileHubError as error:
            self.refuse(candidate.folder, f"{error.facts.get('file', '')} {error.facts.get('why', '')}".strip())
        else:
            self.candidates.append(candidate)


def repository_name(owner: str, name: str) -> str | None:
    """`owner/name` when that is what a repository can be called."""
    try:
        reference = parse(f"{owner}/{name}")
    except UsageError:
        return None
    return reference.repo if (reference.owner, reference.name) == (owner, name) else None


def is_revision(name: str) -> bool:
    """Whether a branch or a tag can be called so."""
    try:
        return parse(f"owner/name@{name}").revision == name
    except UsageError:
        return False


def name_problem(path: str) -> str | None:
    """Why a file of this name is refused, or None when it is not."""
    problem = path_problem(path)
    return f"its name {problem}" if problem else None
