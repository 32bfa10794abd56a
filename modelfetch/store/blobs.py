"""Payloads by their sha256, the index from git-sha1, the stamps that say when a payload was last known to be whole, and
the lists of its beginnings.

Raises StoreError or DiskFullError where the disk refuses. Never verifies what `publish` is given: its caller has.

- A payload appears by rename, complete, read-only and fsynced. A whole one is never replaced, a broken one is.
- A stamp that is missing or does not fit costs one hashing of the payload, never a wrong answer.
- The index, the stamps and the lists are hints: what is malformed in them is as good as absent.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from modelfetch.diskfaults import translated
from modelfetch.errors import StoreError
from modelfetch.hashing import Pieces, wants_git_sha1
from modelfetch.manifest import Digests, check_digest
from modelfetch.store.damaged import Damaged, readable_bytes
from modelfetch.store.files import (
    READ_ONLY,
    drop,
    fsync_file,
    publish,
    sweep,
    temporary_in,
    write_hint,
    write_temporary,
)
from modelfetch.store.hashing import hash_file
from modelfetch.store.links import copy_verified
from modelfetch.store.pieces import PieceLists

FOLDER = "blobs-v1"


@dataclass(frozen=True)
class _Stamp:
    """`inode` is None in stamps of before it was kept."""

    size: int
    mtime_ns: int
    inode: int | None
    git_sha1: str | None

    def fits(self, status: os.stat_result) -> bool:
        same = (self.size, self.mtime_ns) == (status.st_size, status.st_mtime_ns)
        return same and self.inode in {None, status.st_ino}


class Blobs:
    """The payloads under one folder."""

    def __init__(self, home: Path) -> None:
        # Real from here on, so that relative links stay right when `blobs-v1` itself is a link to a bigger disk.
        self.root = (home / FOLDER).resolve()
        self._temporaries = self.root / ".temporary"
        self._damaged = Damaged(self.root / "damaged", self._temporaries)
        self.pieces = PieceLists(self.root / "pieces", self._temporaries)

    def path(self, sha256: str) -> Path:
        """Where the payload is, or would be."""
        return self.root / "sha256" / sha256[:2] / sha256

    def sweep(self) -> None:
        """Remove temporaries that nobody works on any more."""
        sweep(self._temporaries)

    def find(self, digests: Digests, size: int) -> Digests | None:
        """What is known of the payload with these digests and this size: its sha256 always, its git-sha1 where it was
        ever wanted. None when it is not here whole.

        Reads the payload only where its stamp does not fit. `digests` may name the git-sha1 alone.
        """
        sha256 = digests.sha256 or self._sha256_of(digests.git_sha1)
        if sha256 is None:
            return None
        try:
            found = self._whole(sha256, size, with_git_sha1=wants_git_sha1(digests, size))
        except OSError:
            return None
        if found is None or (digests.sha256 is None and found.git_sha1 != digests.git_sha1):
            return None
        return found

    def is_known(self, sha256: str, size: int) -> bool:
        """Whether the payload is as it was when it was last known to be whole. Reads its stamp, never the payload."""
        try:
            status = self.path(sha256).lstat()
        except OSError:
            return False
        stamp = self._read_stamp(sha256)
        return stat.S_ISREG(status.st_mode) and status.st_size == size and stamp is not None and stamp.fits(status)

    def publish(self, data: Path, digests: Digests, pieces: Pieces | None = None) -> Path:
        """Move `data` in under its sha256, or drop it when a whole payload is there already.

        The caller has computed the digests, and `pieces` where it knows them, over exactly these bytes, and nothing
        has `data` open for writing any more.

        Raises:
            DiskFullError: there is no room.
            StoreError: the store, or `data`, cannot be used.
        """
        sha256 = _name(digests)
        final = self.path(sha256)
        with translated(final, "published"):
            if self.find(digests, data.stat().st_size) is not None:
                data.unlink()
            else:
                fsync_file(data, mode=READ_ONLY)
                self._move_in(data, final, sha256)
            self.stamp(digests, final.lstat())
        self.pieces.keep(pieces)
        return final

    def publish_bytes(self, content: bytes | memoryview, digests: Digests) -> Path:
        """`publish` for a small file in memory."""
        final = self.path(_name(digests))
        with translated(final, "published"):
            if self.find(digests, len(content)) is None:
                temporary = temporary_in(self._temporaries)
                try:
                    write_temporary(content, temporary, mode=READ_ONLY)
                    fsync_file(temporary)
                    publish(temporary, final)
                finally:
                    drop(temporary)
            self.stamp(digests, final.lstat())
        return final

    def stamp(self, digests: Digests, status: os.stat_result) -> None:
        """Remember that the payload was hashed and right while it had `status`. A read-only store does not remember."""
        sha256 = _name(digests)
        known = self._read_stamp(sha256)
        git_sha1 = digests.git_sha1 or (known.git_sha1 if known else None)
        stamp = _Stamp(status.st_size, status.st_mtime_ns, status.st_ino, git_sha1)
        try:
            write_hint(json.dumps(asdict(stamp)), self._hint("verified", sha256), self._temporaries)
            if git_sha1 is not None and self._sha256_of(git_sha1) != sha256:
                write_hint(f"{sha256}\n", self._hint("git-sha1", git_sha1), self._temporaries)
        except OSError:
            return

    def distrust(self, sha256: str) -> None:
        """Forget that the payload was known to be whole: whoever looks for it reads it. A read-only store does not."""
        with suppress(OSError):
            self._hint("verified", sha256).unlink(missing_ok=True)

    def set_damaged_aside(self, sha256: str) -> Path | None:
        """Take a damaged payload out of its final name; where it went, None when there is none.

        Raises:
            StoreError: the store cannot be written to.
        """
        return self._damaged.set_aside(self.path(sha256), sha256)

    def salvage(self, digests: Digests, size: int, *, beyond: int) -> Path | None:
        """What is left of a damaged payload, as a writable file of nobody else's; None where not more than `beyond`
        bytes can be had.

        Only for whoever owns the partial of these bytes and has just not found them with this size: a payload that is
        not whole is set aside here. One that is whole with another size stays: it is a listing that is wrong.

        Raises:
            DiskFullError: there is no room for a copy of one that has other names.
            StoreError: the store cannot be written to.
        """
        if digests.sha256 is None:
            return None
        if readable_bytes(self.path(digests.sha256)) > beyond:
            if self._is_whole_with_another_size(digests.sha256, size):
                return None
            self.set_damaged_aside(digests.sha256)
        return self._damaged.salvage(digests.sha256, beyond=beyond)

    def drop_damaged(self, sha256: str) -> None:
        """Forget what was set aside, once the payload is whole again."""
        self._damaged.drop(sha256)

    def move_aside(self, sha256: str) -> Path | None:
        """Give the payload a temporary name from which `move_back` can return it; None when there is none.

        Raises:
            StoreError: the store cannot be written to.
        """
        with translated(self.path(sha256), "removed"):
            aside = temporary_in(self._temporaries).with_name(f"{sha256}.{secrets.token_hex(4)}")
            try:
                self.path(sha256).rename(aside)
            except FileNotFoundError:
                return None
        return aside

    def move_back(self, aside: Path, sha256: str) -> None:
        """Undo `move_aside`. A payload that has come since stays, and is as good.

        Raises:
            StoreError: the store cannot be written to.
        """
        with translated(self.path(sha256), "put back"):
            if not os.path.lexists(self.path(sha256)):
                try:
                    publish(aside, self.path(sha256))
                except FileNotFoundError:
                    # Somebody else has just put it back, and that is as it should be; or it is gone.
                    if not os.path.lexists(self.path(sha256)):
                        raise
            drop(aside)

    def asides(self) -> dict[str, Path]:
        """What `move_aside` has moved and nobody has moved back or removed yet, by its sha256."""
        names = ((entry.name.partition("."), Path(entry.path)) for entry in _entries(self._temporaries))
        return {sha256: aside for (sha256, dot, _), aside in names if dot and check_digest(sha256, kind="sha256")}

    def forget(self, sha256: str) -> None:
        """Remove the hints of a payload that is gone."""
        stamp = self._read_stamp(sha256)
        with translated(self.root, "cleaned"):
            self._hint("verified", sha256).unlink(missing_ok=True)
            self.pieces.forget(sha256)
            if stamp is not None and stamp.git_sha1 is not None and self._sha256_of(stamp.git_sha1) == sha256:
                self._hint("git-sha1", stamp.git_sha1).unlink(missing_ok=True)

    def stale_hints(self, here: Container[str], mended: Container[str]) -> Iterator[Path]:
        """The hints about payloads that are not among those that are `here`; `mended` ones need their pieces."""
        for kind in ("verified", "pieces", "git-sha1"):
            for shard in _entries(self.root / kind):
                for entry in _entries(Path(shard.path)):
                    sha256 = self._sha256_of(entry.name) if kind == "git-sha1" else entry.name
                    if sha256 is None or not (sha256 in here or (kind == "pieces" and sha256 in mended)):
                        yield Path(entry.path)

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Every payload's sha256 and size, whole or not."""
        for shard in _entries(self.root / "sha256"):
            for entry in _entries(Path(shard.path)):
                if check_digest(entry.name, kind="sha256"):
                    yield entry.name, entry.stat(follow_symlinks=False).st_size

    def _is_whole_with_another_size(self, sha256: str, size: int) -> bool:
        try:
            actual = self.path(sha256).lstat().st_size
            return actual != size and self._whole(sha256, actual, with_git_sha1=False) is not None
        except OSError:
            return False

    def _whole(self, sha256: str, size: int, *, with_git_sha1: bool) -> Digests | None:
        path = self.path(sha256)
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size != size or not os.access(path, os.R_OK):
            return None
        stamp = self._read_stamp(sha256)
        if stamp is not None and stamp.fits(status) and (stamp.git_sha1 or not with_git_sha1):
            return Digests(sha256, stamp.git_sha1)
        hashed = hash_file(path, with_git_sha1=with_git_sha1)
        if hashed is None or hashed.digests().sha256 != sha256:
            return None
        self.stamp(hashed.digests(), status)
        self.pieces.keep(hashed.pieces())
        return hashed.digests()

    def _move_in(self, data: Path, final: Path, sha256: str) -> None:
        try:
            publish(data, final)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        else:
            return
        # The partials are on another disk than the payloads: somebody made one of the two folders a link.
        temporary = temporary_in(self._temporaries)
        try:
            copy_verified(data, temporary, sha256)
            fsync_file(temporary, mode=READ_ONLY)
            publish(temporary, final)
        finally:
            drop(temporary)
        data.unlink()

    def _hint(self, kind: str, digest: str) -> Path:
        return self.root / kind / digest[:2] / digest

    def _sha256_of(self, git_sha1: str | None) -> str | None:
        if git_sha1 is None:
            return None
        try:
            return check_digest(self._hint("git-sha1", git_sha1).read_text("ascii").strip(), kind="sha256")
        except (OSError, UnicodeDecodeError):
            return None

    def _read_stamp(self, sha256: str) -> _Stamp | None:
        try:
            fields = json.loads(self._hint("verified", sha256).read_bytes())
            git_sha1 = check_digest(fields["git_sha1"], kind="git_sha1")
            if git_sha1 is None and fields["git_sha1"] is not None:
                return None
            inode = int(fields["inode"]) if "inode" in fields else None
            return _Stamp(int(fields["size"]), int(fields["mtime_ns"]), inode, git_sha1)
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _name(digests: Digests) -> str:
    if digests.sha256 is None:
        raise ValueError("a payload is published under its sha256")
    return digests.sha256


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"`{folder}` cannot be listed", facts={"why": error.strerror}) from error
