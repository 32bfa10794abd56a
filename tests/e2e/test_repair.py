"""`modelfetch verify --repair` as a process that is killed: what is right of a damaged file is never lost."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelfetch.planning.scheduler import PIECE
from tests.pulling import REPO, noise
from tests.simulator import FakeHub

COUNT = 12
WEIGHTS = noise(COUNT * PIECE, seed=11)
WRONG = (1, 4, 5, 9)
LARGE = "weights.data"
FILES = {"config.json": b"{}", LARGE: WEIGHTS}
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
NEVER_SENT_AGAIN = 2 * PIECE * len(WRONG)

pytestmark = pytest.mark.e2e


def start(hub: FakeHub, home: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "MODELFETCH_HOME": str(home), "HF_ENDPOINT": hub.url, "MODELSCOPE_ENDPOINT": hub.url}
    return subprocess.Popen(
        [sys.executable, "-m", "modelfetch", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def damage(home: Path) -> None:
    blob = home / "blobs-v1/sha256" / SHA256[:2] / SHA256
    status = blob.stat()
    blob.chmod(0o644)
    with blob.open("r+b") as stream:
        for piece in WRONG:
            stream.seek(piece * PIECE + 5)
            stream.write(bytes([WEIGHTS[piece * PIECE + 5] ^ 1]))
    os.utime(blob, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("linked", [True, False], ids=["with a name in another cache", "without"])
def test_killed_at_random_moments_it_fetches_the_wrong_pieces_and_hardly_more(tmp_path: Path, linked: bool) -> None:
    chance = random.Random(3)
    with FakeHub({REPO: FILES}) as hub:
        pulled = start(hub, tmp_path, "pull", REPO, "--source", "hf", *([] if linked else ["--no-link"]))
        _, errors = pulled.communicate(timeout=120)
        assert pulled.returncode == 0, errors
        damage(tmp_path)
        hub.set_rate(8e6)
        before = hub.bytes_sent(LARGE)
        for _ in range(8):
            child = start(hub, tmp_path, "verify", "--deep", "--repair", "-q")
            time.sleep(chance.uniform(0.2, 1.8))
            child.kill()
            child.communicate()
            for blob in (tmp_path / "blobs-v1/sha256").glob("??/*"):
                content = blob.read_bytes()
                is_damaged = blob.name == SHA256 and len(content) == len(WEIGHTS)
                assert is_damaged or hashlib.sha256(content).hexdigest() == blob.name
        hub.set_rate(None)
        last = start(hub, tmp_path, "verify", "--deep", "--repair", "--json")
        output, errors = last.communicate(timeout=120)
        assert last.returncode == 0, errors
        assert json.loads(output)["ok"]
        assert (tmp_path / "blobs-v1/sha256" / SHA256[:2] / SHA256).read_bytes() == WEIGHTS
        # A kill costs what of a piece had not been written; no right piece is ever asked for.
        assert hub.bytes_sent(LARGE) - before <= NEVER_SENT_AGAIN + 8 * PIECE
