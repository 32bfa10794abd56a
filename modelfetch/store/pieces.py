"""The lists of beginnings that are kept beside payloads: in which piece one of them was damaged shows by comparing.

- A list is a hint. One that is missing, torn, of another size of pieces or of other bytes than it is named for is as
  good as absent; and a file is proven by its whole digest, whatever a list says.
- A file of one piece has none.
"""

from __future__ import annotations

from pathlib import Path

from modelfetch.hashing import Pieces
from modelfetch.piecelist import from_bytes, to_bytes
from modelfetch.store.files import write_hint


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
