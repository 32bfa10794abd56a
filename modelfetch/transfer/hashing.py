"""Digests of a file that is still arriving: hashed behind the frontier, so that they are known when the last byte
lands.

- Where the pieces of the file are known, each is compared as it is passed: one that is wrong is met at its own border,
  not at the end of the file, and hashing goes on behind it when it was replaced.
"""

from __future__ import annotations

from modelfetch.hashing import Hasher, Pieces, wants_git_sha1
from modelfetch.manifest import Digests, Entry
from modelfetch.piecelist import is_of
from modelfetch.planning.spans import Span
from modelfetch.transfer.partial import Partial

# What is read is hashed while it is in the processor's own memory.
_BLOCK = 128 << 10


class RunningDigest:
    """The digests of the first `position` bytes of an entry, of which `known` may tell the pieces."""

    def __init__(self, entry: Entry, known: Pieces | None = None) -> None:
        self._hasher = Hasher(entry.size, with_git_sha1=wants_git_sha1(entry.digests, entry.size))
        self._known = known if known and is_of(known, entry) else None

    @property
    def position(self) -> int:
        return self._hasher.position

    @property
    def proven(self) -> int:
        """How many bytes from the start are right, as far as comparing tells."""
        return self._hasher.marked

    def compare_no_more(self) -> None:
        """Do not believe what is known of the pieces: only the whole digest counts."""
        self._known = None

    def update(self, data: memoryview | bytes) -> None:
        self._hasher.update(data)

    def catch_up(self, partial: Partial, frontier: int, buffer: memoryview) -> Span | None:
        """Read and hash what lies between `position` and `frontier`.

        Returns the first piece that is not as it is known to be; the position is then back where that piece begins.
        """
        while self.position < frontier:
            border = self._hasher.next_border
            # Not beyond the border: what is behind it is read once the piece before it is right.
            with partial.reading(Span(self.position, min(frontier, border)), buffer) as view:
                if not view:
                    raise OSError(f"`{partial.data}` is shorter than it was written")
                self.update(view)
            if self._known is not None and self.position == border:
                if self._hasher.beginning() != self._known.beginning(border):
                    self._hasher.rewind()
                    return Span(self.position, border)
                self._hasher.mark()
        return None

    def rewind(self) -> None:
        """Go back to what is proven: the bytes behind it are read again."""
        self._hasher.rewind()

    def digests(self) -> Digests:
        return self._hasher.digests()

    def pieces(self) -> Pieces | None:
        """The pieces of the whole file; None when it has only one."""
        return self._hasher.pieces()


def new_buffer() -> memoryview:
    """A buffer for `catch_up`, one per thread."""
    return memoryview(bytearray(_BLOCK))


def digests_of(entry: Entry, content: memoryview | bytes) -> Digests:
    """The digests of a small file."""
    running = RunningDigest(entry)
    running.update(content)
    return running.digests()


def matches(entry: Entry, digests: Digests) -> bool:
    """Whether computed digests prove the bytes to be the entry's: something must agree, nothing may contradict."""
    pairs = ((entry.digests.sha256, digests.sha256), (entry.digests.git_sha1, digests.git_sha1))
    compared = [wanted == got for wanted, got in pairs if wanted and got]
    return bool(compared) and all(compared)
