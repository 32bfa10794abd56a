"""The records of snapshots and the references to them, on disk.

Raises StoreError or DiskFullError where the disk refuses.

- A record or a reference is replaced whole, durably, by rename.
- A record that cannot be read hides no other one; it is reported, because nobody knows which blobs it needs.
- A reference's file name is its revision percent-encoded: one path component on every file system.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from modelfetch.diskfaults import fault, translated
from modelfetch.errors import StoreError
from modelfetch.manifest import Manifest, check_digest
from modelfetch.reference import Reference
from modelfetch.store.files import fsync_folder, remove_empty_folders, sweep, temporary_in, write_durably
from modelfetch.store.snapshot import Snapshot, from_record, to_record

FOLDER = "snapshots-v1"
DEFAULT = "default"
_LONGEST_NAME_BYTES = 200
_SHORTEST_PREFIX = 7
_COMMIT_DIGITS = 40
# A model that is served or loaded all day costs one small write an hour.
_MARK_AGAIN_S = 60 * 60


@dataclass(frozen=True)
class DamagedRecord:
    """A record that is there and cannot be read."""

    path: Path
    why: str


@dataclass(frozen=True)
class Listing:
    """Every record of the store."""

    snapshots: tuple[Snapshot, ...]
    damaged: tuple[DamagedRecord, ...]


class Records:
    """Records and references under one folder."""

    def __init__(self, home: Path) -> None:
        self.root = (home / FOLDER).resolve()
        self.temporaries = self.root / ".temporary"

    def sweep(self) -> None:
        """Remove temporaries that nobody works on any more."""
        sweep(self.temporaries)

    def repository(self, hub: str, repo: str) -> Path:
        """The folder of a repository's snapshots."""
        return self.root / hub / repo.replace("/", "--")

    def links(self, manifest: Manifest) -> Path:
        """The folder of links of a snapshot that is in the store."""
        return self.repository(manifest.hub, manifest.repo) / manifest.commit

    def record(self, snapshot: Snapshot) -> Path:
        """Where the record of `snapshot` is."""
        manifest = snapshot.manifest
        place = _place_suffix(snapshot.folder) if snapshot.plain else ".json"
        return self.repository(manifest.hub, manifest.repo) / f"{manifest.commit}{place}"

    def read(self, path: Path) -> Snapshot:
        """The snapshot of one record.

        Raises:
            StoreError: it cannot be read, or is not one.
        """
        try:
            document = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise StoreError(f"`{path}` cannot be read", facts={"why": str(error)}) from error
        if not isinstance(document, dict):
            raise StoreError(f"`{path}` is not a snapshot's record")
        return from_record(document, where=path, folder=path.with_suffix(""))

    def current(self, snapshot: Snapshot) -> Snapshot | None:
        """What the record of `snapshot` says now; None when there is none, or it cannot be read and may be replaced."""
        try:
            return self.read(self.record(snapshot))
        except StoreError:
            return None

    def write(self, snapshot: Snapshot) -> None:
        """Replace the record of `snapshot`."""
        path = self.record(snapshot)
        with translated(path, "written"):
            write_durably(json.dumps(to_record(snapshot), indent=1), path, self.temporaries)

    def supersede(self, snapshot: Snapshot) -> None:
        """Remove the records of what was in the snapshot's plain folder before: other commits of the repository."""
        current = self.record(snapshot)
        for path in _records(current.parent):
            if path != current and path.name.endswith(_place_suffix(snapshot.folder)):
                with translated(path, "removed"):
                    path.unlink(missing_ok=True)
                    _mark(path).unlink(missing_ok=True)

    def scan(self) -> Listing:
        """Every record, newest pull first."""
        snapshots: list[Snapshot] = []
        damaged: list[DamagedRecord] = []
        for path in map(Path, self.paths()):
            try:
                snapshots.append(self.read(path))
            except StoreError as error:
                damaged.append(DamagedRecord(path, error.render()))
        snapshots.sort(key=lambda snapshot: (snapshot.pulled_at, snapshot.manifest.commit), reverse=True)
        return Listing(tuple(snapshots), tuple(damaged))

    def paths(self) -> Iterator[str]:
        """Where the records are, as text: there may be thousands, and a list of them is to appear at once."""
        for hub in _subfolders(str(self.root)):
            for repository in _subfolders(hub):
                yield from sorted(entry.path for entry in _scanned(repository) if entry.name.endswith(".json"))

    def matching(self, reference: Reference) -> list[Snapshot]:
        """The snapshots that `reference` names; without a revision it names the default branch's.

        The store's own copies come before those in plain folders, and the newest pull first.
        """
        hubs = [self.root / reference.hub] if reference.hub else _folders(self.root)
        snapshots: list[Snapshot] = []
        for hub in hubs:
            repository = self.repository(hub.name, reference.repo)
            commit = self._commit(repository, reference.revision)
            for path in _records(repository) if commit else ():
                if path.name.startswith(f"{commit}."):
                    snapshots += _readable(self, path)
        return sorted(snapshots, key=lambda snapshot: (not snapshot.plain, snapshot.pulled_at), reverse=True)

    def write_reference(self, manifest: Manifest) -> None:
        """Let the manifest's revision lead to its commit. A pinned commit needs no reference."""
        if manifest.revision == manifest.commit:
            return
        path = self.repository(manifest.hub, manifest.repo) / "refs" / reference_name(manifest.revision)
        with translated(path, "written"):
            if _commit_in(path) != manifest.commit:
                write_durably(f"{manifest.commit}\n", path, self.temporaries)

    def references(self, manifest: Manifest) -> list[Path]:
        """The references that lead to the manifest's commit."""
        folder = self.repository(manifest.hub, manifest.repo) / "refs"
        return sorted(path for path in _listed(folder) if _commit_in(path) == manifest.commit)

    def remove_links(self, snapshot: Snapshot) -> None:
        """Remove the folder of links at once, as others see it."""
        folder = self.links(snapshot.manifest)
        with translated(folder, "removed"):
            aside = temporary_in(self.temporaries)
            try:
                folder.rename(aside)
            except FileNotFoundError:
                return
            shutil.rmtree(aside, ignore_errors=True)

    def remove_record(self, snapshot: Snapshot) -> None:
        """Remove the record, and the repository's folder when nothing else is in it."""
        path = self.record(snapshot)
        with translated(path, "removed"):
            try:
                path.unlink()
            except FileNotFoundError:
                return
            fsync_folder(path.parent)
            _mark(path).unlink(missing_ok=True)
            remove_empty_folders(path.parent / "refs", up_to=self.root)

    def note_used(self, snapshot: Snapshot) -> None:
        """Remember that somebody reads the snapshot, to the hour; a read-only or full store does not."""
        mark = _mark(self.record(snapshot))
        with suppress(OSError):
            try:
                if abs(time.time() - mark.stat().st_mtime) < _MARK_AGAIN_S:
                    return
            except FileNotFoundError:
                mark.touch()
            os.utime(mark)

    def used_at(self, snapshot: Snapshot) -> datetime | None:
        """When `note_used` last was told, to the hour; None when it never was."""
        try:
            return datetime.fromtimestamp(_mark(self.record(snapshot)).stat().st_mtime, UTC)
        except OSError:
            return None

    def stale_marks(self) -> Iterator[Path]:
        """The marks of use whose records are gone."""
        for hub in _folders(self.root):
            for repository in _folders(hub):
                for path in _listed(repository):
                    if path.suffix == ".used" and not path.with_suffix(".json").exists():
                        yield path

    def remove_reference(self, path: Path) -> None:
        """Remove one of `references`."""
        with translated(path, "removed"):
            path.unlink(missing_ok=True)

    def _commit(self, repository: Path, revision: str | None) -> str | None:
        named = _commit_in(repository / "refs" / reference_name(revision))
        if named is not None or revision is None:
            return named
        if len(revision) < _SHORTEST_PREFIX:
            return None
        commits = {path.name[:_COMMIT_DIGITS] for path in _records(repository)}
        found = [commit for commit in commits if commit.startswith(revision.lower())]
        return found[0] if len(found) == 1 else None


def reference_name(revision: str | None) -> str:
    """The file name of a reference; None is the default branch."""
    if revision is None:
        return DEFAULT
    if revision == DEFAULT:
        return "%64efault"
    name = quote(revision, safe="")
    if len(name) > _LONGEST_NAME_BYTES:
        return f"{name[:_LONGEST_NAME_BYTES]}~{hashlib.sha256(revision.encode()).hexdigest()[:16]}"
    return name


def _mark(record: Path) -> Path:
    """The empty file whose time says when the snapshot of `record` was last used."""
    return record.with_suffix(".used")


def _place_suffix(folder: Path) -> str:
    return f".in-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.json"


def _readable(records: Records, path: Path) -> Iterator[Snapshot]:
    try:
        yield records.read(path)
    except StoreError:
        return


def _records(repository: Path) -> list[Path]:
    return [path for path in _listed(repository) if path.suffix == ".json"]


def _folders(folder: Path) -> list[Path]:
    return list(map(Path, _subfolders(str(folder))))


def _subfolders(folder: str) -> list[str]:
    return sorted(entry.path for entry in _scanned(folder) if not entry.name.startswith(".") and entry.is_dir())


def _scanned(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"`{folder}` cannot be listed", facts={"why": error.strerror}) from error


def _listed(folder: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in _scanned(str(folder)))


def _commit_in(path: Path) -> str | None:
    """What a reference leads to, None where there is none."""
    try:
        return check_digest(path.read_text("ascii").strip(), kind="git_sha1")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, UnicodeDecodeError):
        return None
    except OSError as error:
        # Not as if it were not there: the model would be said not to be in the store.
        raise fault(error, path, "read") from error
