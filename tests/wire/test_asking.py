"""An endpoint that is no longer waited for has not failed, and is not asked again."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

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


def test_a_pull_that_has_nothing_to_do_stays_with_the_hub_of_the_first(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, latency_s=0.3) as slow, FakeHub({REPO: FILES}) as quick:
        given = settings(tmp_path, endpoint(slow.url), endpoint(quick.url, "modelscope"))
        first = pull(given)
        again = pull(given)
        assert first.manifest.hub == again.manifest.hub == "huggingface"
        assert again.folder == first.folder


def test_what_was_pulled_from_a_hub_that_answers_waits_for_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mute = Fault(Stall(0), phase="metadata", times=None)
    with FakeHub({REPO: FILES}, faults=[mute]) as slow, FakeHub({REPO: FILES}) as quick:
        given = settings(tmp_path, endpoint(slow.url), endpoint(quick.url, "modelscope"))
        pull(given, source="modelscope")
        # Longer than any test may take.
        monkeypatch.setattr(sys.modules["modelfetch.hubs.resolve"], "GRACE_S", 3600.0)
        assert pull(given).manifest.hub == "modelscope"
