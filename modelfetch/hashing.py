"""The digests of bytes as they pass: sha256, git-sha1 where somebody needs it, and the sha256 of every beginning.

Reads nothing: whoever has the bytes hands them over, once and in order.

- A running sha256 can be asked at every border between pieces: that list costs nothing, and shows afterwards in which
  piece bytes first differ. The bytes before that piece are proven by the same comparison.
- A list ends in the sha256 of the whole: that is what it is a list of, and one that ends otherwise is not believed.
- git-sha1 costs as much again. Only hubs that keep a file in git itself list it, and none does that with a large one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from modelfetch.manifest import Digests
from modelfetch.planning.scheduler import PIECE
from modelfetch.planning.spans import Span

# Hubs refuse to keep a file in git itself that is larger than 10 MB.
LARGEST_IN_GIT_BYTES = 16 << 20


@dataclass(frozen=True)
class Pieces:
    """The sha256 of the first piece of a file of `size` bytes, of the first two, and so on; at last that of all."""

    size: int
    beginnings: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if self.size <= 0 or len(self.beginnings) != -(-self.size // PIECE):
            raise ValueError(f"{len(self.beginnings)} pieces of {self.size} bytes")

    @property
    def sha256(self) -> str:
        """What the list is a list of."""
        return self.beginnings[-1].hex()

    def beginning(self, border: int) -> bytes:
        """The sha256 of the bytes up to a border between two pieces, or up to the end."""
        return self.beginnings[(border - 1) // PIECE]

    def first_difference(self, other: Pieces) -> Span | None:
        """The first piece in which `other`, of the same size, has other bytes; None when it has the same."""
        for start, ours, theirs in zip(range(0, self.size, PIECE), self.beginnings, other.beginnings, strict=True):
            if ours != theirs:
                return Span(start, min(self.size, start + PIECE))
        return None


class Hasher:
    """The digests of a stream of `size` bytes. `mark` where it is known to be right, `rewind` to there where not."""

    def __init__(self, size: int, *, with_git_sha1: bool) -> None:
        self.size = size
        self.position = 0
        self._sha256 = hashlib.sha256()
        # Git's name for a blob, not a protection: the flag lets a system in FIPS mode compute it.
        self._git_sha1 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False) if with_git_sha1 else None
        self._beginnings: list[bytes] = []
        self.mark()

    @property
    def marked(self) -> int:
        """The position that `rewind` goes back to."""
        return self._marked[0]

    @property
    def next_border(self) -> int:
        """Where the piece that is being hashed ends."""
        return min(self.size, (self.position // PIECE + 1) * PIECE)

    def update(self, data: memoryview | bytes) -> None:
        """Hash the next bytes; what comes after `size` bytes is hashed all the same."""
        view = memoryview(data)
        while view:
            part = view[: PIECE - self.position % PIECE]
            self._sha256.update(part)
            if self._git_sha1 is not None:
                self._git_sha1.update(part)
            self.position += len(part)
            if self.position % PIECE == 0:
                self._beginnings.append(self._sha256.digest())
            view = view[len(part) :]

    def mark(self) -> None:
        """Remember this position."""
        git_sha1 = self._git_sha1.copy() if self._git_sha1 is not None else None
        self._marked = (self.position, self._sha256.copy(), git_sha1)

    def rewind(self) -> None:
        """Be as at the last `mark`, or at the beginning."""
        self.position, self._sha256, self._git_sha1 = self._marked
        del self._beginnings[self.position // PIECE :]
        self.mark()

    def beginning(self) -> bytes:
        """The sha256 of the bytes so far."""
        return self._sha256.digest()

    def digests(self) -> Digests:
        """The digests of the bytes so far; of fewer bytes than `size` the git-sha1 is none of git's."""
        return Digests(self._sha256.hexdigest(), self._git_sha1.hexdigest() if self._git_sha1 is not None else None)

    def pieces(self) -> Pieces | None:
        """The list of a file larger than a piece, once all of it was hashed."""
        if self.position != self.size or self.size <= PIECE:
            return None
        whole = [] if self.size % PIECE == 0 else [self.beginning()]
        return Pieces(self.size, (*self._beginnings, *whole))


def wants_git_sha1(listed: Digests, size: int) -> bool:
    """Whether the git-sha1 of a file is computed, of which a listing says `listed`."""
    return listed.sha256 is None or size <= LARGEST_IN_GIT_BYTES
