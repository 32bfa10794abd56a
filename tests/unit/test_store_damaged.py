"""What is left of a damaged payload: taken out of its name, made nobody else's, and never lost."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from modelfetch.errors import DiskFullError
from modelfetch.manifest import Digests
from modelfetch.store import FolderDestination, Store
from modelfetch.store.tree import Tree
from tests.stored import deliver, digests_of, manifest_of, write_data

CONTENT = b"some weights" * 1000
DAMAGED = b"X" + CONTENT[1:]
DIGESTS = digests_of(CONTENT)
SHA256 = str(DIGESTS.sha256)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


@pytest.fixture
def blob(store: Store) -> Path:
    """A payload whose bytes rotted."""
    blob = store.publish(write_data(store.partial(DIGESTS), CONTENT), DIGESTS)
    blob.chmod(0o644)
    blob.write_bytes(DAMAGED)
    blob.chmod(0o444)
    return blob


def test_it_leaves_its_name_and_can_be_written_to(store: Store, blob: Path) -> None:
    inode = blob.stat().st_ino
    salvaged = store.blobs.salvage(DIGESTS, len(CONTENT), beyond=0)
    assert salvaged is not None
    assert not blob.exists()
    assert salvaged.read_bytes() == DAMAGED
    assert salvaged.stat().st_ino == inode, "nothing is copied that is nobody else's"
    assert stat.S_IMODE(salvaged.stat().st_mode) == 0o644


def test_one_that_was_set_aside_before_is_found_too(store: Store, blob: Path) -> None:
    assert store.blobs.set_damaged_aside(SHA256)
    salvaged = store.blobs.salvage(DIGESTS, len(CONTENT), beyond=0)
    assert salvaged is not None
    assert salvaged.read_bytes() == DAMAGED


def test_one_that_another_cache_has_a_name_of_is_copied(store: Store, blob: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.hardlink_to(blob)
    salvaged = store.blobs.salvage(DIGESTS, len(CONTENT), beyond=0)
    assert salvaged is not None
    assert salvaged.stat().st_ino != elsewhere.stat().st_ino
    salvaged.write_bytes(CONTENT)
    assert elsewhere.read_bytes() == DAMAGED
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o444


@pytest.mark.parametrize("is_aside", [True, False])
def test_one_that_has_no_more_than_there_is_already_is_left_alone(store: Store, blob: Path, is_aside: bool) -> None:
    if is_aside:
        store.blobs.set_damaged_aside(SHA256)
    assert store.blobs.salvage(DIGESTS, len(CONTENT), beyond=len(CONTENT)) is None
    assert blob.exists() == (not is_aside)
    assert store.blobs.salvage(DIGESTS, len(CONTENT), beyond=len(CONTENT) - 1)


def test_where_nothing_is_left_nothing_is_salvaged(store: Store, blob: Path) -> None:
    assert store.blobs.salvage(digests_of(b"other"), 5, beyond=0) is None
    assert store.blobs.salvage(Digests(git_sha1=DIGESTS.git_sha1), len(CONTENT), beyond=0) is None
    blob.unlink()
    blob.mkdir()
    assert store.blobs.salvage(DIGESTS, len(CONTENT), beyond=0) is None
    assert blob.is_dir(), "what is no file is left to whoever publishes"


@pytest.mark.parametrize("is_stamped", [True, False])
@pytest.mark.parametrize("size", [0, 17, len(CONTENT) + 1])
def test_a_listing_with_a_wrong_size_does_not_touch_what_is_whole(store: Store, size: int, is_stamped: bool) -> None:
    blob = store.publish(write_data(store.partial(DIGESTS), CONTENT), DIGESTS)
    if not is_stamped:
        os.utime(blob, (1, 1))
    assert store.blobs.salvage(DIGESTS, size, beyond=0) is None
    assert blob.read_bytes() == CONTENT


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_copy_that_cannot_be_made_loses_nothing(
    store: Store, blob: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (tmp_path / "elsewhere").hardlink_to(blob)

    def refuse(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("modelfetch.store.links.shutil.copyfile", refuse)
    if code == errno.EIO:
        assert store.blobs.salvage(DIGESTS, len(CONTENT), beyond=0) is None
    else:
        with pytest.raises(DiskFullError):
            store.blobs.salvage(DIGESTS, len(CONTENT), beyond=0)
    assert (store.blobs.root / "damaged" / SHA256).read_bytes() == DAMAGED
    assert not any((store.blobs.root / ".temporary").iterdir())


def test_in_a_plain_folder_only_what_rotted_is_taken_for_damaged(store: Store, tmp_path: Path) -> None:
    files = {"weights.dat": CONTENT, "notes.dat": CONTENT}
    deliver(FolderDestination(store, tmp_path / "mine"), files, manifest_of(files))
    for name in files:
        status = (tmp_path / "mine" / name).stat()
        (tmp_path / "mine" / name).write_bytes(DAMAGED)
        os.utime(tmp_path / "mine" / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.utime(tmp_path / "mine/notes.dat", (1, 1))
    tree = Tree(tmp_path / "mine")
    for name in files:
        tree.set_aside(name, SHA256)
    assert (tmp_path / "mine/notes.dat.saved").read_bytes() == DAMAGED
    assert not (tmp_path / "mine/weights.dat").exists()
    assert not (tmp_path / "mine/weights.dat.saved").exists()
    entry = manifest_of(files).entries[0]
    salvaged = FolderDestination(store, tmp_path / "mine").salvage(entry, beyond=0)
    assert salvaged == tmp_path / "mine/.modelfetch/damaged" / SHA256
    assert salvaged.read_bytes() == DAMAGED


def test_a_file_of_another_commit_is_not_taken_for_a_damaged_one(store: Store, tmp_path: Path) -> None:
    files = {"weights.dat": CONTENT}
    deliver(FolderDestination(store, tmp_path / "mine"), files, manifest_of(files))
    Tree(tmp_path / "mine").set_aside("weights.dat", "0" * 64)
    assert (tmp_path / "mine/weights.dat.saved").read_bytes() == CONTENT
