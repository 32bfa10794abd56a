"""Commands on a failing disk, killed at any moment, and many at once: a sample of what the modules started here do
by hand for every call, for 300 kills, and for as long as one likes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="forks, and finds descriptors' paths in /proc"),
]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder in memory where that is possible: thousands of fsyncs are of no interest here."""
    folder = Path(tempfile.mkdtemp(prefix="modelfetch-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    yield folder
    shutil.rmtree(folder)


def run(module: str, disk: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"tests.{module}", str(disk), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def test_on_a_disk_that_fails_nothing_is_lost_and_the_next_run_heals(disk: Path) -> None:
    assert int(run("store_faults_walk", disk, "--every", "97", "--begin", "7")) > 20


def test_killed_at_any_moment_nothing_is_wrong_and_one_run_heals(disk: Path) -> None:
    assert run("store_kills", disk, "--kills", "15") == "15"


def test_eight_at_once_spoil_nothing_of_each_other(disk: Path) -> None:
    assert int(run("store_crowd", disk, "--seconds", "4", "--workers", "8")) >= 8
