"""Verification: every kind of damage is found, named, and with a way to fetch it mended; nothing else is touched."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelfetch.errors import NoSourceError, StoreError
from modelfetch.store import FolderDestination, Snapshot, Store
from modelfetch.store.views import folder, huggingface, modelscope
from modelfetch.verification import Checked, Problem, Severity, VerifyReport, verify
from tests.conftest import safetensors_bytes
from tests.stored import bring, contents, deliver, digests_of, manifest_of

WEIGHTS = safetensors_bytes({"weight": b"w" * 1_200_000})
FILES = {"config.json": b'{"a": 1}', "model.safetensors": WEIGHTS, "sub/vocab.txt": b"a\nb\n"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


@pytest.fixture
def snapshot(store: Store) -> Snapshot:
    return bring(store, FILES)


def blob(store: Store, content: bytes) -> Path:
    return store.blob(str(digests_of(content).sha256))


def rewrite(path: Path, content: bytes, *, keep_time: bool = True) -> None:
    """Change a file behind everybody's back."""
    status = path.stat()
    path.chmod(0o644)
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flip(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def problems(report: VerifyReport) -> list[tuple[str, Problem]]:
    return [(finding.path, finding.problem) for finding in report.findings if finding.severity is Severity.ERROR]


def refetch(store: Store, files: dict[str, bytes] = FILES) -> Callable[[Snapshot, frozenset[str]], None]:
    """What a pull does for a repair, with the network left out."""

    def repair(snapshot: Snapshot, paths: frozenset[str]) -> None:
        if snapshot.plain:
            deliver(FolderDestination(store, snapshot.folder), files, snapshot.manifest)
        else:
            for path in paths:
                store.publish_bytes(files[path], digests_of(files[path]))

    return repair


def test_what_is_right_is_read_whole_and_remembered(store: Store, snapshot: Snapshot) -> None:
    report = verify(store)
    assert report.ok
    assert report.findings == ()
    assert report.checked_bytes == snapshot.size_bytes
    assert store.snapshots()[0].verified_at is not None


def test_a_blob_that_two_snapshots_share_is_read_once(store: Store, snapshot: Snapshot) -> None:
    bring(store, FILES, manifest_of(FILES, hub="modelscope", commit="f" * 40))
    assert verify(store).checked_bytes == snapshot.size_bytes


def test_only_what_was_asked_for_is_read(store: Store, snapshot: Snapshot) -> None:
    other = bring(store, {"other.txt": b"other"}, manifest_of({"other.txt": b"other"}, repo="owner/other"))
    rewrite(blob(store, WEIGHTS), flip(WEIGHTS))
    report = verify(store, [other])
    assert report.ok
    assert report.checked_bytes == 5


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.unlink(), Problem.MISSING),
        (lambda path: rewrite(path, WEIGHTS[:-1]), Problem.SHORT),
        (lambda path: rewrite(path, WEIGHTS + b"x"), Problem.LONG),
        (lambda path: rewrite(path, flip(WEIGHTS)), Problem.CHANGED),
        (lambda path: (path.unlink(), path.mkdir()), Problem.UNREADABLE),
    ],
)
def test_each_damage_has_its_name_and_is_mended(
    store: Store, snapshot: Snapshot, damage: Callable[[Path], object], problem: Problem
) -> None:
    damage(blob(store, WEIGHTS))
    before = store.snapshots()
    report = verify(store)
    assert not report.ok
    assert problems(report) == [("model.safetensors", problem)]
    assert store.snapshots() == before, "what is damaged is not noted as verified"
    repaired = verify(store, repair=refetch(store))
    assert repaired.ok
    assert [finding.repaired for finding in repaired.findings] == [True]
    assert contents(snapshot.folder) == FILES
    assert verify(store).findings == ()
    assert not any((store.blobs.root / "damaged").glob("*"))


def test_what_is_right_is_noted_whatever_else_is_damaged(store: Store, snapshot: Snapshot) -> None:
    other = {"other.txt": b"other"}
    bring(store, other, manifest_of(other, repo="owner/other"))
    rewrite(blob(store, WEIGHTS), flip(WEIGHTS))
    verify(store)
    assert {found.manifest.repo: found.verified_at is not None for found in store.snapshots()} == {
        "owner/name": False,
        "owner/other": True,
    }
    verify(store, repair=refetch(store))
    assert all(found.verified_at for found in store.snapshots())


def test_a_changed_byte_is_told_with_both_digests(store: Store, snapshot: Snapshot) -> None:
    rewrite(blob(store, WEIGHTS), flip(WEIGHTS))
    finding = verify(store).findings[0]
    assert (finding.expected, finding.got) == (digests_of(WEIGHTS).sha256, digests_of(flip(WEIGHTS)).sha256)


def test_plain_verification_moves_nothing(store: Store, snapshot: Snapshot) -> None:
    rewrite(blob(store, WEIGHTS), flip(WEIGHTS))
    verify(store)
    assert blob(store, WEIGHTS).read_bytes() == flip(WEIGHTS)


def test_one_damaged_file_does_not_hide_another(store: Store, snapshot: Snapshot) -> None:
    for content in FILES.values():
        blob(store, content).unlink()
    report = verify(store)
    assert problems(report) == [(path, Problem.MISSING) for path in sorted(FILES)]
    assert verify(store, repair=refetch(store)).ok


def test_a_shared_damaged_blob_is_a_finding_of_each_and_fetched_once(store: Store, snapshot: Snapshot) -> None:
    bring(store, FILES, manifest_of(FILES, repo="owner/other"))
    rewrite(blob(store, WEIGHTS), flip(WEIGHTS))
    asked = []

    def repair(damaged: Snapshot, paths: frozenset[str]) -> None:
        if paths:
            asked.append(paths)
        refetch(store)(damaged, paths)

    report = verify(store, repair=repair)
    assert [(finding.repo, finding.repaired) for finding in report.findings] == [
        ("owner/name", True),
        ("owner/other", True),
    ]
    assert asked == [{"model.safetensors"}]


@pytest.mark.parametrize("target", ["/etc/hostname", "nowhere"])
def test_a_link_that_leads_elsewhere_is_turned_back_without_fetching(
    store: Store, snapshot: Snapshot, target: str
) -> None:
    link = snapshot.file("config.json")
    link.unlink()
    link.symlink_to(target)
    report = verify(store)
    assert problems(report) == [("config.json", Problem.BROKEN_LINK)]
    assert report.findings[0].got == target

    def no_network(*_: object) -> None:
        raise AssertionError("nothing needs to be fetched")

    assert verify(store, repair=no_network).ok
    assert contents(snapshot.folder) == FILES


def test_a_link_that_is_gone_is_a_broken_one(store: Store, snapshot: Snapshot) -> None:
    snapshot.file("config.json").unlink()
    assert problems(verify(store)) == [("config.json", Problem.BROKEN_LINK)]


def test_a_real_file_in_the_place_of_a_link_is_read(store: Store, snapshot: Snapshot) -> None:
    link = snapshot.file("config.json")
    link.unlink()
    link.write_bytes(FILES["config.json"])
    assert verify(store).ok
    link.write_bytes(b'{"a": 2}')
    assert problems(verify(store)) == [("config.json", Problem.CHANGED)]
    assert verify(store, repair=refetch(store)).ok
    assert link.is_symlink()


def test_a_repair_that_fails_is_told_and_the_others_go_on(store: Store, snapshot: Snapshot) -> None:
    other = {"other.txt": b"other"}
    bring(store, other, manifest_of(other, repo="owner/other"))
    blob(store, WEIGHTS).unlink()
    blob(store, b"other").unlink()

    def repair(damaged: Snapshot, paths: frozenset[str]) -> None:
        if damaged.manifest.repo == "owner/name":
            raise NoSourceError("no network")
        refetch(store, other)(damaged, paths)

    report = verify(store, repair=repair)
    assert not report.ok
    assert [error.message for error in report.repair_errors] == ["no network"]
    assert {finding.repo: finding.repaired for finding in report.findings} == {
        "owner/name": False,
        "owner/other": True,
    }


def test_what_nobody_may_be_asked_for_stays_where_it_is(store: Store, snapshot: Snapshot) -> None:
    rewrite(blob(store, WEIGHTS), flip(WEIGHTS))

    def repair(*_: object) -> None:
        raise NoSourceError("nobody to ask")

    report = verify(store, repair=repair)
    assert [error.message for error in report.repair_errors] == ["nobody to ask"]
    assert [(finding.problem, finding.repaired) for finding in report.findings] == [(Problem.CHANGED, False)]
    assert blob(store, WEIGHTS).read_bytes() == flip(WEIGHTS)


def test_what_could_not_be_mended_is_out_of_the_way_and_still_there(store: Store, snapshot: Snapshot) -> None:
    rewrite(blob(store, WEIGHTS), flip(WEIGHTS))

    def repair(damaged: Snapshot, paths: frozenset[str]) -> None:
        if paths:
            raise NoSourceError("no network")

    assert not verify(store, repair=repair).ok
    assert not blob(store, WEIGHTS).exists()
    assert (store.blobs.root / "damaged" / blob(store, WEIGHTS).name).read_bytes() == flip(WEIGHTS)
    assert problems(verify(store)) == [("model.safetensors", Problem.MISSING)]
    assert verify(store, repair=refetch(store)).ok
    assert not any((store.blobs.root / "damaged").glob("*"))


def test_a_repair_that_brings_nothing_is_believed_by_its_result(store: Store, snapshot: Snapshot) -> None:
    blob(store, WEIGHTS).unlink()
    assert not verify(store, repair=lambda damaged, paths: None).ok


def test_a_mended_payload_reaches_the_views(store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
    hub = huggingface.link(store, snapshot, tmp_path / "hub")
    mine = folder.link(store, snapshot, tmp_path / "mine")
    rewrite(blob(store, WEIGHTS), flip(WEIGHTS))
    assert verify(store, repair=refetch(store)).ok
    assert contents(hub.folder) == FILES
    assert contents(mine.folder) == FILES


def test_a_view_that_was_taken_away_whole_is_not_forced_back(store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
    huggingface.link(store, snapshot, tmp_path / "hub")
    shutil.rmtree(tmp_path / "hub")
    rewrite(blob(store, WEIGHTS), flip(WEIGHTS))
    assert verify(store, repair=refetch(store)).ok
    assert not (tmp_path / "hub").exists()


def test_what_another_program_took_from_a_view_is_told_and_no_error(
    store: Store, snapshot: Snapshot, tmp_path: Path
) -> None:
    view = huggingface.link(store, snapshot, tmp_path / "hub")
    shutil.rmtree(view.folder)
    report = verify(store)
    assert report.ok
    assert [(finding.problem, finding.severity) for finding in report.findings] == [
        (Problem.GONE_FROM_VIEW, Severity.INFO)
    ]
    assert report.findings[0].hint == "modelfetch link huggingface:owner/name --to huggingface"


def test_a_folder_that_lost_files_is_named_by_its_path(store: Store, snapshot: Snapshot, tmp_path: Path) -> None:
    folder.link(store, snapshot, tmp_path / "mine")
    (tmp_path / "mine/config.json").unlink()
    (finding,) = verify(store).findings
    assert finding.hint == f"modelfetch link huggingface:owner/name --to {tmp_path / 'mine'}"


def test_an_unreadable_record_is_a_finding_when_everything_is_verified(store: Store, snapshot: Snapshot) -> None:
    other = bring(store, FILES, manifest_of(FILES, repo="owner/other"))
    store.records.record(other).write_bytes(b"{")
    assert [problem for _, problem in problems(verify(store))] == [Problem.UNREADABLE_RECORD]
    assert verify(store, [snapshot]).ok


def test_payloads_that_nobody_needs_are_told_and_no_error(store: Store, snapshot: Snapshot) -> None:
    for content in (b"nobody", b"needs me"):
        store.publish_bytes(content, digests_of(content))
    report = verify(store)
    assert report.ok
    assert [(finding.problem, finding.severity) for finding in report.findings] == [(Problem.ORPHANS, Severity.INFO)]
    assert report.findings[0].got == "2 of the payloads, 14 B, which no model here needs"
    assert verify(store, [snapshot]).findings == (), "only when everything is verified"
    store.records.record(snapshot).write_bytes(b"{")
    assert {finding.problem for finding in verify(store).findings} == {Problem.UNREADABLE_RECORD}, "it may need them"


def test_files_in_a_plain_folder_are_verified_where_they_are(store: Store, tmp_path: Path) -> None:
    plain = deliver(FolderDestination(store, tmp_path / "mine"), FILES, manifest_of(FILES))
    assert verify(store).checked_bytes == plain.size_bytes
    rewrite(tmp_path / "mine/model.safetensors", flip(WEIGHTS))
    (tmp_path / "mine/config.json").unlink()
    assert problems(verify(store)) == [("config.json", Problem.MISSING), ("model.safetensors", Problem.CHANGED)]
    assert verify(store, repair=refetch(store)).ok
    assert contents(tmp_path / "mine") == FILES
    assert not any((tmp_path / "mine/.modelfetch/damaged").glob("*"))


def test_what_the_user_edited_in_a_plain_folder_is_kept_for_them(store: Store, tmp_path: Path) -> None:
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, manifest_of(FILES))
    rewrite(tmp_path / "mine/model.safetensors", flip(WEIGHTS), keep_time=False)
    os.utime(tmp_path / "mine/model.safetensors", (1, 1))
    assert verify(store, repair=refetch(store)).ok
    assert contents(tmp_path / "mine") == {**FILES, "model.safetensors.saved": flip(WEIGHTS)}


def test_quick_reads_only_what_does_not_fit_its_stamp(store: Store, snapshot: Snapshot) -> None:
    assert verify(store, deep=False).checked_bytes == 0
    assert store.snapshots()[0].verified_at is None, "nothing was read"
    rewrite(blob(store, WEIGHTS), flip(WEIGHTS), keep_time=False)
    os.utime(blob(store, WEIGHTS), (1, 1))
    report = verify(store, deep=False)
    assert problems(report) == [("model.safetensors", Problem.CHANGED)]
    assert report.checked_bytes == len(WEIGHTS)


def test_what_is_known_is_counted_and_not_read(store: Store, snapshot: Snapshot) -> None:
    os.utime(blob(store, WEIGHTS), (1, 1))
    report = verify(store, deep=False)
    assert (report.checked_bytes, report.known_bytes) == (len(WEIGHTS), snapshot.size_bytes - len(WEIGHTS))
    again = verify(store, deep=False)
    assert (again.checked_bytes, again.known_bytes) == (0, snapshot.size_bytes)


def test_what_does_not_fit_its_stamp_is_read_by_the_readers_only(
    store: Store, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def must_not_read(path: Path, **_: object) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("modelfetch.store.blobs.hash_file", must_not_read)
    os.utime(blob(store, WEIGHTS), (1, 1))
    assert verify(store, deep=False).ok


@pytest.mark.parametrize("plain", [False, True])
def test_what_was_found_wrong_is_not_known_any_more(plain: bool, store: Store, tmp_path: Path) -> None:
    if plain:
        path = tmp_path / "mine/model.safetensors"
        deliver(FolderDestination(store, tmp_path / "mine"), FILES, manifest_of(FILES))
    else:
        bring(store, FILES)
        path = blob(store, WEIGHTS)
    rewrite(path, WEIGHTS[:-1] + b"x")
    assert verify(store, deep=False).ok, "its size and time fit"
    assert not verify(store, deep=True).ok
    assert problems(verify(store, deep=False)) == [("model.safetensors", Problem.CHANGED)]
    assert verify(store, deep=False, repair=refetch(store)).ok
    assert verify(store, deep=False).checked_bytes == 0, "and what was mended is"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_found_whatever_its_stamp_says(store: Store, snapshot: Snapshot) -> None:
    blob(store, WEIGHTS).chmod(0)
    assert problems(verify(store, deep=False)) == [("model.safetensors", Problem.UNREADABLE)]


def test_rot_that_shows_when_a_file_is_opened_is_damage_and_not_the_hubs_fault(
    store: Store, snapshot: Snapshot
) -> None:
    rewrite(blob(store, WEIGHTS), bytes(len(WEIGHTS)))
    rewrite(blob(store, FILES["config.json"]), b'{"a": 1x')
    assert problems(verify(store, deep=False)) == [
        ("config.json", Problem.CHANGED),
        ("model.safetensors", Problem.CHANGED),
    ]
    assert verify(store, deep=False, repair=refetch(store)).ok


def test_what_is_broken_at_the_hub_is_read_and_said_to_be_that(store: Store) -> None:
    broken = {"config.json": b"{}", "model.safetensors": b"no header"}
    bring(store, broken)
    report = verify(store, deep=False)
    assert problems(report) == [("model.safetensors", Problem.BAD_SAFETENSORS)]
    assert report.checked_bytes == len(broken["model.safetensors"])


def test_a_copy_in_the_place_of_a_link_has_no_stamp_and_is_read(store: Store, snapshot: Snapshot) -> None:
    link = snapshot.file("config.json")
    link.unlink()
    link.write_bytes(b'{"a": 2}')
    assert problems(verify(store, deep=False)) == [("config.json", Problem.CHANGED)]


def test_a_file_of_a_plain_folder_is_known_by_the_folders_own_stamp(store: Store, tmp_path: Path) -> None:
    plain = deliver(FolderDestination(store, tmp_path / "mine"), FILES, manifest_of(FILES))
    assert verify(store, deep=False).known_bytes == plain.size_bytes
    rewrite(tmp_path / "mine/model.safetensors", flip(WEIGHTS), keep_time=False)
    os.utime(tmp_path / "mine/model.safetensors", (1, 1))
    report = verify(store, deep=False)
    assert problems(report) == [("model.safetensors", Problem.CHANGED)]
    assert report.checked_bytes == len(WEIGHTS)


def test_what_is_missing_is_found_without_reading(store: Store, snapshot: Snapshot) -> None:
    blob(store, WEIGHTS).unlink()
    assert problems(verify(store, deep=False)) == [("model.safetensors", Problem.MISSING)]


def test_a_verified_payload_is_stamped_again(store: Store, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(blob(store, WEIGHTS), (1, 1))
    # A copy in the place of a link has times of its own, which say nothing about the payload.
    link = snapshot.file("config.json")
    link.unlink()
    link.write_bytes(FILES["config.json"])
    assert verify(store).ok

    def must_not_read(path: Path) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("modelfetch.store.blobs.hash_file", must_not_read)
    assert all(store.find(entry.digests, entry.size) for entry in snapshot.entries)


def test_progress_adds_up(store: Store, snapshot: Snapshot) -> None:
    seen: list[Checked] = []
    lock = threading.Lock()

    def listener(checked: Checked) -> None:
        with lock:
            seen.append(checked)

    verify(store, listener=listener, jobs=3)
    assert sum(checked.advanced for checked in seen) == snapshot.size_bytes
    assert {checked.total_bytes for checked in seen} == {snapshot.size_bytes}


def test_an_interruption_ends_every_reader(store: Store, snapshot: Snapshot) -> None:
    def interrupted(checked: Checked) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(store, listener=interrupted)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("verify")]


def test_ctrl_c_is_not_waited_for(store: Store) -> None:
    big = b"w" * (32 << 20)
    bring(store, {"weights.dat": big})
    seen: list[Checked] = []

    def listener(checked: Checked) -> None:
        if not seen:
            os.kill(os.getpid(), signal.SIGINT)
        seen.append(checked)
        # Slow enough for the main thread to hear of it long before the end.
        threading.Event().wait(0.2)

    with pytest.raises(KeyboardInterrupt):
        verify(store, listener=listener, jobs=1)
    assert sum(checked.advanced for checked in seen) < len(big)


def test_mending_a_store_that_cannot_be_written_to_is_said(
    store: Store, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(blob(store, WEIGHTS), flip(WEIGHTS))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StoreError, match="moved aside"):
        verify(store, repair=refetch(store))


def test_the_document_has_the_keys_of_the_contract(store: Store, snapshot: Snapshot) -> None:
    blob(store, WEIGHTS).unlink()
    document = verify(store).to_json()
    assert list(document) == ["ok", "checked_bytes", "known_bytes", "findings"]
    assert document["findings"] == [
        {
            "repo": "owner/name",
            "path": "model.safetensors",
            "problem": "missing",
            "severity": "error",
            "expected": f"{len(WEIGHTS)} bytes",
            "got": "no file",
            "repaired": False,
            "where": None,
        }
    ]


def test_the_page_about_verify_has_every_problem_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs/verify.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert sorted(name.strip(" `") for row in rows for name in row.split(",")) == sorted(Problem)


@pytest.mark.parametrize("kind", [huggingface, modelscope, folder])
def test_a_view_that_a_mending_did_not_come_to_is_found_and_made_again(
    store: Store, snapshot: Snapshot, tmp_path: Path, kind: Any
) -> None:
    view = kind.link(store, snapshot, tmp_path / "view")
    rewrite(blob(store, WEIGHTS), flip(WEIGHTS))
    # A repair that was killed here, or a pull that met the damage.
    store.blobs.set_damaged_aside(str(digests_of(WEIGHTS).sha256))
    store.publish_bytes(WEIGHTS, digests_of(WEIGHTS))
    assert (view.folder / "model.safetensors").read_bytes() == flip(WEIGHTS)
    report = verify(store)
    assert problems(report) == [("model.safetensors", Problem.STALE_VIEW)]
    assert not report.ok
    assert verify(store, repair=refetch(store)).ok
    assert contents(view.folder) == FILES
    assert verify(store).findings == ()


@pytest.mark.parametrize("kind", [huggingface, modelscope, folder])
def test_what_others_put_in_a_view_is_theirs(store: Store, snapshot: Snapshot, tmp_path: Path, kind: Any) -> None:
    view = kind.link(store, snapshot, tmp_path / "view")
    edited = {**FILES, "config.json": b'{"edited": true}'}
    for path, content in edited.items():
        real = (view.folder / path).resolve()
        real.unlink()
        (view.folder / path if path == "config.json" else real).unlink(missing_ok=True)
        (view.folder / path if path == "config.json" else real).write_bytes(content)
    assert verify(store, repair=refetch(store)).findings == ()
    assert contents(view.folder) == edited
