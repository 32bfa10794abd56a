"""Blobs: what is published, what is found, and what is never trusted."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from modelfetch.errors import DigestMismatchError
from modelfetch.manifest import Digests
from modelfetch.store import Store
from modelfetch.store.links import copy_verified
from tests.stored import digests_of, git_sha1_of, write_data

CONTENT = b"some weights" * 1000
DIGESTS = digests_of(CONTENT)
assert DIGESTS.sha256 is not None
SHA256: str = DIGESTS.sha256


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


def publish(store: Store, content: bytes = CONTENT) -> Path:
    digests = digests_of(content)
    return store.publish(write_data(store.partial(digests), content), digests)


def test_a_published_payload_is_read_only_and_the_data_is_gone(store: Store) -> None:
    data = write_data(store.partial(DIGESTS), CONTENT)
    blob = store.publish(data, DIGESTS)
    assert blob == store.blob(SHA256)
    assert blob.read_bytes() == CONTENT
    assert stat.S_IMODE(blob.stat().st_mode) == 0o444
    assert not data.exists()


def test_bytes_in_memory_are_published_alike(store: Store) -> None:
    blob = store.publish_bytes(CONTENT, DIGESTS)
    assert blob.read_bytes() == CONTENT
    assert stat.S_IMODE(blob.stat().st_mode) == 0o444


@pytest.mark.parametrize("digests", [DIGESTS, Digests(SHA256), Digests(git_sha1=git_sha1_of(CONTENT))])
def test_a_payload_is_found_by_either_digest_with_both(store: Store, digests: Digests) -> None:
    assert store.find(digests, len(CONTENT)) is None
    publish(store)
    assert store.find(digests, len(CONTENT)) == DIGESTS


def test_another_size_is_another_payload(store: Store) -> None:
    publish(store)
    assert store.find(DIGESTS, len(CONTENT) + 1) is None


def test_an_empty_file_is_a_payload(store: Store) -> None:
    store.publish_bytes(b"", digests_of(b""))
    assert store.find(digests_of(b""), 0) == digests_of(b"")


def test_the_stamp_saves_the_reading(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(store)

    def must_not_read(path: Path) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("modelfetch.store.blobs.hash_file", must_not_read)
    assert store.find(DIGESTS, len(CONTENT)) == DIGESTS


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"size": 1}', b'{"size": "x", "mtime_ns": 1, "git_sha1": "y"}', b'{"size": 1, "mtime_ns": 1}'],
)
def test_a_torn_stamp_costs_one_reading(store: Store, content: bytes) -> None:
    publish(store)
    stamp = store.blobs.root / "verified" / SHA256[:2] / SHA256
    stamp.write_bytes(content)
    assert store.find(Digests(SHA256), len(CONTENT)) == DIGESTS
    assert b"mtime_ns" in stamp.read_bytes()


def test_a_stamp_of_before_inodes_were_kept_still_saves_the_reading(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = publish(store)
    stamp = store.blobs.root / "verified" / SHA256[:2] / SHA256
    status = blob.stat()
    old = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "git_sha1": DIGESTS.git_sha1}
    stamp.write_text(json.dumps(old))

    def must_not_read(path: Path, **_: object) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("modelfetch.store.blobs.hash_file", must_not_read)
    assert store.find(DIGESTS, len(CONTENT)) == DIGESTS


@pytest.mark.parametrize("content", ["", "not a digest\n", "0" * 64])
def test_a_wrong_name_in_the_git_index_finds_nothing(store: Store, content: str) -> None:
    publish(store)
    store.publish_bytes(b"other", digests_of(b"other"))
    git_sha1 = git_sha1_of(CONTENT)
    (store.blobs.root / "git-sha1" / git_sha1[:2] / git_sha1).write_text(content)
    assert store.find(Digests(git_sha1=git_sha1), len(CONTENT)) is None
    assert store.find(DIGESTS, len(CONTENT)) == DIGESTS


def test_a_lost_name_in_the_git_index_comes_back_with_the_next_publishing(store: Store) -> None:
    publish(store)
    git_sha1 = git_sha1_of(CONTENT)
    (store.blobs.root / "git-sha1" / git_sha1[:2] / git_sha1).unlink()
    assert store.find(Digests(git_sha1=git_sha1), len(CONTENT)) is None
    publish(store)
    assert store.find(Digests(git_sha1=git_sha1), len(CONTENT)) == DIGESTS


def test_the_git_index_cannot_pass_one_payload_off_as_another(store: Store) -> None:
    publish(store)
    other = bytes(reversed(CONTENT))
    publish(store, other)
    git_sha1 = git_sha1_of(other)
    (store.blobs.root / "git-sha1" / git_sha1[:2] / git_sha1).write_text(SHA256)
    assert store.find(Digests(git_sha1=git_sha1), len(CONTENT)) is None


def test_an_edit_in_place_is_noticed(store: Store) -> None:
    blob = publish(store)
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.write(b"X")
    os.utime(blob, ns=(1, blob.stat().st_mtime_ns + 1))
    assert store.find(DIGESTS, len(CONTENT)) is None


def test_another_file_in_the_place_of_a_payload_is_noticed_whatever_its_time(store: Store) -> None:
    blob = publish(store)
    status = blob.stat()
    # Made before the other goes, so that it cannot be given the same inode.
    other = blob.with_name("other")
    other.write_bytes(b"X" + CONTENT[1:])
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(blob)
    assert store.find(DIGESTS, len(CONTENT)) is None


def test_other_times_after_a_copy_do_not_lose_the_payload(store: Store) -> None:
    blob = publish(store)
    os.utime(blob, ns=(1, 1))
    assert store.find(DIGESTS, len(CONTENT)) == DIGESTS


@pytest.mark.parametrize("damage", [CONTENT[:-1], CONTENT + b"x", b"X" + CONTENT[1:]])
def test_a_broken_payload_is_replaced_and_never_missing(
    store: Store, damage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = publish(store)
    blob.unlink()
    blob.write_bytes(damage)
    unlinked: list[Path] = []
    real_unlink = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        unlinked.append(path)
        real_unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    assert publish(store) == blob
    assert blob not in unlinked
    assert blob.read_bytes() == CONTENT
    assert store.find(DIGESTS, len(CONTENT)) == DIGESTS


def test_a_whole_payload_is_kept_and_the_newcomer_dropped(store: Store) -> None:
    blob = publish(store)
    inode = blob.stat().st_ino
    data = write_data(store.partial(DIGESTS), CONTENT)
    assert store.publish(data, DIGESTS) == blob
    store.publish_bytes(CONTENT, DIGESTS)
    assert blob.stat().st_ino == inode
    assert not data.exists()


def test_a_link_in_the_place_of_a_payload_is_not_one(store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(CONTENT)
    blob = store.blob(SHA256)
    blob.parent.mkdir(parents=True)
    blob.symlink_to(elsewhere)
    assert store.find(DIGESTS, len(CONTENT)) is None
    publish(store)
    assert not blob.is_symlink()


def test_nothing_is_published_without_its_sha256(store: Store) -> None:
    with pytest.raises(ValueError, match="sha256"):
        store.publish_bytes(CONTENT, Digests(git_sha1=DIGESTS.git_sha1))


def test_a_partial_is_named_by_the_strongest_digest_and_not_made(store: Store) -> None:
    assert store.partial(DIGESTS) == store.home / "partial-v1" / SHA256
    assert store.partial(Digests(git_sha1="a" * 40)).name == "a" * 40
    assert not store.partial(DIGESTS).exists()


def test_a_copy_of_other_bytes_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"other")
    with pytest.raises(DigestMismatchError) as error:
        copy_verified(source, target, SHA256)
    assert error.value.facts["expected"] == SHA256
    assert not target.exists()


def test_temporaries_are_swept_once_nobody_touched_them_for_a_day(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftover = store.blobs.root / ".temporary" / "leftover"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"being written")
    os.utime(leftover, (0, 0))
    Store.open(store.home)
    assert leftover.exists(), "moved or made just now, whatever its own time says"
    monkeypatch.setattr("modelfetch.store.files._DAY_S", -1)
    Store.open(store.home, create=False)
    assert leftover.exists(), "reading changes nothing"
    Store.open(store.home)
    assert not leftover.exists()


def test_a_payload_whose_partial_is_on_another_disk_is_copied_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_data(store.partial(DIGESTS), CONTENT)
    real_replace = Path.replace

    def replace(source: Path, target: Path) -> Path:
        if source == data:
            raise OSError(errno.EXDEV, "another disk")
        return real_replace(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    blob = store.publish(data, DIGESTS)
    assert blob.read_bytes() == CONTENT
    assert stat.S_IMODE(blob.stat().st_mode) == 0o444
    assert not data.exists()
    assert not any((store.blobs.root / ".temporary").iterdir())


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_bytes_are_on_the_disk_before_their_name_and_the_name_after(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, in_memory: bool
) -> None:
    """A power cut must not leave a name that leads to nothing, and a command that said done must stay done."""
    data = write_data(store.partial(DIGESTS), CONTENT)
    blob = store.blob(SHA256)
    happened: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if status.st_size == len(CONTENT):
            happened.append(f"data on disk, {stat.S_IMODE(status.st_mode):o}")
        elif blob.parent.exists() and status.st_ino == blob.parent.stat().st_ino:
            happened.append("folder on disk")
        real_fsync(descriptor)

    def replace(source: Path, target: Path) -> Path:
        if target == blob:
            happened.append("name")
        return real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    if in_memory:
        store.publish_bytes(CONTENT, DIGESTS)
    else:
        store.publish(data, DIGESTS)
    assert happened == ["data on disk, 444", "name", "folder on disk"]
