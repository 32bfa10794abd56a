"""Pruning real stores: what is seen of them, what goes, and what somebody works on stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from modelfetch.cli import run
from modelfetch.hashing import Pieces
from modelfetch.planning.scheduler import PIECE
from modelfetch.prune import Plan, Wishes, carry_out, doing, look_and_plan
from modelfetch.prune.open_files import open_files
from modelfetch.prune.orphans import as_leftovers
from modelfetch.prune.picture import Kind, Leftover
from modelfetch.reference import parse
from modelfetch.store import FolderDestination, Snapshot, Store
from modelfetch.store.views import folder, huggingface, modelscope
from modelfetch.transfer.needs import Needs
from modelfetch.transfer.owner import Claim, Watch, claim, this_process
from tests.stored import bring, contents, dead_partial, deliver, digests_of, manifest_of

DAY_S = 86400.0
FILES = {"config.json": b"{}", "model.safetensors": b"w" * 1_200_000}
# Published from memory: a test's own partials are not in the way.
SMALL = {"config.json": b"{}", "weights.dat": b"w" * 90_000}
NEWER = {**FILES, "config.json": b'{"newer": true}'}
OTHER_COMMIT = "f" * 40
NO_WISHES = Wishes()
EVERYTHING = Wishes(keep_within_s=0.0)


@pytest.fixture
def store(own_environment: Path) -> Store:
    return Store.open(own_environment / "modelfetch")


def sha256_of(content: bytes) -> str:
    return str(digests_of(content).sha256)


def prune(store: Store, wishes: Wishes = NO_WISHES, *, after_s: float = 0.0) -> Plan:
    """Prune as the command does, `after_s` from now."""
    now = time.time() + after_s
    shown = look_and_plan(store, wishes, now=now)
    done = carry_out(store, shown, wishes, now=now)
    assert (done.goes, done.stays) == (shown.goes, shown.stays)
    assert look_and_plan(store, wishes, now=now).goes == ()
    return done


def everything(home: Path) -> set[Path]:
    return {path for path in home.rglob("*") if not path.is_dir()}


def unused_for(store: Store, snapshot: Snapshot, seconds: float) -> None:
    """Let the snapshot look as if nobody had used it for so long."""
    then = time.time() - seconds
    aged = replace(snapshot, pulled_at=snapshot.pulled_at.fromtimestamp(then, snapshot.pulled_at.tzinfo))
    store.records.write(aged)
    for entry in snapshot.entries:
        payload = store.blob(str(entry.digests.sha256))
        os.utime(payload, ns=(int(then * 1e9), payload.stat().st_mtime_ns))


def test_a_store_in_order_loses_nothing(store: Store, tmp_path: Path) -> None:
    snapshot = bring(store, SMALL)
    huggingface.link(store, snapshot, tmp_path / "hub")
    before = everything(store.home)
    assert prune(store, after_s=400 * DAY_S).goes == ()
    assert everything(store.home) == before


def test_bytes_that_no_record_names_go_after_a_day(store: Store) -> None:
    store.publish_bytes(b"nobody's", digests_of(b"nobody's"))
    assert prune(store).goes == ()
    assert prune(store, after_s=2 * DAY_S).freed_bytes == len(b"nobody's")
    assert everything(store.home) == {store.home / "store-version"}


def test_what_was_set_aside_and_hints_about_nothing_go(store: Store) -> None:
    bring(store, FILES)
    store.blobs.set_damaged_aside(sha256_of(b"{}"))
    (store.records.repository("huggingface", "owner/name") / f"{OTHER_COMMIT}.used").touch()
    plan = prune(store, after_s=2 * DAY_S)
    assert sorted(item.what for item in plan.goes) == ["damaged blob", "hint", "hint", "hint"]


def test_the_pieces_of_what_is_being_mended_stay(store: Store) -> None:
    lists = [Pieces(PIECE + 1, (b"\0" * 32, bytes([number]) * 32)) for number in range(3)]
    for pieces in lists:
        store.blobs.pieces.keep(pieces)
    dead_partial(store.partials / lists[0].sha256, idle_s=13 * DAY_S)
    (store.blobs.root / "damaged").mkdir()
    (store.blobs.root / "damaged" / lists[1].sha256).write_bytes(b"")
    prune(store)
    assert [store.blobs.pieces.read(pieces.sha256) == pieces for pieces in lists] == [True, True, False]


def test_a_partial_goes_when_nobody_went_on_with_it_for_a_fortnight(store: Store) -> None:
    dead = dead_partial(store.partials / ("a" * 64), idle_s=15 * DAY_S)
    recent = dead_partial(store.partials / ("b" * 40), idle_s=13 * DAY_S)
    scratch = dead_partial(store.partials / f"sdk-{'c' * 16}", idle_s=15 * DAY_S)
    foreign = dead_partial(store.partials / "somebody's", idle_s=15 * DAY_S)
    prune(store)
    assert [path.exists() for path in (dead, recent, scratch, foreign)] == [False, True, False, True]


def test_a_partial_whose_owner_lives_stays_however_old(store: Store) -> None:
    partial = dead_partial(store.partials / ("a" * 64), idle_s=15 * DAY_S)
    (partial / "owner.2").write_text(json.dumps(vars(this_process())))
    os.utime(partial / "owner.2", (0, 0))
    plan = prune(store, after_s=400 * DAY_S)
    assert (partial / "data").exists()
    assert [item.why for item in plan.stays] == [f"in use: process {os.getpid()} on {os.uname().nodename}"]


def test_a_partial_that_is_taken_up_after_it_was_shown_stays(store: Store) -> None:
    partial = dead_partial(store.partials / ("a" * 64), idle_s=15 * DAY_S)
    shown = look_and_plan(store, Wishes())
    owner = claim(partial, Watch())
    assert isinstance(owner, Claim)
    done = carry_out(store, shown, Wishes())
    assert done.goes == ()
    assert (partial / "data").exists()


def test_what_came_after_the_plan_was_shown_does_not_go(store: Store) -> None:
    snapshot = bring(store, FILES)
    shown = look_and_plan(store, EVERYTHING, now=time.time() + DAY_S)
    other = bring(store, NEWER, manifest_of(NEWER, commit=OTHER_COMMIT))
    done = carry_out(store, shown, EVERYTHING, now=time.time() + DAY_S)
    assert [one.manifest.commit for one in store.snapshots()] == [OTHER_COMMIT]
    assert contents(other.folder) == NEWER
    assert not snapshot.folder.exists()
    assert "it was not among what was shown" in {item.why for item in done.stays}


def test_nor_do_leftovers_and_unnamed_bytes_that_came_after_it(store: Store) -> None:
    later = time.time() + 2 * DAY_S
    shown = look_and_plan(store, NO_WISHES, now=later)
    partial = dead_partial(store.partials / ("a" * 64), idle_s=15 * DAY_S)
    blob = store.publish_bytes(b"new", digests_of(b"new"))
    done = carry_out(store, shown, NO_WISHES, now=later)
    assert done.goes == ()
    assert partial.exists()
    assert blob.exists()


def test_a_partial_that_is_taken_up_while_it_is_being_removed_stays(store: Store) -> None:
    partial = dead_partial(store.partials / ("a" * 64), idle_s=15 * DAY_S)
    assert isinstance(claim(partial, Watch()), Claim)
    leftover = Leftover(Kind.PARTIAL, partial, 0, 15 * DAY_S)
    assert not doing._remove_leftover(leftover, time.time())
    assert (partial / "data").exists()


@pytest.mark.parametrize(("days", "goes"), [(13, False), (15, True)])
def test_an_owner_elsewhere_is_dead_when_his_file_has_not_moved_for_a_fortnight(
    store: Store, days: int, goes: bool
) -> None:
    partial = dead_partial(store.partials / ("a" * 64), idle_s=days * DAY_S)
    mark = partial / "owner.1"
    mark.write_text(json.dumps({**vars(this_process()), "place": "another machine", "host": "far"}))
    for path in (mark, partial):
        os.utime(path, (time.time() - days * DAY_S, time.time() - days * DAY_S))
    plan = prune(store)
    assert partial.exists() != goes
    assert [item.why for item in plan.stays] == ([] if goes else [f"in use: process {os.getpid()} on far"])


def test_what_a_running_pull_counts_on_stays(store: Store) -> None:
    old = bring(store, SMALL)
    store.publish_bytes(b"just published", digests_of(b"just published"))
    with Needs(store.partials) as needs:
        needs.add(sha256_of(SMALL["config.json"]))
        needs.add(sha256_of(b"just published"))
        assert prune(store, EVERYTHING, after_s=400 * DAY_S).goes == ()
        store.remove(old, dry_run=False, in_use=lambda: {sha256_of(b"{}"): "a pull"})
        assert store.blob(sha256_of(b"{}")).exists()
    prune(store, after_s=400 * DAY_S)
    assert everything(store.home) == {store.home / "store-version"}


def test_the_names_of_a_pull_that_died_keep_nothing(store: Store) -> None:
    store.publish_bytes(b"published", digests_of(b"published"))
    program = f"""
import os, pathlib
from modelfetch.transfer.needs import Needs
Needs(pathlib.Path({str(store.partials)!r})).add({sha256_of(b"published")!r})
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    plan = prune(store, after_s=2 * DAY_S)
    assert {item.what for item in plan.goes} >= {"blob", "list of a pull"}
    assert everything(store.home) == {store.home / "store-version"}


def test_a_pull_that_finds_a_blob_while_it_is_pruned_keeps_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.publish_bytes(b"found", digests_of(b"found"))
    shown = look_and_plan(store, Wishes(), now=time.time() + 2 * DAY_S)
    real_move_aside = store.blobs.move_aside
    pulls: list[Needs] = []

    def move_aside(sha256: str) -> Path | None:
        # The pull has announced and found its blob just before this one is moved.
        pulls.append(Needs(store.partials))
        pulls[0].add(sha256)
        assert store.find(digests_of(b"found"), 5) is not None
        return real_move_aside(sha256)

    monkeypatch.setattr(store.blobs, "move_aside", move_aside)
    done = carry_out(store, shown, Wishes(), now=time.time() + 2 * DAY_S)
    with pulls[0]:
        assert store.find(digests_of(b"found"), 5) is not None
        assert [item.what for item in done.goes] == []
        assert "a pull that runs counts on it" in "".join(item.why for item in done.stays)


def test_models_that_nobody_used_go_with_their_bytes_and_leave_shared_ones(store: Store) -> None:
    old = bring(store, FILES)
    unused_for(store, old, 40 * DAY_S)
    new = bring(store, NEWER, manifest_of(NEWER, commit=OTHER_COMMIT))
    store.records.note_used(new)
    unused_for(store, new, 40 * DAY_S)
    plan = prune(store, Wishes(keep_within_s=30 * DAY_S))
    assert plan.freed_bytes == 2
    assert contents(new.folder) == NEWER
    assert [snapshot.manifest.commit for snapshot in store.snapshots()] == [OTHER_COMMIT]


@pytest.mark.parametrize("use", ["looked up", "read through a view"])
def test_a_model_is_used_when_it_is_looked_up_or_read_through_a_view(store: Store, use: str) -> None:
    snapshot = bring(store, FILES)
    unused_for(store, snapshot, 40 * DAY_S)
    if use == "looked up":
        store.lookup(parse("owner/name"))
    else:
        payload = store.blob(sha256_of(FILES["model.safetensors"]))
        os.utime(payload, ns=(time.time_ns(), payload.stat().st_mtime_ns))
    assert prune(store, Wishes(keep_within_s=30 * DAY_S)).snapshots == ()


def test_listing_and_planning_are_no_use(store: Store) -> None:
    unused_for(store, bring(store, FILES), 40 * DAY_S)
    assert run(["ls"]) == 0
    assert run(["prune", "--dry-run"]) == 0
    assert store.records.used_at(store.snapshots()[0]) is None


@pytest.mark.parametrize("view", [huggingface.link, modelscope.link])
def test_what_another_tools_cache_shows_goes_with_its_links_unless_views_are_kept(
    store: Store, tmp_path: Path, view: Callable[[Store, Snapshot, Path], object]
) -> None:
    view(store, bring(store, FILES), tmp_path / "view")
    plan = prune(store, replace(EVERYTHING, keep_views=True), after_s=DAY_S)
    assert plan.goes == ()
    assert any(str(tmp_path / "view") in item.why for item in plan.stays)
    prune(store, EVERYTHING, after_s=DAY_S)
    assert store.snapshots() == []
    assert [path for path in everything(tmp_path / "view") if "snapshots" in path.parts] == []


def test_what_is_in_a_folder_of_the_users_stays(store: Store, tmp_path: Path) -> None:
    folder.link(store, bring(store, FILES), tmp_path / "mine")
    plan = prune(store, EVERYTHING, after_s=DAY_S)
    assert plan.goes == ()
    assert any(f"yours in {tmp_path / 'mine'}; modelfetch rm" in item.why for item in plan.stays)


@pytest.mark.parametrize("how", ["open", "mapped"])
def test_what_a_process_has_open_by_any_name_stays(store: Store, tmp_path: Path, how: str) -> None:
    huggingface.link(store, bring(store, FILES), tmp_path / "hub")
    (name,) = (tmp_path / "hub").rglob("snapshots/*/model.safetensors")
    holds = "stream" if how == "open" else "mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ); stream.close()"
    script = f"import mmap, sys; stream = open(sys.argv[1], 'rb'); held = {holds}; print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        child.stdout.readline()
        plan = look_and_plan(store, EVERYTHING, now=time.time() + DAY_S)
        child.communicate("done\n")
    assert plan.snapshots == ()
    assert any(item.why == f"process {child.pid} has it open" for item in plan.stays)
    assert prune(store, EVERYTHING, after_s=DAY_S).snapshots != ()


def test_a_view_that_another_tool_emptied_keeps_nothing(store: Store, tmp_path: Path) -> None:
    huggingface.link(store, bring(store, FILES), tmp_path / "hub")
    subprocess.run(["rm", "-rf", str(tmp_path / "hub/models--owner--name")], check=True)
    plan = prune(store, replace(EVERYTHING, keep_views=True), after_s=DAY_S)
    assert plan.freed_bytes == sum(map(len, FILES.values()))


def test_with_its_views_a_model_frees_its_bytes(store: Store, tmp_path: Path) -> None:
    huggingface.link(store, bring(store, FILES), tmp_path / "hub")
    modelscope.link(store, store.snapshots()[0], tmp_path / "ms")
    plan = prune(store, EVERYTHING, after_s=DAY_S)
    assert plan.freed_bytes == sum(map(len, FILES.values()))
    assert plan.bytes_after == 0


def test_a_plain_folder_and_its_record_stay(store: Store, tmp_path: Path) -> None:
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, manifest_of(FILES))
    (tmp_path / "mine").rename(tmp_path / "unmounted")
    plan = prune(store, EVERYTHING, after_s=400 * DAY_S)
    assert plan.goes == ()
    assert len(store.snapshots()) == 1


@dataclass(frozen=True)
class Found:
    """What `adopt` reports."""

    path: Path
    size_bytes: int = 5
    age_s: float = 2 * DAY_S
    owner: str = "huggingface"
    why: str = "a download that was cut off"


def test_an_orphan_that_a_process_has_open_or_locked_is_in_use(tmp_path: Path) -> None:
    blobs = tmp_path / "models--own--name/blobs"
    locks = tmp_path / ".locks/models--own--name"
    for path in (blobs, locks):
        path.mkdir(parents=True)
    names = [blobs / f"{etag * 40}.deadbeef.incomplete" for etag in "abc"]
    for name in names:
        name.write_bytes(b"12345")
    with names[0].open("rb"), (locks / f"{'b' * 40}.lock").open("w"):
        found = as_leftovers([Found(name) for name in names], open_files())
    assert [leftover.user for leftover in found] == [f"process {os.getpid()} has it open"] * 2 + [None]
    assert {leftover.kind for leftover in found} == {Kind.ORPHAN}


def test_orphans_go_only_when_asked_for_and_no_younger_than_a_day(store: Store, tmp_path: Path) -> None:
    orphan = tmp_path / "x.incomplete"
    orphan.write_bytes(b"12345")
    young = Found(orphan, age_s=DAY_S - 1)
    assert look_and_plan(store, Wishes()).goes == ()
    assert look_and_plan(store, Wishes(), orphans=[young]).goes == ()
    shown = look_and_plan(store, Wishes(), orphans=[Found(orphan)])
    assert [(item.path, item.size_bytes) for item in shown.goes] == [(orphan, 5)]
    carry_out(store, shown, Wishes(), orphans=[Found(orphan)])
    assert not orphan.exists()


def test_of_two_used_at_once_the_one_pulled_first_goes(store: Store) -> None:
    first = bring(store, {"a.dat": b"a" * 100}, manifest_of({"a.dat": b"a" * 100}, repo="owner/first"))
    second = bring(store, {"b.dat": b"b" * 100}, manifest_of({"b.dat": b"b" * 100}, repo="owner/second"))
    now = time.time() - DAY_S
    plan = look_and_plan(store, Wishes(max_bytes=100), now=now)
    assert plan.snapshots == (first,), "both were used just now, by a clock that was set back"
    assert second.folder.exists()
