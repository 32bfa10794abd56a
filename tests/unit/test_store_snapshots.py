"""Snapshots: what is saved is found again, by every name it has, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.errors import NotFoundError, StoreError
from modelfetch.manifest import Digests
from modelfetch.reference import parse
from modelfetch.store import Snapshot, Store
from modelfetch.store.records import reference_name
from tests.stored import COMMIT, bring, contents, digests_of, manifest_of

FILES = {"config.json": b"{}", "model.safetensors": b"w" * 200_000, "sub/folder/vocab.txt": b"a\nb\n"}
OTHER_COMMIT = "f" * 40


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


def lookup(store: Store, text: str) -> Snapshot | None:
    return store.lookup(parse(text))


def test_a_saved_snapshot_is_a_folder_with_the_files(store: Store) -> None:
    snapshot = bring(store, FILES)
    assert contents(snapshot.folder) == FILES
    assert snapshot.file("config.json").read_bytes() == b"{}"
    assert snapshot.size_bytes == sum(map(len, FILES.values()))
    assert snapshot.complete
    assert str(snapshot.reference) == "huggingface:owner/name"


def test_a_file_that_is_not_here_is_not_found(store: Store) -> None:
    snapshot = bring(store, FILES)
    with pytest.raises(NotFoundError):
        snapshot.file("../../../store-version")


def test_links_are_relative_so_that_the_store_can_be_moved(store: Store, tmp_path: Path) -> None:
    bring(store, FILES)
    moved = tmp_path / "moved"
    store.home.rename(moved)
    snapshot = lookup(Store.open(moved), "owner/name")
    assert snapshot is not None
    assert snapshot.folder.is_relative_to(moved)
    assert contents(snapshot.folder) == FILES


def test_a_payload_folder_on_a_bigger_disk_behind_a_link_works(tmp_path: Path) -> None:
    home, big = tmp_path / "home", tmp_path / "big" / "deep"
    big.mkdir(parents=True)
    home.mkdir()
    (home / "blobs-v1").symlink_to(big)
    snapshot = bring(Store.open(home), FILES)
    assert contents(snapshot.folder) == FILES
    assert any(big.rglob("*"))


@pytest.mark.parametrize(
    "text", ["owner/name", "hf:owner/name", "owner/name@main", f"owner/name@{COMMIT}", "owner/name@0123456"]
)
def test_a_snapshot_is_found_by_each_of_its_names(store: Store, text: str) -> None:
    snapshot = bring(store, FILES)
    assert lookup(store, text) == snapshot


@pytest.mark.parametrize(
    "text", ["owner/other", "other/name", "ms:owner/name", "owner/name@012345", "owner/name@v1", "owner/name@fffffff"]
)
def test_another_name_finds_nothing(store: Store, text: str) -> None:
    bring(store, FILES)
    assert lookup(store, text) is None


def test_a_prefix_that_fits_two_commits_finds_neither(store: Store) -> None:
    commits = ["1234567" + digit * 33 for digit in "ab"]
    for commit in commits:
        bring(store, FILES, manifest_of(FILES, commit=commit, revision=commit))
    assert lookup(store, "owner/name@1234567") is None
    found = lookup(store, "owner/name@1234567a")
    assert found is not None
    assert found.manifest.commit == commits[0]


def test_a_branch_moves_to_the_commit_of_the_last_pull(store: Store) -> None:
    bring(store, FILES)
    newer = {**FILES, "config.json": b'{"newer": true}'}
    bring(store, newer, manifest_of(newer, commit=OTHER_COMMIT))
    found = lookup(store, "owner/name")
    assert found is not None
    assert found.manifest.commit == OTHER_COMMIT
    assert lookup(store, f"owner/name@{COMMIT}") is not None


def test_a_pinned_commit_is_not_the_default_branch(store: Store) -> None:
    bring(store, FILES, manifest_of(FILES, revision=COMMIT))
    assert lookup(store, "owner/name") is None
    assert lookup(store, f"owner/name@{COMMIT}") is not None
    assert [found.manifest.commit for found in store.matching(parse("owner/name"))] == [COMMIT]


def test_a_branch_called_default_is_not_the_default_branch(store: Store) -> None:
    bring(store, FILES, manifest_of(FILES, revision="default"))
    assert lookup(store, "owner/name") is None
    assert lookup(store, "owner/name@default") is not None


def test_without_a_hub_the_newest_pull_is_meant(store: Store) -> None:
    bring(store, FILES)
    bring(store, FILES, manifest_of(FILES, hub="modelscope", commit=OTHER_COMMIT))
    for snapshot in store.snapshots():
        # Two pulls in one millisecond would be a tie.
        shift = 1 if snapshot.manifest.hub == "modelscope" else 0
        store.records.write(replace(snapshot, pulled_at=snapshot.pulled_at.replace(year=2020 + shift)))
    found = lookup(store, "owner/name")
    assert found is not None
    assert found.manifest.hub == "modelscope"
    assert [snapshot.manifest.hub for snapshot in store.snapshots()] == ["modelscope", "huggingface"]


def test_the_same_bytes_from_two_hubs_are_kept_once(store: Store) -> None:
    first = bring(store, FILES)
    second = bring(store, FILES, manifest_of(FILES, hub="modelscope", commit=OTHER_COMMIT))
    assert store.usage().blobs == len(FILES)
    for path in FILES:
        assert first.file(path).samefile(second.file(path))


def test_a_second_pull_of_other_files_adds_to_the_first(store: Store) -> None:
    manifest = manifest_of(FILES)
    first = bring(store, {"config.json": b"{}"}, manifest)
    assert not first.complete
    assert first.paths == {"config.json"}
    second = bring(store, {"model.safetensors": FILES["model.safetensors"]}, manifest)
    assert second.paths == {"config.json", "model.safetensors"}
    assert set(contents(second.folder)) == second.paths


def test_what_was_verified_holds_only_while_nothing_was_added(store: Store) -> None:
    manifest = manifest_of(FILES)
    store.note_verified(bring(store, {"config.json": b"{}"}, manifest))
    again = bring(store, {"config.json": b"{}"}, manifest)
    assert again.verified_at is not None
    assert bring(store, FILES, manifest).verified_at is None


def test_a_listing_that_says_other_bytes_wins_over_what_was_here(store: Store) -> None:
    manifest = manifest_of(FILES)
    bring(store, {"config.json": b"{}"}, manifest)
    changed = manifest_of({**FILES, "config.json": b"[]"})
    snapshot = bring(store, {"model.safetensors": FILES["model.safetensors"]}, changed)
    assert snapshot.paths == {"model.safetensors"}


def test_two_that_save_other_files_of_one_commit_both_keep_theirs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process saves between our reading of the record and our writing: the last look finds its links."""
    manifest = manifest_of(FILES)
    real_current = store.records.current

    def current_then_other_process(snapshot: Snapshot) -> Snapshot | None:
        read = real_current(snapshot)
        monkeypatch.setattr(store.records, "current", real_current)
        bring(Store.open(store.home), {"config.json": b"{}"}, manifest)
        return read

    monkeypatch.setattr(store.records, "current", current_then_other_process)
    bring(store, {"sub/folder/vocab.txt": b"a\nb\n"}, manifest)
    found = lookup(store, "owner/name")
    assert found is not None
    assert found.paths == {"config.json", "sub/folder/vocab.txt"}


def test_an_entry_that_another_process_linked_gets_both_digests(store: Store) -> None:
    whole = manifest_of(FILES)
    hub_says = replace(
        whole,
        entries=tuple(
            replace(entry, digests=Digests(git_sha1=entry.digests.git_sha1)) if entry.path == "config.json" else entry
            for entry in whole.entries
        ),
    )
    snapshot = bring(store, {"config.json": b"{}"}, whole)
    store.records.record(snapshot).unlink()
    grown = bring(store, {"model.safetensors": FILES["model.safetensors"]}, hub_says)
    entry = grown.manifest.entry("config.json")
    assert "config.json" in grown.paths
    assert entry is not None
    assert entry.digests == digests_of(b"{}")


def test_a_blob_that_goes_while_the_snapshot_is_made_is_noticed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = store.records.write

    def write_and_lose(snapshot: Snapshot) -> None:
        real_write(snapshot)
        digest = digests_of(b"{}").sha256
        assert digest is not None
        store.blob(digest).unlink()

    monkeypatch.setattr(store.records, "write", write_and_lose)
    with pytest.raises(StoreError) as error:
        bring(store, FILES)
    assert error.value.hint == "modelfetch pull huggingface:owner/name"


def test_a_snapshot_needs_what_it_claims(store: Store) -> None:
    manifest = manifest_of(FILES)
    with pytest.raises(ValueError, match="without a sha256"):
        store.save(manifest, frozenset({"no such file"}))
    git_only = Digests(git_sha1="a" * 40)
    half = replace(manifest, entries=tuple(replace(entry, digests=git_only) for entry in manifest.entries))
    with pytest.raises(ValueError, match="without a sha256"):
        store.save(half, frozenset({"config.json"}))
    with pytest.raises(StoreError):
        store.save(manifest, frozenset({"config.json"}))


@pytest.mark.parametrize("commit", ["../../../../etc", "main", "", "A" * 40])
def test_a_commit_that_is_none_makes_no_folder(store: Store, commit: str) -> None:
    with pytest.raises(ValueError, match="no commit"):
        store.save(replace(manifest_of({}), commit=commit), frozenset())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 99}', b'{"version": 1}', b"\xff"])
def test_a_damaged_record_hides_no_other_and_is_reported(store: Store, content: bytes) -> None:
    bring(store, FILES)
    other = bring(store, FILES, manifest_of(FILES, repo="owner/other"))
    record = store.records.record(other)
    record.write_bytes(content)
    assert [snapshot.manifest.repo for snapshot in store.snapshots()] == ["owner/name"]
    assert [damaged.path for damaged in store.damaged_records()] == [record]
    assert lookup(store, "owner/other") is None
    bring(store, FILES, manifest_of(FILES, repo="owner/other"))
    assert store.damaged_records() == ()


def test_a_record_that_claims_a_file_without_its_sha256_is_damaged(store: Store) -> None:
    record = store.records.record(bring(store, FILES))
    document = json.loads(record.read_text())
    document["files"][0]["sha256"] = None
    record.write_text(json.dumps(document))
    assert [damaged.path for damaged in store.damaged_records()] == [record]


def test_notes_are_kept_and_a_removed_snapshot_is_not_brought_back_by_one(store: Store) -> None:
    snapshot = store.note_smoke(bring(store, FILES), {"passed": True})
    assert lookup(store, "owner/name") == snapshot
    assert snapshot.smoke == {"passed": True}
    store.remove(snapshot, dry_run=False)
    store.note_verified(snapshot)
    assert store.snapshots() == []


def test_links_that_another_program_took_are_made_again(store: Store) -> None:
    snapshot = bring(store, FILES)
    snapshot.file("config.json").unlink()
    snapshot.file("model.safetensors").unlink()
    snapshot.file("model.safetensors").symlink_to("/etc/hostname")
    shutil.rmtree(snapshot.folder / "sub")
    store.relink(snapshot)
    assert contents(snapshot.folder) == FILES


@pytest.mark.parametrize("can_hard_link", [True, False])
def test_without_symbolic_links_the_files_are_hard_links_or_copies(
    store: Store, monkeypatch: pytest.MonkeyPatch, can_hard_link: bool
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "not here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    if not can_hard_link:
        monkeypatch.setattr(os, "link", refuse)
    snapshot = bring(store, FILES)
    assert contents(snapshot.folder) == FILES
    for entry in snapshot.entries:
        assert entry.digests.sha256 is not None
        file = snapshot.file(entry.path)
        assert not file.is_symlink()
        assert file.samefile(store.blob(entry.digests.sha256)) is can_hard_link
        assert file.stat().st_mode & 0o222 == 0
    store.remove(snapshot, dry_run=False)
    assert store.usage().blobs == 0


REVISIONS = st.text("abcXYZ019._/+-", min_size=1, max_size=200)


@given(REVISIONS, REVISIONS)
def test_reference_names_are_one_component_and_tell_revisions_apart(first: str, second: str) -> None:
    assert (reference_name(first) == reference_name(second)) is (first == second)
    assert "/" not in reference_name(first)
    assert len(reference_name(first).encode()) <= 240
    assert reference_name(first) != reference_name(None)


@pytest.mark.parametrize(
    ("revision", "name"),
    [
        (None, "default"),
        ("default", "%64efault"),
        ("feature/x+y", "feature%2Fx%2By"),
        ("v" * 200, "v" * 200),
        ("/" * 67, "%2F" * 66 + "%2" + "~" + hashlib.sha256(b"/" * 67).hexdigest()[:16]),
    ],
)
def test_reference_names_are_as_the_page_says(revision: str | None, name: str) -> None:
    assert reference_name(revision) == name


def test_a_snapshot_of_nothing_is_a_snapshot(store: Store) -> None:
    assert lookup(store, "owner/name") is None
    snapshot = bring(store, {})
    assert lookup(store, "owner/name") == snapshot
    assert snapshot.folder.is_dir()
