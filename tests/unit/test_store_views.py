"""Views: what is in them, how it got there, and that nothing done in one reaches the store."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from modelfetch.errors import StoreError
from modelfetch.manifest import Digests, Entry
from modelfetch.reference import parse
from modelfetch.store import Snapshot, Store, ViewPlace
from modelfetch.store.views import folder, huggingface, modelscope, registry
from modelfetch.store.views.real_files import is_edited_by_people
from tests.stored import COMMIT, bring, contents, digests_of, git_sha1_of, manifest_of

WEIGHTS = b"w" * 1_200_000
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS, "sub/folder/vocab.txt": b"a\nb\n"}
SHA256 = digests_of(WEIGHTS).sha256
assert SHA256 is not None
REPOSITORY = "models--owner--name"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


@pytest.fixture
def snapshot(store: Store) -> Snapshot:
    return bring(store, FILES)


def current(store: Store) -> Snapshot:
    found = store.lookup(parse("owner/name"))
    assert found is not None
    return found


class TestHuggingFace:
    def test_a_file_without_a_git_sha1_is_shown_as_a_large_one(self, store: Store, tmp_path: Path) -> None:
        manifest = manifest_of(FILES, hub="modelscope")
        entries = [replace(entry, digests=Digests(entry.digests.sha256), lfs=False) for entry in manifest.entries]
        snapshot = bring(store, FILES, replace(manifest, entries=tuple(entries)))
        view = huggingface.link(store, snapshot, tmp_path / "hub")
        assert contents(view.folder) == FILES
        assert {path.name for path in (tmp_path / "hub" / REPOSITORY / "blobs").iterdir()} == {
            digests_of(content).sha256 for content in FILES.values()
        }
        tree = json.loads((tmp_path / "hub" / REPOSITORY / "trees" / f"{COMMIT}.json").read_text())
        assert {path: file["lfs_sha256"] for path, file in tree["files"].items()} == {
            path: digests_of(content).sha256 for path, content in FILES.items()
        }

    def test_the_layout_is_the_clients_own(self, store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
        view = huggingface.link(store, snapshot, tmp_path / "hub")
        repository = tmp_path / "hub" / REPOSITORY
        assert view.folder == repository / "snapshots" / COMMIT
        assert contents(view.folder) == FILES
        assert (repository / "refs/main").read_bytes() == COMMIT.encode()
        assert {path.name for path in (repository / "blobs").iterdir()} == {
            SHA256,
            git_sha1_of(b"{}"),
            git_sha1_of(b"a\nb\n"),
        }
        for path in FILES:
            target = (view.folder / path).readlink()
            assert not target.is_absolute()
            assert target.parent.name == "blobs"
        assert not list(repository.rglob("*.incomplete"))

    def test_on_one_disk_blobs_are_hard_links(self, store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
        huggingface.link(store, snapshot, tmp_path / "hub")
        blob = tmp_path / "hub" / REPOSITORY / "blobs" / str(SHA256)
        assert not blob.is_symlink()
        assert blob.samefile(store.blob(str(SHA256)))
        assert blob.stat().st_mode & 0o222 == 0

    def test_on_two_disks_blobs_are_links_in_two_hops(
        self, store: Store, snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def other_disk(*_: object, **__: object) -> None:
            raise OSError(errno.EXDEV, "another disk")

        monkeypatch.setattr(os, "link", other_disk)
        view = huggingface.link(store, snapshot, tmp_path / "hub")
        blob = tmp_path / "hub" / REPOSITORY / "blobs" / str(SHA256)
        assert not blob.readlink().is_absolute()
        assert blob.resolve() == store.blob(str(SHA256))
        assert contents(view.folder) == FILES
        store.remove(current(store), dry_run=False)
        assert not (tmp_path / "hub" / REPOSITORY).exists()

    def test_without_any_links_the_files_are_copies_and_it_says_so(
        self, store: Store, snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, "not here")

        monkeypatch.setattr(os, "link", refuse)
        monkeypatch.setattr(Path, "symlink_to", refuse)
        view = huggingface.link(store, snapshot, tmp_path / "hub")
        assert contents(view.folder) == FILES
        assert view.copied == len(FILES)
        assert "copies" in view.notes[0]

    def test_the_tree_lists_what_the_hub_lists(self, store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
        huggingface.link(store, snapshot, tmp_path / "hub")
        tree = json.loads((tmp_path / "hub" / REPOSITORY / "trees" / f"{COMMIT}.json").read_text())
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA256}\nsize {len(WEIGHTS)}\n".encode()
        assert tree["format_version"] == 1
        assert tree["files"]["config.json"] == {"size": 2, "blob_id": git_sha1_of(b"{}")}
        assert tree["files"]["model.safetensors"] == {
            "size": len(WEIGHTS),
            "blob_id": git_sha1_of(pointer),
            "lfs_sha256": SHA256,
            "lfs_size": len(WEIGHTS),
        }

    def test_half_a_listing_gets_no_tree(self, store: Store, tmp_path: Path) -> None:
        half = bring(store, {"config.json": b"{}"}, manifest_of(FILES))
        huggingface.link(store, half, tmp_path / "hub")
        assert not (tmp_path / "hub" / REPOSITORY / "trees").exists()

    @pytest.mark.parametrize(
        ("revision", "reference"),
        [(None, "main"), ("v1", "v1"), ("feature/x", "feature/x"), (COMMIT, f"modelfetch/{COMMIT}")],
    )
    def test_every_snapshot_has_a_reference(
        self, store: Store, tmp_path: Path, revision: str | None, reference: str
    ) -> None:
        snapshot = bring(store, FILES, manifest_of(FILES, revision=revision))
        huggingface.link(store, snapshot, tmp_path / "hub")
        references = tmp_path / "hub" / REPOSITORY / "refs"
        assert contents(references) == {reference: COMMIT.encode()}

    def test_the_reference_is_written_last(
        self, store: Store, snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(huggingface._Repository, "write_tree", killed)
        with pytest.raises(KeyboardInterrupt):
            huggingface.link(store, snapshot, tmp_path / "hub")
        assert not (tmp_path / "hub" / REPOSITORY / "refs").exists()

    def test_a_view_that_is_whole_is_left_alone(self, store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
        first = huggingface.link(store, snapshot, tmp_path / "hub")
        assert first.linked == len(FILES)
        assert huggingface.link(store, snapshot, tmp_path / "hub").linked == 0

    def test_what_another_program_took_is_made_again(self, store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
        view = huggingface.link(store, snapshot, tmp_path / "hub")
        shutil.rmtree(view.folder / "sub")
        (tmp_path / "hub" / REPOSITORY / "blobs" / str(SHA256)).unlink()
        assert huggingface.missing(snapshot, tmp_path / "hub") == ["model.safetensors", "sub/folder/vocab.txt"]
        assert huggingface.link(store, snapshot, tmp_path / "hub").linked == 2
        assert contents(view.folder) == FILES

    def test_an_unproven_blob_of_the_same_name_is_replaced(
        self, store: Store, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        blob = tmp_path / "hub" / REPOSITORY / "blobs" / str(SHA256)
        blob.parent.mkdir(parents=True)
        blob.write_bytes(b"x" * len(WEIGHTS))
        view = huggingface.link(store, snapshot, tmp_path / "hub")
        assert contents(view.folder) == FILES

    def test_the_clients_own_shared_store_is_not_touched(
        self, store: Store, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        shared = tmp_path / "hub" / "blobs"
        shared.mkdir(parents=True)
        (shared / ".huggingface-shared-blobs").write_text("1\n")
        huggingface.link(store, snapshot, tmp_path / "hub")
        assert contents(shared) == {".huggingface-shared-blobs": b"1\n"}

    def test_a_lock_that_is_never_given_back_delays_and_does_not_stop(
        self, store: Store, snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(huggingface, "_LOCK_WAIT_S", 0.01)
        lock = tmp_path / "hub" / ".locks" / REPOSITORY / f"{SHA256}.lock"
        lock.parent.mkdir(parents=True)
        with FileLock(lock):
            view = huggingface.link(store, snapshot, tmp_path / "hub")
        assert contents(view.folder) == FILES

    def test_only_a_large_file_is_locked(self, store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
        huggingface.link(store, snapshot, tmp_path / "hub")
        locks = {lock.name for lock in (tmp_path / "hub" / ".locks" / REPOSITORY).iterdir()}
        assert locks == {f"{SHA256}.lock"}

    def test_a_cache_that_backups_leave_out_is_marked_once(
        self, store: Store, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        huggingface.link(store, snapshot, tmp_path / "hub")
        tag = tmp_path / "hub" / "CACHEDIR.TAG"
        assert tag.read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
        tag.write_text("theirs")
        huggingface.link(store, snapshot, tmp_path / "hub")
        assert tag.read_text() == "theirs"

    def test_bytes_in_a_plain_folder_are_refused(self, store: Store, tmp_path: Path) -> None:
        manifest = manifest_of(FILES)
        for path, content in FILES.items():
            (tmp_path / "mine" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "mine" / path).write_bytes(content)
        plain = store.save(manifest, frozenset(FILES), folder=tmp_path / "mine")
        with pytest.raises(StoreError, match="plain folder"):
            huggingface.link(store, plain, tmp_path / "hub")
        assert not (tmp_path / "hub").exists()


class TestModelScope:
    @pytest.mark.parametrize(("revision", "name"), [(None, "master"), ("v1.0", "v1.0")])
    def test_real_files_under_the_revisions_name(
        self, store: Store, tmp_path: Path, revision: str | None, name: str
    ) -> None:
        snapshot = bring(store, FILES, manifest_of(FILES, hub="modelscope", revision=revision))
        view = modelscope.link(store, snapshot, tmp_path / "ms")
        assert view.folder == tmp_path / "ms/models/owner--name/snapshots" / name
        assert contents(view.folder) == FILES
        assert not any(path.is_symlink() for path in view.folder.rglob("*"))

    def test_two_revisions_have_a_folder_each(self, store: Store, tmp_path: Path) -> None:
        for revision, commit in ((None, COMMIT), ("v1", "f" * 40)):
            manifest = manifest_of(FILES, hub="modelscope", revision=revision, commit=commit)
            modelscope.link(store, bring(store, FILES, manifest), tmp_path / "ms")
        assert [len(found.views) for found in store.snapshots()] == [1, 1]

    def test_the_clients_own_older_file_is_replaced(self, store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
        theirs = tmp_path / "ms/models/owner--name/snapshots/master/config.json"
        theirs.parent.mkdir(parents=True)
        theirs.write_bytes(b'{"older": true}')
        view = modelscope.link(store, snapshot, tmp_path / "ms")
        assert contents(view.folder) == FILES

    @pytest.mark.parametrize("place", ["models", "hub/models"])
    def test_an_older_layout_that_would_win_is_named(
        self, store: Store, snapshot: Snapshot, tmp_path: Path, place: str
    ) -> None:
        older = tmp_path / "ms" / place / "owner" / "name"
        older.mkdir(parents=True)
        assert modelscope.link(store, snapshot, tmp_path / "ms").notes == ()
        (older / "config.json").write_text("{}")
        assert str(older) in modelscope.link(store, snapshot, tmp_path / "ms").notes[0]


class TestFolder:
    def test_texts_can_be_edited_and_the_store_does_not_notice(
        self, store: Store, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        view = folder.link(store, snapshot, tmp_path / "mine")
        assert contents(view.folder) == FILES
        (view.folder / "config.json").write_text("edited")
        (view.folder / "sub/folder/vocab.txt").write_text("edited")
        assert contents(snapshot.folder) == FILES

    def test_weights_share_the_stores_bytes_and_are_read_only_where_they_are_the_same_file(
        self, store: Store, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        view = folder.link(store, snapshot, tmp_path / "mine")
        weights = view.folder / "model.safetensors"
        assert view.linked == 1
        if weights.samefile(store.blob(str(SHA256))):
            assert weights.stat().st_mode & 0o222 == 0

    def test_a_saved_model_over_a_hard_link_never_passes_for_the_stores(
        self, store: Store, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        """Root can write to a read-only file: the store must at least notice, and mend it by a new file."""
        view = folder.link(store, snapshot, tmp_path / "mine")
        weights = view.folder / "model.safetensors"
        weights.chmod(0o644)
        with weights.open("r+b") as file:
            file.write(b"fine-tuned")
        os.utime(weights)
        entry = snapshot.manifest.entry("model.safetensors")
        assert entry is not None
        if not weights.samefile(store.blob(str(SHA256))):
            pytest.skip("reflinked here: the store was not reached at all")
        assert store.find(entry.digests, entry.size) is None
        bring(store, FILES)
        assert store.find(entry.digests, entry.size) is not None
        assert weights.read_bytes().startswith(b"fine-tuned")

    def test_what_the_user_edited_is_kept_aside(self, store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
        mine = tmp_path / "mine"
        folder.link(store, snapshot, mine)
        (mine / "config.json").write_text("first edit")
        view = folder.link(store, snapshot, mine)
        assert view.saved == (mine / "config.json.saved",)
        (mine / "config.json").write_text("second edit")
        assert folder.link(store, snapshot, mine).saved == (mine / "config.json.saved.2",)
        assert contents(mine) == {
            **FILES,
            "config.json.saved": b"first edit",
            "config.json.saved.2": b"second edit",
        }

    def test_what_nobody_edited_makes_room_for_the_next_version(
        self, store: Store, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        folder.link(store, snapshot, tmp_path / "mine")
        newer = {**FILES, "config.json": b'{"newer": true}', "model.safetensors": b"v" * 1_200_000}
        view = folder.link(store, bring(store, newer, manifest_of(newer, commit="f" * 40)), tmp_path / "mine")
        assert view.saved == ()
        assert contents(tmp_path / "mine") == newer

    def test_an_older_commit_never_reaches_into_a_folder_that_shows_a_newer_one(
        self, store: Store, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        folder.link(store, snapshot, tmp_path / "mine")
        newer = {**FILES, "config.json": b'{"newer": true}'}
        newer_snapshot = bring(store, newer, manifest_of(newer, commit="f" * 40))
        folder.link(store, newer_snapshot, tmp_path / "mine")
        places = {found.manifest.commit: found.views for found in store.snapshots()}
        assert places == {COMMIT: (), "f" * 40: (ViewPlace("folder", tmp_path / "mine"),)}

    def test_what_is_there_unchanged_is_left_alone(self, store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
        folder.link(store, snapshot, tmp_path / "mine")
        inodes = {path: path.stat().st_ino for path in (tmp_path / "mine").rglob("*.*")}
        view = folder.link(store, snapshot, tmp_path / "mine")
        assert (view.linked, view.copied) == (0, 0)
        assert all(path.stat().st_ino == inode for path, inode in inodes.items())

    def test_a_right_file_that_the_user_had_is_taken_as_it_is(
        self, store: Store, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        mine = tmp_path / "mine" / "model.safetensors"
        mine.parent.mkdir()
        mine.write_bytes(WEIGHTS)
        inode = mine.stat().st_ino
        assert folder.link(store, snapshot, tmp_path / "mine").saved == ()
        assert mine.stat().st_ino == inode

    def test_the_users_own_link_is_kept_and_not_written_through(
        self, store: Store, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        target = tmp_path / "elsewhere.json"
        target.write_text("precious")
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/config.json").symlink_to(target)
        folder.link(store, snapshot, tmp_path / "mine")
        assert target.read_text() == "precious"
        assert (tmp_path / "mine/config.json.saved").readlink() == target
        assert (tmp_path / "mine/config.json").read_bytes() == b"{}"

    def test_a_folder_in_the_place_of_a_file_is_named(self, store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
        (tmp_path / "mine/config.json").mkdir(parents=True)
        with pytest.raises(StoreError, match=r"config\.json` is a folder"):
            folder.link(store, snapshot, tmp_path / "mine")

    def test_a_file_in_the_place_of_a_folder_is_named(self, store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/sub").write_text("mine")
        with pytest.raises(StoreError, match="is a file"):
            folder.link(store, snapshot, tmp_path / "mine")
        assert (tmp_path / "mine/sub").read_text() == "mine"

    def test_torn_stamps_cost_a_reading_and_no_file(self, store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
        folder.link(store, snapshot, tmp_path / "mine")
        log = tmp_path / "mine/.modelfetch/stamps.jsonl"
        log.write_bytes(log.read_bytes()[:-20] + b'\n{"path": 1}\n[]\n\xff')
        view = folder.link(store, snapshot, tmp_path / "mine")
        assert (view.linked, view.copied, view.saved) == (0, 0, ())

    @pytest.mark.parametrize(
        ("path", "size", "edited"),
        [
            ("config.json", 2, True),
            ("tokenizer.json", 30_000_000, True),
            ("README.MD", 30_000_000, True),
            ("model.safetensors", 30_000_000, False),
            ("model.safetensors", 1_048_575, True),
            ("tokenizer.model", 1_048_576, False),
        ],
    )
    def test_small_files_and_texts_are_the_users(self, path: str, size: int, edited: bool) -> None:
        assert is_edited_by_people(Entry(path, size)) is edited


KINDS: list[Any] = [huggingface, modelscope, folder]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
class TestEveryKind:
    def test_the_store_remembers_where_it_is(self, kind: Any, store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
        view = kind.link(store, snapshot, tmp_path / "there")
        assert current(store).views == (ViewPlace(kind.KIND, tmp_path / "there"),)
        assert registry.missing(current(store), view.place) == []
        shutil.rmtree(tmp_path / "there")
        assert registry.missing(current(store), view.place) == sorted(FILES)
        assert registry.link(store, current(store), view.place).folder == view.folder
        assert contents(view.folder) == FILES

    def test_a_damaged_file_is_not_shown(self, kind: Any, store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
        blob = store.blob(str(SHA256))
        blob.unlink()
        blob.write_bytes(b"x" * len(WEIGHTS))
        with pytest.raises(StoreError) as error:
            kind.link(store, snapshot, tmp_path / "there")
        assert error.value.hint == "modelfetch verify huggingface:owner/name --repair"
        assert "model.safetensors" not in {path.name for path in (tmp_path / "there").rglob("*")}

    def test_a_place_that_cannot_be_written_to_says_why(
        self, kind: Any, store: Store, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        (tmp_path / "there").write_text("a file")
        with pytest.raises(StoreError) as error:
            kind.link(store, snapshot, tmp_path / "there")
        assert str(tmp_path / "there") in error.value.message
        assert current(store).views == ()

    def test_a_replaced_payload_reaches_the_view_by_linking_again(
        self, kind: Any, store: Store, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        view = kind.link(store, snapshot, tmp_path / "there")
        assert store.blobs.set_damaged_aside(str(SHA256)) is not None
        bring(store, FILES)
        kind.link(store, replace(snapshot, views=()), tmp_path / "there")
        weights = view.folder / "model.safetensors"
        if not weights.is_symlink() and weights.stat().st_nlink > 1:
            assert weights.samefile(store.blob(str(SHA256)))
        assert not weights.samefile(store.blobs.root / "damaged" / str(SHA256))
