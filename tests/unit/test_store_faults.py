"""A disk that refuses: read-only, full, somebody else's, of another version. Each is said, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfetch.adopt import Hashed, State, adopt, place_at
from modelfetch.errors import DiskFullError, StoreError
from modelfetch.prune import Wishes, carry_out, look_and_plan
from modelfetch.reference import parse
from modelfetch.store import FolderDestination, Store
from modelfetch.store.views import folder
from modelfetch.verification import verify
from tests.other_tools import write_all
from tests.stored import bring, contents, dead_partial, deliver, digests_of, manifest_of

FILES = {"config.json": b"{}", "weights.dat": b"w" * 200_000}
NOBODY = 65534


def test_a_store_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "store-version").write_text("modelfetch store 2\n")
    for create in (True, False):
        with pytest.raises(StoreError) as error:
            Store.open(tmp_path, create=create)
        assert error.value.exit_status == 9
        assert error.value.facts == {"expected": "modelfetch store 1", "got": "modelfetch store 2"}
    assert [path.name for path in tmp_path.iterdir()] == ["store-version"]


def test_a_version_that_is_no_text_is_another_version(tmp_path: Path) -> None:
    (tmp_path / "store-version").write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match="another version"):
        Store.open(tmp_path)


def test_a_file_in_the_place_of_the_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreError, match="home"):
        Store.open(tmp_path / "home")


def test_opening_for_reading_makes_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "home", create=False)
    assert store.snapshots() == []
    assert store.find(digests_of(b""), 0) is None
    assert store.lookup(parse("owner/name")) is None
    assert store.usage().blobs == 0
    assert not (tmp_path / "home").exists()


READ_ONLY_SCRIPT = """
import concurrent.futures.thread, encodings.ascii, filelock, json, os, pwd, sys
from pathlib import Path
from modelfetch.errors import StoreError
from modelfetch.reference import parse
from modelfetch.store import Store
from modelfetch.store.views import huggingface, folder
from modelfetch.verification import verify
if os.getuid() == 0:
    # After the imports: the interpreter may be where another user may not look.
    os.setgid({nobody})
    os.setuid({nobody})
home = Path(sys.argv[1])
store = Store.open(home, create=False)
snapshot = store.lookup(parse("owner/name"))
assert snapshot is not None
assert snapshot.file("config.json").read_bytes() == b"{{}}"
assert verify(store).ok
assert len(store.snapshots()) == 1
own = Path(sys.argv[2])
assert (huggingface.link(store, snapshot, own / "hub").folder / "config.json").read_bytes() == b"{{}}"
assert (folder.link(store, snapshot, own / "mine").folder / "config.json").read_bytes() == b"{{}}"
try:
    Store.open(home)
except StoreError as error:
    print(error.exit_status, error.facts["owner"], error.hint)
"""


def test_a_read_only_store_is_read_and_not_written(tmp_path: Path) -> None:
    home = tmp_path / "home"
    bring(Store.open(home), FILES)
    # Another user must be able to walk there: pytest's own folders are private.
    for parent in (*home.parents, home):
        if parent.stat().st_uid == os.getuid() and parent.stat().st_mode & 0o005 != 0o005:
            parent.chmod(parent.stat().st_mode | 0o005)
    own = tmp_path / "own"
    own.mkdir()
    own.chmod(0o777)
    home.chmod(0o555)
    try:
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY_SCRIPT.format(nobody=NOBODY), str(home), str(own)],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        home.chmod(0o755)
    assert done.returncode == 0, done.stderr
    status, owner, hint = done.stdout.strip().split(" ", 2)
    assert status == "9"
    assert owner == home.owner()
    assert hint == f'sudo chown -R "$(id -un)" "{home}"'


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = (
        shutil.which("mount")
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("needs to mount a tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(place: Path) -> Path:
    filler = place / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
    except OSError:
        return filler


def test_a_full_disk_is_said_and_the_same_call_goes_on_when_there_is_room(small_disk: Path) -> None:
    files = {"config.json": b"{}", "weights.dat": b"w" * 200_000}
    store = Store.open(small_disk / "home")
    filler = fill(small_disk)
    with pytest.raises(DiskFullError) as error:
        bring(store, {"config.json": b"x" * 8000}, manifest_of({"config.json": b"x" * 8000}))
    assert error.value.exit_status == 7
    assert store.snapshots() == []
    assert verify(store).ok
    filler.unlink()
    snapshot = bring(store, files)
    assert contents(snapshot.folder) == files
    filler = fill(small_disk)
    newer = {**files, "config.json": b"x" * 9000}
    with pytest.raises(DiskFullError):
        bring(store, newer, manifest_of(newer, commit="f" * 40))
    assert contents(snapshot.folder) == files
    assert verify(store).ok
    removal = Store.open(store.home).remove(snapshot, dry_run=False)
    assert removal.freed_bytes == 200_002, "a full disk is when people remove"


def test_a_full_disk_under_a_view_leaves_nothing_half_made(small_disk: Path, tmp_path: Path) -> None:
    files = {"config.json": b"{}", "weights.dat": b"w" * 2_000_000}
    store = Store.open(tmp_path / "home")
    snapshot = bring(store, files)
    with pytest.raises(DiskFullError):
        folder.link(store, snapshot, small_disk / "mine")
    assert contents(small_disk / "mine") == {"config.json": b"{}"}
    assert not any((small_disk / "mine/.modelfetch").rglob("temporary/*"))


def test_a_full_disk_under_a_plain_folder_is_said(small_disk: Path, tmp_path: Path) -> None:
    files = {"weights.dat": b"w" * 2_000_000}
    store = Store.open(tmp_path / "home")
    bring(store, files)
    with pytest.raises(DiskFullError):
        deliver(FolderDestination(store, small_disk / "mine"), files, manifest_of(files))
    assert contents(small_disk / "mine") == {}


def test_adopting_onto_a_full_disk_is_said_and_goes_on_when_there_is_room(small_disk: Path, tmp_path: Path) -> None:
    write_all(tmp_path / "mine", FILES)
    store = Store.open(small_disk / "home")
    filler = fill(small_disk)
    for _ in range(2):
        with pytest.raises(DiskFullError):
            adopt(store, [place_at(tmp_path / "mine")], name=parse("me/mine"), copy=True)
    assert store.snapshots() == []
    filler.unlink()
    adopt(store, [place_at(tmp_path / "mine")], name=parse("me/mine"), copy=True)
    snapshot = store.lookup(parse("me/mine"))
    assert snapshot is not None
    assert contents(snapshot.folder) == FILES


def test_copies_that_cannot_fit_are_refused_with_numbers_before_the_first_byte(
    small_disk: Path, tmp_path: Path
) -> None:
    write_all(tmp_path / "mine", {**FILES, "weights.dat": b"w" * 2_000_000})
    store = Store.open(small_disk / "home")
    read: list[Hashed] = []
    with pytest.raises(DiskFullError, match="too little room for `the files that must be copied`") as error:
        adopt(store, [place_at(tmp_path / "mine")], name=parse("me/mine"), copy=True, listener=read.append)
    assert error.value.facts["needed"] == "2.0 MB"
    assert set(error.value.facts) == {"needed", "free", "missing"}
    assert error.value.hint is not None
    assert "MODELFETCH_HOME" in error.value.hint
    assert (read, store.usage().blobs, store.snapshots()) == ([], 0, [])


def test_what_is_left_where_it_is_needs_no_room(small_disk: Path, tmp_path: Path) -> None:
    write_all(tmp_path / "mine", {"weights.dat": b"w" * 2_000_000})
    report = adopt(Store.open(small_disk / "home"), [place_at(tmp_path / "mine")], name=parse("me/mine"))
    assert [fate.state for fate in report.fates] == [State.LEFT]


def test_a_full_disk_can_be_pruned(small_disk: Path) -> None:
    store = Store.open(small_disk / "home")
    bring(store, FILES)
    partial = dead_partial(store.partials / ("d" * 64), idle_s=20 * 24 * 60 * 60)
    fill(small_disk)
    carry_out(store, look_and_plan(store, Wishes()), Wishes())
    assert not partial.exists(), "where nothing else may go"
    fill(small_disk)
    wishes = Wishes(keep_within_s=0.0)
    plan = carry_out(store, look_and_plan(store, wishes), wishes)
    assert plan.freed_bytes == 200_002
    assert store.snapshots() == []
    assert bring(store, FILES).paths == frozenset(FILES)


def test_links_and_folders_reach_over_two_disks(small_disk: Path, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "home")
    view = folder.link(store, bring(store, FILES), small_disk / "mine")
    assert contents(view.folder) == FILES
    assert view.copied == 2
    assert view.notes == (), "small files are copies on any disk"
