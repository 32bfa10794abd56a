"""Killed at any moment, alone or among others at work, the store is whole and the next run goes on."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelfetch.reference import parse
from modelfetch.store import Store
from modelfetch.verification import Problem, verify
from tests.store_worker import COMMITS, CONTENTS
from tests.stored import bring, contents, manifest_of

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
WORKERS = 4
KILLS = 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a child for each kill")
@pytest.mark.timeout(900)
def test_killed_before_any_single_change_of_the_disk_it_heals(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    folder = memory / f"modelfetch-crash-{os.getpid()}" if os.access(memory, os.W_OK) else tmp_path / "crash"
    folder.mkdir()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.store_crasher", str(folder)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.splitlines()[-1]) > 300


def start(home: Path, seed: int) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.store_worker", str(home), str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def test_many_at_work_and_killed_at_random_spoil_nothing(tmp_path: Path) -> None:
    chance = random.Random(20261122)
    workers = [start(tmp_path, seed) for seed in range(WORKERS)]
    try:
        for kill in range(KILLS):
            time.sleep(chance.uniform(0.0, 0.3))
            victim = workers.pop(0)
            assert victim.poll() is None, victim.communicate()
            victim.send_signal(signal.SIGKILL)
            victim.communicate()
            workers.append(start(tmp_path, WORKERS + kill))
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    store = Store.open(tmp_path / "store")
    for sha256, _ in store.blobs.sizes():
        assert hashlib.sha256(store.blob(sha256).read_bytes()).hexdigest() == sha256
    assert store.damaged_records() == ()
    # A removal that was killed may have left a snapshot listed whose links are gone already.
    left = {finding.problem for finding in verify(store).findings} - {Problem.GONE_FROM_VIEW, Problem.ORPHANS}
    assert left <= {Problem.BROKEN_LINK}
    for commit in COMMITS[:2]:
        snapshot = bring(store, CONTENTS, manifest_of(CONTENTS, commit=commit))
        assert contents(snapshot.folder) == CONTENTS
    assert verify(store, [snapshot for snapshot in store.snapshots() if snapshot.manifest.commit in COMMITS[:2]]).ok
    store.remove(*store.matching(parse("owner/name")), dry_run=False)
    assert store.snapshots() == []
