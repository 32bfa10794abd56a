"""An endpoint that is no longer waited for has not failed, and is not asked again."""

from __future__ import annotations

import time
from pathlib import Path

from tests.pulling import REPO, Heard, endpoint, pull, settings
from tests.simulator import FakeHub, Fault, Stall

FILES = {"config.json": b"{}"}


def test_an_endpoint_that_is_left_behind_is_no_fault_and_is_let_go(tmp_path: Path) -> None:
    mute = Fault(Stall(0), phase="metadata", times=None)
    with FakeHub({REPO: FILES}) as quick, FakeHub({REPO: FILES}, faults=[mute]) as slow:
        given = settings(tmp_path, endpoint(quick.url, name="quick"), endpoint(slow.url, name="slow"))
        pull(given, source="quick")
        heard = Heard()
        pull(given, listener=heard)
        assert heard.faults == []
        # Longer than the wait before a second try would be.
        time.sleep(1.5)
        assert len(slow.requests) == 1
