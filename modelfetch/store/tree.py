"""A folder of real files under their own names, and what is remembered of them in its `.modelfetch/`.

Raises StoreError or DiskFullError where the disk refuses.

- A file gets its name by rename, complete and fsynced. What was there before stays until that moment.
- A file is ours while its size, time and inode fit its stamp; any other is the user's and is kept as `<name>.saved`.
- A file with the right bytes is taken for ours whoever put it there; a file that fits its stamp is not read again.
- Stamps are lines that are only ever appended; the last whole line about a path counts.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from modelfetch.diskfaults import translated
from modelfetch.errors import StoreError
from modelfetch.hashing import wants_git_sha1
from modelfetch.manifest import Digests, Entry
from modelfetch.store.damaged import Damaged
from modelfetch.store.files import fsync_file, make_folder, publish, sweep, temporary_in
from modelfetch.store.hashing import hash_file
from modelfetch.store.linking import leads_to
from modelfetch.store.pieces import PieceLists

STATE_FOLDER = ".modelfetch"


@dataclass(frozen=True)
class _Stamp:
    """What a file was when it was known to hold these bytes; `linked` when it is a hard link of a payload, `damaged`
    when it was found not to hold them any more while it was like that.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    sha256: str
    git_sha1: str | None
    linked: bool
    damaged: bool = False

    def fits(self, status: os.stat_result) -> bool:
        return (self.size, self.mtime_ns, self.inode) == (status.st_size, status.st_mtime_ns, status.st_ino)


class Tree:
    """The files below one folder. `saved` names the files that were kept aside for the user."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / STATE_FOLDER
        self.saved: list[Path] = []
        self.log = self.state / "stamps.jsonl"
        temporaries = self.state / "temporary"
        self.damaged = Damaged(self.state / "damaged", temporaries)
        self.pieces = PieceLists(self.state / "pieces", temporaries)
        self._lock = threading.Lock()
        self._stamps = {stamp.path: stamp for stamp in _read_stamps(self.log)}

    def tidy(self) -> None:
        """Remove temporaries that nobody works on any more, and their folder when it is empty."""
        temporaries = self.state / "temporary"
        sweep(temporaries)
        with suppress(OSError):
            temporaries.rmdir()

    def temporary(self) -> Path:
        """A name for a file that is being made, on the disk of the final names.

        Raises:
            StoreError: the folder cannot be written to.
        """
        with translated(self.root, "written to"):
            return temporary_in(self.state / "temporary")

    def find(self, path: str, entry: Entry) -> Digests | None:
        """The digests of the file at `path` when it holds the entry's bytes, else None."""
        file = self.root / path
        try:
            status = file.lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_size != entry.size:
                return None
            stamp = self._stamps.get(path)
            if stamp is not None and stamp.fits(status) and not stamp.damaged:
                digests = Digests(stamp.sha256, stamp.git_sha1)
                return digests if digests.agree(entry.digests) else None
            hashed = hash_file(file, with_git_sha1=wants_git_sha1(entry.digests, entry.size))
        except OSError:
            return None
        if hashed is None or not hashed.digests().agree(entry.digests):
            return None
        self._remember(path, hashed.digests(), status, linked=False)
        return hashed.digests()

    def is_ours(self, path: str) -> bool:
        """Whether the file at `path` is still what was put there."""
        try:
            status = (self.root / path).lstat()
        except OSError:
            return False
        stamp = self._stamps.get(path)
        return stamp is not None and stamp.fits(status)

    def ours(self, *, below: str) -> list[Path]:
        """The files under `below` that are still what was put there."""
        return [self.root / path for path in self._stamps if path.startswith(below) and self.is_ours(path)]

    def is_known(self, path: str, entry: Entry) -> bool:
        """Whether the file at `path` is as it was when it was last known to hold the entry's bytes. Reads no file."""
        stamp = self._stamps.get(path)
        if stamp is None or stamp.damaged or not self.is_ours(path):
            return False
        return stamp.size == entry.size and Digests(stamp.sha256, stamp.git_sha1).agree(entry.digests) is True

    def distrust(self, path: str) -> None:
        """Forget that the file at `path` was known to hold its bytes: whoever looks for it reads it."""
        if path in self._stamps:
            self._append(replace(self._stamps[path], damaged=True))

    def is_damaged(self, path: str, sha256: str) -> bool:
        """Whether the file at `path` was put there with these bytes, and found not to hold them any more."""
        stamp = self._stamps.get(path)
        return stamp is not None and stamp.damaged and stamp.sha256 == sha256 and self.is_ours(path)

    def is_stale_link(self, path: str, payload: Path) -> bool:
        """Whether the file at `path` was made as a hard link of a payload that has been replaced since."""
        stamp = self._stamps.get(path)
        return stamp is not None and stamp.linked and not leads_to(self.root / path, payload)

    def put(self, path: str, complete: Path, digests: Digests, *, linked: bool = False, keep: bool = True) -> None:
        """Give a complete file the name `path`; with `keep` another one of that name that is not ours is saved aside.

        Raises:
            DiskFullError: there is no room.
            StoreError: the folder cannot be written to, or a folder or file of the user's is in the way.
        """
        final = self.root / path
        with translated(final, "written"):
            try:
                make_folder(final.parent)
            except (FileExistsError, NotADirectoryError) as error:
                raise _in_the_way(final.parent, "a file", "the model has a folder") from error
            if final.is_dir() and not final.is_symlink():
                raise _in_the_way(final, "a folder", "the model has a file")
            fsync_file(complete)
            if keep and os.path.lexists(final) and not self._is_ours_by_now(path):
                self._save_aside(final)
            status = complete.lstat()
            publish(complete, final)
            self._remember(path, digests, status, linked=linked)

    def set_aside(self, path: str, sha256: str) -> None:
        """Take the file at `path`, which does not hold the bytes of `sha256`, out of its name.

        One that was put there with these bytes and has changed since under an unchanged time is damaged; any other is
        the user's, and is kept as `<name>.saved`.

        Raises:
            StoreError: the folder cannot be written to.
        """
        final, stamp = self.root / path, self._stamps.get(path)
        if stamp is not None and stamp.sha256 == sha256 and not stamp.linked and self.is_ours(path):
            self.damaged.set_aside(final, sha256)
            return
        with translated(final, "moved aside"):
            if os.path.lexists(final):
                self._save_aside(final)
                final.unlink(missing_ok=True)

    def _is_ours_by_now(self, path: str) -> bool:
        """`is_ours`, also when another process has put the file since this one began."""
        if not self.is_ours(path):
            with self._lock:
                self._stamps.update({stamp.path: stamp for stamp in _read_stamps(self.log)})
        return self.is_ours(path)

    def _save_aside(self, final: Path) -> None:
        for kept in _saved_names(final):
            try:
                # By a second name, so that there is no moment without a file of the first.
                os.link(final, kept, follow_symlinks=False)
            except FileExistsError:
                continue
            except OSError:
                if os.path.lexists(kept):
                    continue
                final.rename(kept)
            self.saved.append(kept)
            return

    def _remember(self, path: str, digests: Digests, status: os.stat_result, *, linked: bool) -> None:
        assert digests.sha256 is not None
        stamp = _Stamp(
            path, status.st_size, status.st_mtime_ns, status.st_ino, digests.sha256, digests.git_sha1, linked
        )
        self._append(stamp)

    def _append(self, stamp: _Stamp) -> None:
        # The newline goes first: a line that a crash tore then spoils itself only.
        line = b"\n" + json.dumps(asdict(stamp)).encode()
        with self._lock:
            self._stamps[stamp.path] = stamp
            try:
                self.state.mkdir(parents=True, exist_ok=True)
                with self.log.open("ab", buffering=0) as log:
                    log.write(line)
            except OSError:
                # Without its stamp the file is hashed again next time.
                return


def _in_the_way(path: Path, what: str, where: str) -> StoreError:
    return StoreError(
        f"`{path}` is {what} where {where}", hint=f'mv "{path}" "{path}.saved", then the same command again'
    )


def _saved_names(final: Path) -> Iterator[Path]:
    yield final.with_name(f"{final.name}.saved")
    number = 2
    while True:
        yield final.with_name(f"{final.name}.saved.{number}")
        number += 1


def _read_stamps(log: Path) -> Iterator[_Stamp]:
    try:
        lines = log.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield _Stamp(**json.loads(line))
        except (ValueError, TypeError):
            # A line that was torn by a crash, or by two processes on a network file system.
            continue
