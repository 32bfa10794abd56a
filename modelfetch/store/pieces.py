"""The lists of beginnings that are kept beside payloads: in which piece one of them was damaged shows by comparing.

- A list is a hint. One that is missing, torn, of another size of pieces or of other bytes than it is named for is as
  good as absent; and a file is proven by its whole digest, whatever a list says.
- A file of one piece has none.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from modelfetch.hashing import Pieces
from modelfetch.planning.scheduler import PIECE
from modelfetch.store.files import write_hint

_DIGEST_BYTES = 32
_HEADER = re.compile(rb"modelfetch-pieces 1 ([0-9]{1,16}) ([0-9]{1,16}) ([0-9a-f]{8})\n")


class PieceLists:
    """The lists in one folder, named by the sha256 of the file that each is of."""

    def __init__(self, folder: Path, temporaries: Path) -> None:
        self._folder = folder
        self._temporaries = temporaries

    def read(self, sha256: str | None) -> Pieces | None:
        """The list of the file with this digest, None when none is known."""
        if sha256 is None:
            return None
        try:
            pieces = from_bytes(self._path(sha256).read_bytes())
        except OSError:
            return None
        return pieces if pieces and pieces.sha256 == sha256 else None

    def keep(self, pieces: Pieces | None) -> None:
        """Keep a list, where there is one and it is not known yet. A read-only or full disk does not."""
        if pieces is None or self.read(pieces.sha256) == pieces:
            return
        try:
            write_hint(to_bytes(pieces), self._path(pieces.sha256), self._temporaries)
        except OSError:
            return

    def forget(self, sha256: str) -> None:
        """Remove the list of a file that is gone."""
        self._path(sha256).unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256


def to_bytes(pieces: Pieces) -> bytes:
    """The content of the file that holds the list (docs/store.md)."""
    digests = b"".join(pieces.beginnings)
    return b"modelfetch-pieces 1 %d %d %08x\n%s" % (PIECE, pieces.size, zlib.crc32(digests), digests)


def from_bytes(content: bytes) -> Pieces | None:
    """Read what `to_bytes` wrote; None when it is something else, or a list of pieces of another size."""
    header = _HEADER.match(content)
    if header is None:
        return None
    digests = content[header.end() :]
    if int(header[1]) != PIECE or int(header[3], 16) != zlib.crc32(digests) or len(digests) % _DIGEST_BYTES:
        return None
    cuts = range(0, len(digests), _DIGEST_BYTES)
    try:
        return Pieces(int(header[2]), tuple(digests[cut : cut + _DIGEST_BYTES] for cut in cuts))
    except ValueError:
        return None
