"""What the disk says where nobody expected it to fail is the disk's error, and no bug; what it does not let us read is
never taken for absent.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelfetch.diskfaults import fault, unexpected
from modelfetch.errors import DiskFullError, StoreError
from modelfetch.reference import parse
from modelfetch.store import Store
from modelfetch.store.links import hard_link, symbolic_link
from modelfetch.transfer import journal
from modelfetch.transfer.needs import Needs, needed
from tests.stored import bring, digests_of

FILES = {"config.json": b"{}"}


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EIO, StoreError), (errno.EROFS, StoreError), (errno.ENOSPC, DiskFullError), (errno.EDQUOT, DiskFullError)],
)
@pytest.mark.parametrize("named", [True, False])
def test_an_error_that_only_disks_have_is_the_disks(number: int, kind: type[Exception], named: bool) -> None:
    error = OSError(number, os.strerror(number), *(["/some/file"] if named else []))
    said = unexpected(error)
    assert isinstance(said, kind)
    assert said.facts["why"] == os.strerror(number)
    assert ("/some/file" in said.message) == named


def test_too_many_open_files_are_no_fault_of_the_disk_and_have_a_hint() -> None:
    said = fault(OSError(errno.EMFILE, os.strerror(errno.EMFILE)), Path("/some/file"), "written")
    assert isinstance(said, StoreError)
    assert "ulimit -n" in str(said.hint)


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "no such file", "x"), OSError("words alone")])
def test_an_error_that_a_mistake_may_have_is_a_bug(error: OSError) -> None:
    assert unexpected(error) is None


SCRIPT = """
import os, sys
from pathlib import Path
from modelfetch import cli
from tests.failing_disk import FailingDisk, Fault
FailingDisk(Path(sys.argv[1]), Fault.READ, int(sys.argv[2]), int).install()
sys.exit(cli.run(["ls"]))
"""


def test_the_command_line_says_so_with_the_stores_status(tmp_path: Path) -> None:
    home = tmp_path / "store"
    bring(Store.open(home), FILES)
    statuses = set()
    for call in range(1, 12):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path), str(call)],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "MODELFETCH_HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "bug" not in done.stderr
        assert "Traceback" not in done.stderr
        statuses.add(done.returncode)
    assert statuses <= {0, StoreError.exit_status}
    assert StoreError.exit_status in statuses


def unreadable(path: Path) -> None:
    """Another file in its place that cannot be read as one, by root either."""
    path.unlink()
    path.symlink_to(path.name)


def test_a_reference_that_cannot_be_read_is_not_a_model_that_is_not_here(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    snapshot = bring(store, FILES)
    unreadable(store.records.references(snapshot.manifest)[0])
    with pytest.raises(StoreError, match="default"):
        store.lookup(parse("owner/name"))


def test_a_list_of_a_running_pull_that_cannot_be_read_removes_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    snapshot = bring(store, FILES)
    with Needs(store.partials) as needs:
        needs.add(str(digests_of(b"{}").sha256))
        unreadable(needs.folder / "needs")
        with pytest.raises(StoreError, match="running pulls"):
            store.remove(snapshot, dry_run=False, in_use=lambda: needed(store.partials, time.time()))
    assert store.find(digests_of(b"{}"), 2) is not None


def test_a_line_that_the_disk_takes_in_parts_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = os.open(tmp_path / "lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: real(descriptor, content[: len(content) // 2 + 1]))
    journal.append(descriptor, b"one line\n")
    journal.append(descriptor, b"another\n")
    os.close(descriptor)
    assert (tmp_path / "lines").read_bytes() == b"one line\nanother\n"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize(("name", "make"), [("link", hard_link), ("symlink", symbolic_link)])
def test_a_disk_that_fails_is_not_one_without_links(
    name: str, make: Callable[..., bool], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*paths: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        make(tmp_path / "file", tmp_path / "name")


def test_a_temporary_that_cannot_be_removed_does_not_undo_what_was_done(tmp_path: Path) -> None:
    from modelfetch.store.files import drop

    (tmp_path / "folder").mkdir()
    drop(tmp_path / "folder")
    assert (tmp_path / "folder").is_dir()
