"""The list of a file's pieces, for a modelfetch that got wrong bytes of it from somebody: it shows in which piece.

- Asked for at the file's own address, and only of a file that is served.
- A list is at hand where this store hashed the whole file; none is made for a client.
"""

from __future__ import annotations

from modelfetch.manifest import Entry
from modelfetch.piecelist import FIELD, MEDIA_TYPE, WANTED, is_of, to_bytes
from modelfetch.serve.catalogue import Shelf
from modelfetch.serve.reply import Reply, json_reply
from modelfetch.serve.request import Request


def are_wanted(request: Request) -> bool:
    """Whether a request for a file is for the list of its pieces instead."""
    return request.query.get(FIELD) == WANTED


def pieces_reply(shelf: Shelf, entry: Entry) -> Reply:
    """The list of the entry's pieces.

    Raises:
        StoreError: the catalogue cannot be read.
    """
    pieces = shelf.pieces(entry.digests.sha256) if entry.digests.sha256 else None
    if pieces is None or not is_of(pieces, entry):
        return json_reply({"error": "the pieces of this file are not known here"}, status=404)
    return Reply(200, {"Content-Type": MEDIA_TYPE, "X-Content-Type-Options": "nosniff"}, to_bytes(pieces))
