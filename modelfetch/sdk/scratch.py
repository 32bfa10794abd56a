"""The folder that a hub's own client works in: `files/` is what it brings, `home/` all else that it writes, `log`.

- One process at a time owns it (transfer.owner); whoever wants the same commit waits, visibly.
- It outlives a failure, and the next run for the same commit goes on with it; after a success nothing is left of it.
- Nothing in it is trusted: a file counts once its digests were computed and are those of the manifest.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from modelfetch import events
from modelfetch.errors import StoreError
from modelfetch.manifest import Entry
from modelfetch.transfer.hashing import RunningDigest, new_buffer
from modelfetch.transfer.owner import BEAT_EVERY_S, Claim, Watch, claim

ASK_OWNER_EVERY_S = 0.5
MOST_HASHERS = 4


class Scratch:
    """The scratch folder at `folder`, which need not exist."""

    def __init__(self, folder: Path) -> None:
        # The client has another working folder, and takes nothing relative to ours.
        self.folder = folder.absolute()
        self.files = self.folder / "files"
        self.home = self.folder / "home"
        self.log = self.folder / "log"
        self._claim: Claim | None = None
        self._beat_at = 0.0

    @contextlib.contextmanager
    def owned(self, what: str, listener: events.Listener) -> Iterator[None]:
        """Own the folder for the time of the `with`; `what` is told to a user who has to wait for another owner."""
        watch, told = Watch(), False
        while not isinstance(owner := claim(self.folder, watch), Claim):
            if not told:
                listener(events.Waiting(what, str(owner)))
                told = True
            time.sleep(ASK_OWNER_EVERY_S)
        self._claim = owner
        try:
            yield
        finally:
            owner.release()
            with contextlib.suppress(OSError):
                self.folder.rmdir()  # not empty after a failure, or when another process claimed it meanwhile

    def beat(self) -> None:
        """Show that the owner lives; to be called all the time.

        Raises:
            StoreError: another process has taken the folder over.
        """
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = time.monotonic() + BEAT_EVERY_S
        if self._claim is None or not self._claim.beat():
            raise StoreError(f"another process took `{self.folder}` over", hint="run it again")

    def prepare(self) -> None:
        """Make the folders, and remove what no client goes on with."""
        for folder in (self.files, self.home):
            folder.mkdir(parents=True, exist_ok=True)
        # huggingface_hub begins an unfinished file anew, under another name.
        for orphan in (self.files / ".cache" / "huggingface" / "download").rglob("*.incomplete"):
            orphan.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove everything but the owner's mark."""
        for folder in (self.files, self.home):
            # What cannot be removed is in nobody's way: the next run for this commit uses it.
            shutil.rmtree(folder, ignore_errors=True)
        self.log.unlink(missing_ok=True)

    def file(self, entry: Entry) -> Path:
        """Where the client puts the entry's file."""
        return self.files / entry.path

    def has(self, entry: Entry) -> bool:
        """Whether there is a file that could be the entry's."""
        try:
            status = self.file(entry).lstat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == entry.size

    def present_bytes(self, entry: Entry, *, partly: bool) -> int:
        """How much of the entry's file is here; with `partly`, also of one that modelscope_hub has only begun."""
        if self.has(entry):
            return entry.size
        begun = self.file(entry).with_name(f"{self.file(entry).name}.incomplete")
        try:
            return min(entry.size, begun.stat().st_size) if partly else 0
        except OSError:
            return 0

    def size_bytes(self) -> int:
        """How much is in `files` at the moment; the client makes, renames and removes files meanwhile."""
        return sum(_sizes(self.files))

    def hashed(self, entries: Iterable[Entry]) -> dict[str, RunningDigest]:
        """The entries' files, which are there, hashed, by path. With several cores; an interruption ends it."""
        stopping = threading.Event()
        with ThreadPoolExecutor(min(MOST_HASHERS, os.cpu_count() or 1)) as pool:
            hashing = {entry.path: pool.submit(_hashed, self.file(entry), entry, stopping) for entry in entries}
            try:
                while wait(hashing.values(), BEAT_EVERY_S).not_done:
                    self.beat()
                return {path: future.result() for path, future in hashing.items()}
            finally:
                stopping.set()


def _hashed(file: Path, entry: Entry, stopping: threading.Event) -> RunningDigest:
    running, buffer = RunningDigest(entry), new_buffer()
    with file.open("rb", buffering=0) as stream:
        while not stopping.is_set() and (count := stream.readinto(buffer)):
            running.update(buffer[:count])
    return running


def _sizes(folder: Path | os.DirEntry[str]) -> Iterator[int]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _sizes(entry)
        else:
            with contextlib.suppress(OSError):
                yield entry.stat(follow_symlinks=False).st_size
