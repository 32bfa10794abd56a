"""What running pulls count on, for whoever removes from the store: `pull-<16 hex>/` with `needs` and `owner.N`.

- A pull names the blob it will need before it looks whether the blob is here. Whoever removes a blob moves it aside
  and reads these names again before it is gone. One of the two notices the other.
- The names of a pull whose owner is dead count for nothing.
"""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from modelfetch.diskfaults import translated
from modelfetch.manifest import check_digest
from modelfetch.transfer.journal import append
from modelfetch.transfer.owner import BEAT_EVERY_S, Claim, OneLook, Watch, claim, living_owner

PREFIX = "pull-"
# An owner elsewhere beats every two seconds; a machine that was asleep for this long has to look again.
SILENT_S = 24 * 60 * 60
_NAMES = "needs"


class Needs:
    """The names of the blobs that this pull needs; kept while it runs. `add` may be called from several threads."""

    def __init__(self, partials: Path) -> None:
        """Begin the list in the folder of all unfinished downloads.

        Raises:
            DiskFullError: there is no room.
            StoreError: the store cannot be written to.
        """
        self.folder = partials / f"{PREFIX}{secrets.token_hex(8)}"
        with translated(self.folder, "written"):
            owner = claim(self.folder, Watch())
            assert isinstance(owner, Claim), "nobody else has thought of this name"
            self._claim = owner
            self._names = os.open(self.folder / _NAMES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._known: set[str] = set()
        self._ended = threading.Event()
        self._beater = threading.Thread(target=self._beat, name="needs", daemon=True)
        self._beater.start()

    def add(self, sha256: str) -> bool:
        """Name a blob; whether it was not named before.

        Raises:
            DiskFullError: there is no room.
            StoreError: the store cannot be written to.
        """
        if sha256 in self._known:
            return False
        with translated(self.folder, "written"):
            append(self._names, f"{sha256}\n".encode())
        self._known.add(sha256)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._beater.join()
        os.close(self._names)
        # What is left of the list is a dead owner's: it counts for nothing, and `prune` removes it.
        with suppress(OSError):
            (self.folder / _NAMES).unlink(missing_ok=True)
            self._claim.release()
            self.folder.rmdir()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_EVERY_S):
            self._claim.beat()


def needed(partials: Path, now: float) -> dict[str, str]:
    """The sha256 of every blob that a living pull needs, and whose pull it is.

    Raises:
        StoreError: a list cannot be read. What a pull needs is then not known, and nothing may be removed.
    """
    found: dict[str, str] = {}
    with translated(partials, "searched for running pulls"):
        for folder in _lists(partials):
            owner = living_owner(folder, OneLook(now, SILENT_S))
            if owner is not None:
                found |= dict.fromkeys(_names_in(folder), str(owner))
    return found


def _lists(partials: Path) -> list[Path]:
    try:
        with os.scandir(partials) as entries:
            return [Path(entry.path) for entry in entries if entry.name.startswith(PREFIX)]
    except FileNotFoundError:
        return []


def _names_in(folder: Path) -> list[str]:
    try:
        lines = (folder / _NAMES).read_text("ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [line for line in lines if check_digest(line, kind="sha256")]
