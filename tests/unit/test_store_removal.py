"""Removing: what nothing else needs goes, everything else stays, and both are said before it happens."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from modelfetch.prune import Wishes, carry_out, look_and_plan
from modelfetch.reference import parse
from modelfetch.store import Snapshot, Store
from modelfetch.store.removal import Item, Removal
from modelfetch.store.views import folder, huggingface, modelscope
from tests.stored import bring, contents, digests_of, manifest_of

FILES = {"config.json": b"{}", "model.safetensors": b"w" * 1_200_000, "sub/vocab.txt": b"a\nb\n"}
OTHER_COMMIT = "f" * 40


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


def remove(store: Store, *snapshots: Snapshot) -> Removal:
    """Remove, after checking that a dry run says the same and does nothing."""
    before = everything(store.home)
    planned = store.remove(*snapshots, dry_run=True)
    assert everything(store.home) == before
    done = store.remove(*snapshots, dry_run=False)
    assert (planned.goes, planned.stays, planned.freed_bytes) == (done.goes, done.stays, done.freed_bytes)
    return done


def everything(folder_path: Path) -> set[Path]:
    return set(folder_path.rglob("*"))


def blobs(items: Sequence[Item]) -> list[Item]:
    return [item for item in items if item.what == "blob"]


def current(store: Store, text: str = "owner/name") -> Snapshot:
    snapshot = store.lookup(parse(text))
    assert snapshot is not None
    return snapshot


def test_the_last_snapshot_leaves_nothing_behind(store: Store) -> None:
    bring(store, FILES)
    removal = remove(store, current(store))
    assert removal.freed_bytes == sum(map(len, FILES.values()))
    assert store.snapshots() == []
    assert [path for path in everything(store.home) if path.is_file()] == [store.home / "store-version"]


def test_shared_bytes_stay_while_another_snapshot_needs_them(store: Store) -> None:
    first = bring(store, FILES)
    newer = {**FILES, "config.json": b'{"newer": true}'}
    second = bring(store, newer, manifest_of(newer, commit=OTHER_COMMIT))
    removal = remove(store, first)
    assert removal.freed_bytes == 2
    assert {item.why for item in blobs(removal.stays)} == {"needed by huggingface:owner/name (ffffffff)"}
    assert contents(second.folder) == newer


def test_of_many_that_need_a_blob_the_first_few_are_named(store: Store) -> None:
    first = bring(store, FILES)
    for letter in "abcde":
        bring(store, FILES, manifest_of(FILES, repo=f"owner/{letter}"))
    (why,) = {item.why for item in blobs(store.remove(first, dry_run=True).stays)}
    assert why.endswith(" and 2 more")
    assert why.count("huggingface:owner/") == 3


def test_two_that_share_and_both_go_free_their_bytes_once(store: Store) -> None:
    first = bring(store, FILES)
    second = bring(store, FILES, manifest_of(FILES, hub="modelscope", commit=OTHER_COMMIT))
    removal = remove(store, first, second)
    assert removal.freed_bytes == sum(map(len, FILES.values()))
    assert store.usage().blobs == 0


def test_references_go_with_their_commit_only(store: Store) -> None:
    bring(store, FILES, manifest_of(FILES, revision="v1"))
    first = bring(store, FILES)
    bring(store, FILES, manifest_of(FILES, commit=OTHER_COMMIT, revision="v2"))
    remove(store, first)
    assert store.lookup(parse("owner/name")) is None
    assert store.lookup(parse("owner/name@v1")) is None
    assert store.lookup(parse("owner/name@v2")) is not None


def test_references_of_another_repository_with_the_same_content_are_its_own(store: Store) -> None:
    """On ModelScope the commit is the content's digest: two repositories may have the same."""
    first = bring(store, FILES)
    bring(store, FILES, manifest_of(FILES, repo="owner/other"))
    remove(store, first)
    assert not store.records.repository("huggingface", "owner/name").exists()
    assert store.lookup(parse("owner/other")) is not None


def test_a_hard_link_of_somebody_else_keeps_the_blob(store: Store, tmp_path: Path) -> None:
    snapshot = bring(store, FILES)
    digest = digests_of(FILES["model.safetensors"]).sha256
    assert digest is not None
    os.link(store.blob(digest), tmp_path / "mine")
    removal = remove(store, snapshot)
    assert [(item.size_bytes, item.why) for item in blobs(removal.stays)] == [
        (1_200_000, "1 other hard link(s) hold it: removing it would free nothing")
    ]
    assert store.usage().unreferenced_bytes == 1_200_000


def test_views_in_caches_go_and_plain_folders_stay(store: Store, tmp_path: Path) -> None:
    snapshot = bring(store, FILES)
    huggingface.link(store, snapshot, tmp_path / "hub")
    modelscope.link(store, snapshot, tmp_path / "ms")
    folder.link(store, snapshot, tmp_path / "mine")
    removal = remove(store, current(store))
    assert [path for path in everything(tmp_path / "hub") if path.is_file() and path.suffix != ".lock"] == [
        tmp_path / "hub" / "CACHEDIR.TAG"
    ]
    assert not everything(tmp_path / "ms")
    assert contents(tmp_path / "mine") == FILES
    assert [item.path for item in removal.stays if item.what == "folder"] == [tmp_path / "mine"]
    assert [item.size_bytes for item in blobs(removal.stays)] == [1_200_000]


def test_in_a_cache_what_is_not_ours_stays(store: Store, tmp_path: Path) -> None:
    snapshot = bring(store, FILES)
    view = huggingface.link(store, snapshot, tmp_path / "hub")
    theirs = view.folder / "their.txt"
    theirs.write_text("made by another program")
    replaced = view.folder / "config.json"
    replaced.unlink()
    replaced.write_text("edited")
    remove(store, current(store))
    assert contents(view.folder) == {"their.txt": b"made by another program", "config.json": b"edited"}
    assert (tmp_path / "hub/models--owner--name/refs/main").exists(), "it still leads to a folder that is there"


def test_in_a_cache_what_another_commit_shows_stays(store: Store, tmp_path: Path) -> None:
    first = bring(store, FILES)
    newer = {**FILES, "config.json": b'{"newer": true}'}
    huggingface.link(store, first, tmp_path / "hub")
    modelscope.link(store, first, tmp_path / "ms")
    second = bring(store, newer, manifest_of(newer, commit=OTHER_COMMIT))
    hub_view = huggingface.link(store, second, tmp_path / "hub")
    ms_view = modelscope.link(store, second, tmp_path / "ms")
    remove(store, store.matching(parse("owner/name@0123456"))[0])
    assert contents(hub_view.folder) == newer
    assert contents(ms_view.folder) == newer
    assert {path.name for path in (tmp_path / "hub/models--owner--name/snapshots").iterdir()} == {OTHER_COMMIT}


def test_commits_that_go_together_leave_nothing_in_a_cache(store: Store, tmp_path: Path) -> None:
    newer = {**FILES, "config.json": b'{"newer": true}'}
    for snapshot in (bring(store, FILES), bring(store, newer, manifest_of(newer, commit=OTHER_COMMIT))):
        huggingface.link(store, snapshot, tmp_path / "hub")
        modelscope.link(store, snapshot, tmp_path / "ms")
    removal = remove(store, *store.matching(parse("owner/name")))
    assert not (tmp_path / "hub/models--owner--name").exists()
    assert not everything(tmp_path / "ms")
    assert blobs(removal.stays) == []
    assert store.usage().blobs == 0


def test_the_last_to_show_its_commit_in_a_folder_takes_what_earlier_ones_left_there(
    store: Store, tmp_path: Path
) -> None:
    modelscope.link(store, bring(store, FILES), tmp_path / "ms")
    newer = {"config.json": b'{"newer": true}'}
    second = bring(store, newer, manifest_of(newer, commit=OTHER_COMMIT))
    view = modelscope.link(store, second, tmp_path / "ms")
    assert set(contents(view.folder)) == set(FILES)
    theirs = view.folder / "their.txt"
    theirs.write_text("made by another program")
    remove(store, current(store))
    assert contents(view.folder) == {"their.txt": b"made by another program"}


def test_an_unreadable_record_keeps_every_blob(store: Store) -> None:
    snapshot = bring(store, FILES)
    other = bring(store, FILES, manifest_of(FILES, repo="owner/other"))
    store.records.record(other).write_bytes(b"{")
    removal = remove(store, snapshot)
    assert removal.freed_bytes == 0
    assert store.usage().blobs == len(FILES)


def test_a_snapshot_saved_in_the_middle_of_a_removal_keeps_its_blobs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = bring(store, FILES)
    manifest = manifest_of(FILES, repo="owner/other")
    real_move_aside = store.blobs.move_aside

    def move_aside_late(sha256: str) -> Path | None:
        monkeypatch.setattr(store.blobs, "move_aside", real_move_aside)
        # The other process has found every blob, and saves just before the first one is moved.
        Store.open(store.home).save(manifest, frozenset(FILES))
        return real_move_aside(sha256)

    monkeypatch.setattr(store.blobs, "move_aside", move_aside_late)
    removal = store.remove(snapshot, dry_run=False)
    assert removal.freed_bytes == 0
    assert contents(current(store, "owner/other").folder) == FILES


def test_a_removal_that_was_killed_in_the_middle_is_finished_by_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = bring(store, FILES)

    def killed(_: Snapshot) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store.records, "remove_record", killed)
    with pytest.raises(KeyboardInterrupt):
        store.remove(snapshot, dry_run=False)
    again = Store.open(store.home)
    assert [found.manifest.repo for found in again.snapshots()] == ["owner/name"]
    remove(again, *again.matching(parse("owner/name")))
    assert again.usage().blobs == 0


@pytest.mark.parametrize("healer", ["open", "prune"])
def test_what_a_killed_removal_has_moved_aside_comes_back_where_a_record_names_it(store: Store, healer: str) -> None:
    bring(store, FILES)
    needed, unneeded = (str(digests_of(content).sha256) for content in (FILES["model.safetensors"], b"nobody's"))
    store.publish_bytes(b"nobody's", digests_of(b"nobody's"))
    assert store.blobs.move_aside(needed)
    assert store.blobs.move_aside(unneeded)
    if healer == "open":
        Store.open(store.home)
    else:
        carry_out(store, look_and_plan(store, Wishes()), Wishes())
    assert contents(current(store).folder) == FILES
    assert store.blobs.asides().keys() == {unneeded}


def test_what_comes_back_replaces_nothing_that_came_since(store: Store) -> None:
    bring(store, FILES)
    sha256 = str(digests_of(FILES["model.safetensors"]).sha256)
    aside = store.blobs.move_aside(sha256)
    assert aside is not None
    bring(store, FILES)
    inode = store.blob(sha256).stat().st_ino
    store.blobs.move_back(aside, sha256)
    store.blobs.move_back(aside, sha256)
    assert store.blob(sha256).stat().st_ino == inode
    assert store.blobs.asides() == {}


def test_a_removal_that_was_killed_between_a_views_link_and_its_blob_leaves_no_hard_link(
    store: Store, tmp_path: Path
) -> None:
    view = huggingface.link(store, bring(store, FILES), tmp_path / "hub")
    for path in [path for path in view.folder.rglob("*") if path.is_symlink()]:
        path.unlink()
    removal = remove(store, current(store))
    assert blobs(removal.stays) == []
    assert store.usage().blobs == 0


def test_removing_twice_is_no_error(store: Store) -> None:
    snapshot = bring(store, FILES)
    store.remove(snapshot, dry_run=False)
    store.remove(snapshot, dry_run=False)
    assert store.snapshots() == []
