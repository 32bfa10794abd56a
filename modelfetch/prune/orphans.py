"""Which of the files that other tools left behind somebody has open right now.

- A file that a living process has open is in use, whatever its age; so is one whose lock is open, by the name that
  Hugging Face's client gives the lock of a download.
- Processes of other users are not seen: for those there is the age that an orphan must have.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from modelfetch.prune.picture import Kind, Leftover

_PROCESSES = Path("/proc")
_LOCKS = ".locks"


class OrphanFile(Protocol):
    """A file that its owner, a tool, does not need any more."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def size_bytes(self) -> int:
        """How much it frees."""

    @property
    def age_s(self) -> float:
        """Since its last change of any kind."""

    @property
    def owner(self) -> str:
        """The tool."""

    @property
    def why(self) -> str:
        """What makes it an orphan."""


def as_leftovers(orphans: Sequence[OrphanFile]) -> list[Leftover]:
    """The orphans for `planning`, with who has them open."""
    users = _open_files() if orphans else {}
    return [
        Leftover(
            Kind.ORPHAN,
            orphan.path,
            orphan.size_bytes,
            orphan.age_s,
            _user(orphan.path, users),
            f"{orphan.owner}: {orphan.why}",
        )
        for orphan in orphans
    ]


def _user(path: Path, users: dict[str, str]) -> str | None:
    if user := users.get(os.path.realpath(path)):
        return user
    etag = path.name.partition(".")[0]
    # <cache>/models--O--N/blobs/<etag>.<8 hex>.incomplete is locked as <cache>/.locks/models--O--N/<etag>.lock.
    repository = path.parent.parent
    lock = repository.parent / _LOCKS / repository.name / f"{etag}.lock"
    return users.get(os.path.realpath(lock))


def _open_files() -> dict[str, str]:
    """The real paths of all files that processes have open, as far as this user may see, and which process it is."""
    found = {}
    for process in _numbered(_PROCESSES):
        for descriptor in _listed(process / "fd"):
            try:
                found[str(descriptor.readlink())] = f"process {process.name} has it open"
            except OSError:
                continue
    return found


def _numbered(folder: Path) -> Iterable[Path]:
    return (path for path in _listed(folder) if path.name.isdecimal())


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
