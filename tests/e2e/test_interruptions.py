"""Whatever stops a pull, at whatever moment, the same command goes on; two at once do not disturb each other."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelfetch.errors import INTERRUPTED
from tests.pulling import MIB, REPO, noise
from tests.simulator import FakeHub

WEIGHTS = noise(48 * MIB, seed=6)
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS, **{f"s{n}.txt": noise(2000, n) for n in range(20)}}
LANES = 16
PIECE = 4 * MIB

pytestmark = pytest.mark.e2e


def start(hub: FakeHub, home: Path, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "MODELFETCH_HOME": str(home), "HF_ENDPOINT": hub.url, "MODELSCOPE_ENDPOINT": hub.url}
    return subprocess.Popen(
        [sys.executable, "-m", "modelfetch", "pull", REPO, "--source", "hf", "--json", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_bytes(hub: FakeHub, count: int) -> None:
    deadline = time.monotonic() + 60
    while hub.bytes_sent() < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def assert_nothing_wrong(home: Path) -> None:
    for blob in (home / "blobs-v1" / "sha256").glob("??/*"):
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    for snapshot in (home / "snapshots-v1").glob("*/*/*.json"):
        for path in json.loads(snapshot.read_text())["paths"]:
            assert (snapshot.with_suffix("") / path).read_bytes() == FILES[path]


def test_killed_at_half_it_goes_on_and_sends_at_most_a_piece_per_lane_twice(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=4e6) as hub:
        first = start(hub, tmp_path)
        wait_for_bytes(hub, len(WEIGHTS) // 2)
        first.kill()
        first.communicate()
        before = hub.bytes_sent("model.safetensors")
        second = start(hub, tmp_path)
        output, errors = second.communicate(timeout=120)
        assert second.returncode == 0, errors
        document = json.loads(output)
        assert document["bytes_resumed"] > 0
        assert document["bytes_resumed"] >= before - LANES * PIECE
        assert hub.bytes_sent("model.safetensors") <= len(WEIGHTS) + LANES * PIECE
        assert_nothing_wrong(tmp_path)


@pytest.mark.parametrize("lost", ["2>&-", "2>/dev/full", "2>/dev/full --progress json", "<&- 2>&-"])
def test_a_pull_that_nobody_listens_to_is_done_all_the_same(lost: str, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        environment = {**os.environ, "MODELFETCH_HOME": str(tmp_path), "HF_ENDPOINT": hub.url}
        command = f"{shlex.quote(sys.executable)} -m modelfetch pull {REPO} --source hf {lost}"
        done = subprocess.run(["sh", "-c", command], env=environment, stdout=subprocess.PIPE, text=True, check=True)
        assert (Path(done.stdout.strip()) / "model.safetensors").read_bytes() == WEIGHTS


def test_killed_at_random_moments_it_ends_whole(tmp_path: Path) -> None:
    chance = random.Random(7)
    with FakeHub({REPO: FILES}, rate=3e6) as hub:
        for _ in range(12):
            child = start(hub, tmp_path)
            time.sleep(chance.uniform(0.2, 1.2))
            child.kill()
            child.communicate()
            assert_nothing_wrong(tmp_path)
        hub.set_rate(None)
        last = start(hub, tmp_path)
        _, errors = last.communicate(timeout=120)
        assert last.returncode == 0, errors
        assert_nothing_wrong(tmp_path)


def test_ctrl_c_ends_within_a_second_and_keeps_the_pieces(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=1e6) as hub:
        child = start(hub, tmp_path)
        wait_for_bytes(hub, 8 * MIB)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=10)
        assert child.returncode == INTERRUPTED
        assert "goes on from here" in errors
        assert "Traceback" not in errors
        hub.set_rate(None)
        second = start(hub, tmp_path)
        output, _ = second.communicate(timeout=60)
        assert json.loads(output)["bytes_resumed"] > 4 * MIB


def test_two_at_once_fetch_it_once(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=2e6) as hub:
        first = start(hub, tmp_path)
        wait_for_bytes(hub, 4 * MIB)
        second = start(hub, tmp_path)
        _, first_errors = first.communicate(timeout=120)
        output, second_errors = second.communicate(timeout=120)
        assert (first.returncode, second.returncode) == (0, 0), first_errors + second_errors
        assert "waiting" in second_errors
        assert hub.bytes_sent("model.safetensors") <= 1.1 * len(WEIGHTS)
        assert json.loads(output)["bytes_total"] == sum(map(len, FILES.values()))
        assert_nothing_wrong(tmp_path)


def test_the_second_takes_over_when_the_first_is_killed(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=1e6) as hub:
        first = start(hub, tmp_path)
        wait_for_bytes(hub, 8 * MIB)
        second = start(hub, tmp_path)
        time.sleep(2)
        first.kill()
        first.communicate()
        hub.set_rate(None)
        output, errors = second.communicate(timeout=120)
        assert second.returncode == 0, errors
        assert json.loads(output)["bytes_resumed"] > 0
        assert_nothing_wrong(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_said_before_the_first_byte_and_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", disk], check=True)
    try:
        with FakeHub({REPO: FILES}, rate=3e6) as hub:
            child = start(hub, disk / "store")
            _, errors = child.communicate(timeout=60)
            assert child.returncode == 7, errors
            assert "free" in errors
            assert hub.bytes_sent() == 0
            subprocess.run(["mount", "-o", "remount,size=90m", disk], check=True)
            child = start(hub, disk / "store")
            wait_for_bytes(hub, 8 * MIB)
            filler = disk / "filler"
            with filler.open("wb") as stream:
                try:
                    while True:
                        stream.write(bytes(MIB))
                        stream.flush()
                except OSError:
                    pass
            _, errors = child.communicate(timeout=60)
            assert child.returncode == 7, errors
            assert "Traceback" not in errors
            filler.unlink()
            child = start(hub, disk / "store")
            output, errors = child.communicate(timeout=60)
            assert child.returncode == 0, errors
            document = json.loads(output)
            assert document["bytes_resumed"] + document["bytes_reused"] > 0
            assert_nothing_wrong(disk / "store")
    finally:
        subprocess.run(["umount", disk], check=True)
