"""Which of the files that other tools left behind somebody works on right now.

- A file that a living process has open is in use, whatever its age; so is one whose lock is open, by the name that
  Hugging Face's client gives the lock of a download.
- Processes of other users are not seen (`open_files`): for those there is the age that an orphan must have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from modelfetch.prune.open_files import Inode, inode_of
from modelfetch.prune.picture import Kind, Leftover

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


def as_leftovers(orphans: Sequence[OrphanFile], users: Mapping[Inode, str]) -> list[Leftover]:
    """The orphans for `planning`, with who of `users`, the processes that have files open, has them open."""
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


def _user(path: Path, users: Mapping[Inode, str]) -> str | None:
    etag = path.name.partition(".")[0]
    # <cache>/models--O--N/blobs/<etag>.<8 hex>.incomplete is locked as <cache>/.locks/models--O--N/<etag>.lock.
    repository = path.parent.parent
    lock = repository.parent / _LOCKS / repository.name / f"{etag}.lock"
    found = next((user for file in (path, lock) if (user := users.get(inode_of(file)))), None)
    return f"{found} has it open" if found else None
