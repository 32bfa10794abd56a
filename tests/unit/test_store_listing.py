"""The summaries that `ls` shows: always what the records say, and fast because of a hint that is never trusted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bench.listing import main, make_store
from modelfetch.store import FolderDestination, Store, ViewPlace
from modelfetch.store.listing import HINT, read_summaries
from modelfetch.store.records import Records
from modelfetch.store.summary import distinct_bytes, summary_of
from tests.stored import bring, deliver, manifest_of

FILES = {"config.json": b"{}", "again.json": b"{}", "model.safetensors": b"w" * 120_000}
OTHER_COMMIT = "f" * 40


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


def hint(store: Store) -> Path:
    return store.records.root / HINT


def test_a_summary_is_its_snapshot_in_short(store: Store, tmp_path: Path) -> None:
    bring(store, {"config.json": b"{}"}, manifest_of(FILES, repo="owner/half"))
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, manifest_of(FILES, repo="owner/plain"))
    store.note_view(store.note_verified(bring(store, FILES)), ViewPlace("huggingface", tmp_path / "hub"))
    for snapshot in store.snapshots():
        store.note_smoke(snapshot, {"verdict": "PASS"})
    expected = tuple(map(summary_of, store.snapshots()))
    assert [summary.size_bytes for summary in expected] == [120_004, 120_004, 2]
    for _ in ("without the hint", "with it"):
        assert read_summaries(store.records).summaries == expected
        assert hint(store).is_file()


def test_with_the_hint_no_record_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(store, FILES)
    first = read_summaries(store.records)

    def read(self: Records, path: Path) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(Records, "read", read)
    before = hint(store).stat()
    assert read_summaries(store.records) == first
    assert (hint(store).stat().st_ino, hint(store).stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns), (
        "a hint that fits is not written again"
    )


def test_what_changed_came_or_went_since_shows(store: Store) -> None:
    first = bring(store, FILES)
    read_summaries(store.records)
    second = bring(store, FILES, manifest_of(FILES, repo="owner/other"))
    store.note_verified(first)
    listed = {summary.repo: summary.verified_at is not None for summary in read_summaries(store.records).summaries}
    assert listed == {"owner/name": True, "owner/other": False}
    store.remove(second, dry_run=False)
    assert [summary.repo for summary in read_summaries(store.records).summaries] == ["owner/name"]


def test_a_record_with_the_size_and_time_of_another_is_told_apart_by_its_inode(store: Store) -> None:
    record = store.records.record(bring(store, FILES))
    read_summaries(store.records)
    document, before = record.read_text(), record.stat()
    other = record.with_name("other")
    other.write_text(document.replace('"lfs": true', '"lfs":  0  '))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert other.stat().st_size == before.st_size
    other.write_text(document.replace("owner/name", "owner/same"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(record)
    assert [summary.repo for summary in read_summaries(store.records).summaries] == ["owner/same"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 2, "records": {}}', b"[" * 99999]
)
def test_a_hint_that_is_anything_else_is_as_good_as_absent(store: Store, content: bytes) -> None:
    bring(store, FILES)
    expected = read_summaries(store.records)
    hint(store).write_bytes(content)
    assert read_summaries(store.records) == expected
    assert json.loads(hint(store).read_bytes())["version"] == 1


def test_a_record_that_cannot_be_read_hides_no_other(store: Store) -> None:
    broken = store.records.record(bring(store, FILES))
    bring(store, FILES, manifest_of(FILES, repo="owner/other"))
    read_summaries(store.records)
    broken.write_bytes(b"{")
    listing = read_summaries(store.records)
    assert [summary.repo for summary in listing.summaries] == ["owner/other"]
    assert [record.path for record in listing.damaged] == [broken]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any folder")
def test_a_store_of_somebody_else_is_listed_all_the_same(store: Store) -> None:
    bring(store, FILES)
    store.records.root.chmod(0o555)
    try:
        assert len(read_summaries(store.records).summaries) == 1
        assert not hint(store).exists()
    finally:
        store.records.root.chmod(0o755)


def test_a_shared_blob_counts_once_and_a_plain_folders_file_where_it_is(store: Store, tmp_path: Path) -> None:
    bring(store, FILES)
    bring(store, FILES, manifest_of(FILES, commit=OTHER_COMMIT))
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, manifest_of(FILES, repo="owner/plain"))
    assert distinct_bytes(read_summaries(store.records).summaries) == 2 * 120_002


def test_the_benchmark_lists_what_it_says(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_store(tmp_path / "many", 20, 3)
    summaries = read_summaries(Records(tmp_path / "many")).summaries
    assert [summary.files for summary in summaries] == [3] * 20
    assert len({sha256 for summary in summaries for sha256 in summary.blobs}) == 20 + 2 * 2
    assert main(["--models", "2", "--files", "1", "-n", "1"]) == 0
    assert capfd.readouterr().out.startswith("2 models, 2 files, median of 1\n  ls, the first time ")
