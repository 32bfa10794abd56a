"""Pruning while another process pulls: what that process works on, has found or has just published stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelfetch.prune import Wishes, carry_out, look_and_plan, planning
from modelfetch.prune.picture import Kind
from modelfetch.store import Store
from modelfetch.transfer.needs import needed
from modelfetch.verification import verify
from tests.pulling import MIB, REPO, noise
from tests.simulator import FakeHub

SMALL = {f"s{number}.txt": noise(2000, number) for number in range(5)}
WEIGHTS = noise(6 * MIB, seed=6)
FILES = {**SMALL, "weights.dat": WEIGHTS}
RATE = 4e6


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time is left for anything: what is not taken now was kept because somebody needs it."""
    monkeypatch.setattr(planning, "UNNAMED_BLOB_KEPT_FOR_S", -1.0)
    monkeypatch.setitem(planning.KEPT_FOR_S, Kind.PARTIAL, 1e-6)


def start(hub: FakeHub, home: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "MODELFETCH_HOME": str(home), "HF_ENDPOINT": hub.url}
    return subprocess.Popen(
        [sys.executable, "-m", "modelfetch", "pull", REPO, "--source", "hf", "--connections", "1", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def needs_everything(store: Store) -> bool:
    """Whether a pull that lives has named all its blobs."""
    return len(needed(store.partials, time.time())) == len(FILES)


def prune(store: Store) -> None:
    carry_out(store, look_and_plan(store, Wishes()), Wishes())


def prune_until_it_ends(store: Store, puller: subprocess.Popen[str]) -> int:
    rounds = 0
    while puller.poll() is None:
        prune(store)
        rounds += 1
    return rounds


@pytest.mark.usefixtures("impatient")
def test_a_pull_loses_nothing_to_a_prune_that_runs_all_the_time(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=RATE) as hub:
        puller = start(hub, tmp_path)
        store = Store.open(tmp_path)
        wait_until(lambda: puller.poll() is not None or needs_everything(store))
        assert prune_until_it_ends(store, puller) > 3
        output, errors = puller.communicate()
        assert puller.returncode == 0, errors
        assert json.loads(output)["bytes_transferred"] == sum(map(len, FILES.values()))
        assert hub.bytes_sent("weights.dat") == len(WEIGHTS)
    assert verify(store).ok
    assert not list(store.partials.iterdir())


@pytest.mark.usefixtures("impatient")
def test_what_a_killed_pull_left_is_kept_for_the_one_that_goes_on_with_it(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=RATE) as hub:
        first = start(hub, tmp_path)
        wait_until(lambda: hub.bytes_sent("weights.dat") > len(WEIGHTS) // 2)
        wait_until(lambda: len(list((tmp_path / "blobs-v1/sha256").glob("??/*"))) == len(SMALL))
        first.kill()
        first.communicate()
        second = start(hub, tmp_path)
        store = Store.open(tmp_path)
        wait_until(lambda: second.poll() is not None or needs_everything(store))
        prune_until_it_ends(store, second)
        output, errors = second.communicate()
        assert second.returncode == 0, errors
        assert json.loads(output)["bytes_reused"] == sum(map(len, SMALL.values()))
    assert verify(store).ok


@pytest.mark.usefixtures("impatient")
def test_what_a_killed_pull_left_goes_when_nobody_goes_on_with_it(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=RATE) as hub:
        first = start(hub, tmp_path)
        wait_until(lambda: hub.bytes_sent("weights.dat") > len(WEIGHTS) // 2)
        first.kill()
        first.communicate()
        store = Store.open(tmp_path)
        prune(store)
        assert store.usage().blobs == 0
        assert [path for path in store.partials.iterdir() if not path.name.startswith("pull-")] == []
        second = start(hub, tmp_path)
        output, errors = second.communicate()
        assert second.returncode == 0, errors
        assert json.loads(output)["bytes_transferred"] == sum(map(len, FILES.values()))
