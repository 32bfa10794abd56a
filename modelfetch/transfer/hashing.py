"""Digests of a file that is still arriving: hashed behind the frontier, so that they are known when the last byte
lands.
"""

from __future__ import annotations

import hashlib

from modelfetch.manifest import Digests, Entry
from modelfetch.transfer.partial import Partial

_BLOCK = 1 << 20


class RunningDigest:
    """Both digests of the first `position` bytes of an entry: the store and its views name files by either."""

    def __init__(self, entry: Entry) -> None:
        self.position = 0
        self._sha256 = hashlib.sha256()
        # A git blob's id is the sha1 of a header and the content; git chose sha1, security does not rest on it.
        self._git_sha1 = hashlib.sha1(b"blob %d\0" % entry.size, usedforsecurity=False)

    def update(self, data: memoryview | bytes) -> None:
        self._sha256.update(data)
        self._git_sha1.update(data)
        self.position += len(data)

    def catch_up(self, partial: Partial, frontier: int, buffer: memoryview) -> None:
        """Read and hash what lies between `position` and `frontier`."""
        while self.position < frontier:
            count = partial.readinto(buffer[: min(len(buffer), frontier - self.position)], self.position)
            if count == 0:
                raise OSError(f"`{partial.data}` is shorter than it was written")
            self.update(buffer[:count])

    def digests(self) -> Digests:
        return Digests(self._sha256.hexdigest(), self._git_sha1.hexdigest())


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
