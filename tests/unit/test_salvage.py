"""A damaged payload on its way into a partial: killed before any single change of the disk, no byte of it is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from modelfetch.store import Store
from modelfetch.transfer.owner import Claim, this_process
from modelfetch.transfer.partial import Partial, resumable_bytes, take_over
from tests.store_crasher import killed_before
from tests.stored import digests_of, write_data

ROOT = Path(__file__).parents[2]
CONTENT = b"some weights" * 1000
DAMAGED = b"X" + CONTENT[1:]
DIGESTS = digests_of(CONTENT)


def damaged_store(home: Path, *, linked: bool) -> None:
    store = Store.open(home / "store")
    blob = store.publish(write_data(store.partial(DIGESTS), CONTENT), DIGESTS)
    blob.chmod(0o644)
    blob.write_bytes(DAMAGED)
    if linked:
        (home / "elsewhere").hardlink_to(blob)


def begin_mending(home: Path) -> None:
    """What a transfer does before its first byte."""
    store = Store.open(home / "store")
    folder = store.partial(DIGESTS)
    folder.mkdir(parents=True, exist_ok=True)
    # Not claimed: who is killed while claiming is waited for by the clock.
    owner = Claim(folder / "owner.1", this_process())
    salvaged = store.blobs.salvage(DIGESTS, len(CONTENT), beyond=resumable_bytes(folder, len(CONTENT)))
    if salvaged is not None:
        take_over(salvaged, folder, len(CONTENT))
    Partial(folder, len(CONTENT), owner).close()


def kill_before_each_change(root: Path, *, linked: bool) -> int:
    """Returns how many kills there were."""
    for change in count(1):
        home = root / str(change)
        home.mkdir()
        damaged_store(home, linked=linked)
        killed = killed_before(change, home, begin_mending)
        begin_mending(home)
        folder = Store.open(home / "store").partial(DIGESTS)
        assert resumable_bytes(folder, len(CONTENT)) == len(CONTENT), f"killed before change {change}"
        assert (folder / "data").read_bytes() == DAMAGED
        if linked:
            assert (home / "elsewhere").read_bytes() == DAMAGED
            assert (home / "elsewhere").stat().st_ino != (folder / "data").stat().st_ino
        shutil.rmtree(home)
        if not killed:
            return change - 1
    raise AssertionError("no end")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a child for each kill")
@pytest.mark.parametrize("linked", ["linked", ""], ids=["with another name", "without"])
def test_no_byte_is_lost_whenever_it_is_killed(tmp_path: Path, linked: str) -> None:
    # In a process of its own: it forks, and the tests' has threads.
    command = [sys.executable, "-m", "tests.unit.test_salvage", str(tmp_path), linked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > 5


if __name__ == "__main__":
    print(kill_before_each_change(Path(sys.argv[1]), linked=bool(sys.argv[2])))
