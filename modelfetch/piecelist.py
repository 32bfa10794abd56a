"""The list of a file's pieces as bytes: beside a payload on the disk, and from one modelfetch to another.

Reads and asks nothing. The form is docs/store.md's.

- What is malformed, torn, of another size of pieces or of another file is no list, wherever it came from.
- A list has eight bytes for each MiB of its file: of whom more comes sends no list.
- The address of a file's list is the file's own with one field more: who may have the one may have the other, in
  every dialect. A hub that does not know the field answers with the file, under another type.
"""

from __future__ import annotations

import re
import zlib

from modelfetch.hashing import Pieces
from modelfetch.manifest import Entry
from modelfetch.planning.scheduler import PIECE

MEDIA_TYPE = "application/vnd.modelfetch.pieces"
FIELD, WANTED = "modelfetch", "pieces"

_DIGEST_BYTES = 32
_LONGEST_HEADER = 64
_HEADER = re.compile(rb"modelfetch-pieces 1 ([0-9]{1,16}) ([0-9]{1,16}) ([0-9a-f]{8})\n")


def to_bytes(pieces: Pieces) -> bytes:
    """The list in the form of docs/store.md."""
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


def is_of(pieces: Pieces, entry: Entry) -> bool:
    """Whether the list is one of the entry's file: it has its size, and ends in its sha256."""
    return (pieces.size, pieces.sha256) == (entry.size, entry.digests.sha256)


def most_bytes(size: int) -> int:
    """As long as the list of a file of `size` bytes can be."""
    return _LONGEST_HEADER + -(-size // PIECE) * _DIGEST_BYTES


def address(file_url: str) -> str:
    """Where the list of the file at `file_url` is, if there is one."""
    return f"{file_url}{'&' if '?' in file_url else '?'}{FIELD}={WANTED}"
