"""A plain folder on another disk as a destination: nothing passes the store, and nothing of the user's is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelfetch.errors import DigestMismatchError, StoreError
from modelfetch.hashing import Hasher
from modelfetch.manifest import Entry
from modelfetch.reference import parse
from modelfetch.store import FolderDestination, Store
from modelfetch.store.hashing import hash_file
from tests.stored import COMMIT, bring, contents, deliver, digests_of, hand_over, manifest_of

FILES = {"config.json": b"{}", "model.safetensors": b"w" * 200_000, "sub/folder/vocab.txt": b"a\nb\n"}
MANIFEST = manifest_of(FILES)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


def entry_of(path: str) -> Entry:
    entry = MANIFEST.entry(path)
    assert entry is not None
    return entry


def test_the_files_are_in_the_folder_and_only_the_record_in_the_store(store: Store, tmp_path: Path) -> None:
    snapshot = deliver(FolderDestination(store, tmp_path / "mine"), FILES, MANIFEST)
    assert contents(tmp_path / "mine") == FILES
    assert snapshot.plain
    assert snapshot.folder == tmp_path / "mine"
    assert store.usage().blobs == 0
    assert store.lookup(parse("owner/name")) == snapshot
    assert not snapshot.file("model.safetensors").is_symlink()


def test_partials_and_room_are_on_the_folders_disk(store: Store, tmp_path: Path) -> None:
    destination = FolderDestination(store, tmp_path / "mine")
    assert destination.filesystem == tmp_path / "mine"
    partial = destination.partial(entry_of("config.json"))
    assert partial.is_relative_to(tmp_path / "mine/.modelfetch/partial-v1")
    assert partial.name == digests_of(b"{}").sha256


def test_a_second_pull_finds_everything_without_reading(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, MANIFEST)

    def must_not_read(path: Path) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("modelfetch.store.tree.hash_file", must_not_read)
    destination = FolderDestination(store, tmp_path / "mine")
    for path, content in FILES.items():
        assert destination.find(entry_of(path)) == digests_of(content)


def test_only_what_changed_is_read_again(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, MANIFEST)
    os.utime(tmp_path / "mine/config.json", (1, 1))
    read = []

    def counting(path: Path, *, with_git_sha1: bool) -> Hasher | None:
        read.append(path.name)
        return hash_file(path, with_git_sha1=with_git_sha1)

    monkeypatch.setattr("modelfetch.store.tree.hash_file", counting)
    destination = FolderDestination(store, tmp_path / "mine")
    assert all(destination.find(entry) for entry in MANIFEST.entries)
    assert all(destination.find(entry) for entry in MANIFEST.entries)
    assert read == ["config.json"]


def test_what_the_user_edited_is_kept_aside(store: Store, tmp_path: Path) -> None:
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, MANIFEST)
    (tmp_path / "mine/config.json").write_text("edited")
    destination = FolderDestination(store, tmp_path / "mine")
    assert destination.find(entry_of("config.json")) is None
    deliver(destination, FILES, MANIFEST)
    assert destination.saved == (tmp_path / "mine/config.json.saved",)
    assert contents(tmp_path / "mine") == {**FILES, "config.json.saved": b"edited"}


def test_an_edit_of_the_same_length_is_an_edit(store: Store, tmp_path: Path) -> None:
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, MANIFEST)
    (tmp_path / "mine/config.json").write_bytes(b"[]")
    destination = FolderDestination(store, tmp_path / "mine")
    assert destination.find(entry_of("config.json")) is None
    deliver(destination, FILES, MANIFEST)
    assert contents(tmp_path / "mine") == {**FILES, "config.json.saved": b"[]"}


def test_a_link_of_the_users_to_the_right_bytes_is_no_file_of_the_folder(store: Store, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "elsewhere.json").write_bytes(b"{}")
    (tmp_path / "mine/config.json").symlink_to(tmp_path / "elsewhere.json")
    assert FolderDestination(store, tmp_path / "mine").find(entry_of("config.json")) is None


def test_the_bytes_are_on_the_disk_before_their_name(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk: set[int] = set()
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        on_disk.add(os.fstat(descriptor).st_ino)
        real_fsync(descriptor)

    def replace(source: Path, target: Path) -> Path:
        if target.is_relative_to(tmp_path / "mine"):
            assert source.stat().st_ino in on_disk
        return real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, MANIFEST)


def test_without_hard_links_the_edited_file_is_kept_all_the_same(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "not here")

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.json").write_text("edited")
    monkeypatch.setattr(os, "link", refuse)
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, MANIFEST)
    assert contents(tmp_path / "mine") == {**FILES, "config.json.saved": b"edited"}


def test_what_the_store_has_is_copied_and_not_fetched(store: Store, tmp_path: Path) -> None:
    bring(store, {"model.safetensors": FILES["model.safetensors"]}, manifest_of(FILES, repo="owner/other"))
    destination = FolderDestination(store, tmp_path / "mine")
    assert destination.find(entry_of("model.safetensors")) == digests_of(FILES["model.safetensors"])
    deliver(destination, FILES, MANIFEST)
    assert contents(tmp_path / "mine") == FILES
    blob = store.blob(str(digests_of(FILES["model.safetensors"]).sha256))
    assert not (tmp_path / "mine/model.safetensors").samefile(blob)


def test_a_blob_that_rotted_is_not_copied_under_a_final_name(store: Store, tmp_path: Path) -> None:
    weights = FILES["model.safetensors"]
    bring(store, {"model.safetensors": weights}, manifest_of(FILES, repo="owner/other"))
    blob = store.blob(str(digests_of(weights).sha256))
    status = blob.stat()
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.write(b"X")
    os.utime(blob, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DigestMismatchError):
        deliver(FolderDestination(store, tmp_path / "mine"), FILES, MANIFEST)
    assert not (tmp_path / "mine/model.safetensors").exists()


def test_two_that_publish_one_file_save_nothing_aside(store: Store, tmp_path: Path) -> None:
    first, second = (FolderDestination(store, tmp_path / "mine") for _ in range(2))
    entry, content = entry_of("model.safetensors"), FILES["model.safetensors"]
    hand_over(first, entry, content)
    hand_over(second, entry, content)
    assert second.saved == ()
    assert contents(tmp_path / "mine") == {"model.safetensors": content}


def test_the_folder_now_holds_the_newer_commit_only(store: Store, tmp_path: Path) -> None:
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, MANIFEST)
    newer = {**FILES, "config.json": b'{"newer": true}'}
    deliver(FolderDestination(store, tmp_path / "mine"), newer, manifest_of(newer, commit="f" * 40))
    assert [snapshot.manifest.commit for snapshot in store.snapshots()] == ["f" * 40]
    assert contents(tmp_path / "mine") == newer


def test_the_stores_copy_and_the_folders_are_two_snapshots(store: Store, tmp_path: Path) -> None:
    plain = deliver(FolderDestination(store, tmp_path / "mine"), FILES, MANIFEST)
    own = bring(store, FILES)
    assert store.lookup(parse("owner/name")) == own
    store.remove(own, dry_run=False)
    assert store.snapshots() == [plain]
    found = store.lookup(parse(f"owner/name@{COMMIT}"))
    assert found == plain
    assert store.lookup(parse("owner/name")) == plain, "the reference still leads to a commit that is here"


def test_removing_leaves_the_folder_alone(store: Store, tmp_path: Path) -> None:
    snapshot = deliver(FolderDestination(store, tmp_path / "mine"), FILES, MANIFEST)
    removal = store.remove(snapshot, dry_run=False)
    assert removal.freed_bytes == 0
    assert [item.path for item in removal.stays] == [tmp_path / "mine"]
    assert contents(tmp_path / "mine") == FILES
    assert store.snapshots() == []


def test_a_folder_that_is_gone_is_listed_and_not_looked_up(store: Store, tmp_path: Path) -> None:
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, MANIFEST)
    (tmp_path / "mine").rename(tmp_path / "unmounted")
    assert len(store.snapshots()) == 1
    assert store.lookup(parse("owner/name")) is None
    (tmp_path / "unmounted").rename(tmp_path / "mine")
    assert store.lookup(parse("owner/name")) is not None


def test_two_models_in_one_folder_are_two_snapshots(store: Store, tmp_path: Path) -> None:
    other = {"other.txt": b"other"}
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, MANIFEST)
    deliver(FolderDestination(store, tmp_path / "mine"), other, manifest_of(other, repo="owner/other"))
    assert contents(tmp_path / "mine") == {**FILES, **other}
    assert len(store.snapshots()) == 2


def test_a_folder_that_cannot_be_made_says_why(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        FolderDestination(store, tmp_path / "file" / "mine")
