"""Where the system allows few threads or little memory, the work is done with those, or it is said what lacks."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelfetch import cli
from modelfetch.errors import ConfigError
from modelfetch.transfer.lane import Lane
from tests.pulling import MIB, REPO, contents, endpoint, noise, pull, settings
from tests.simulator import FakeHub

FILES = {"config.json": b"{}", "model.safetensors": noise(9 * MIB), "other.bin": noise(5 * MIB, seed=2)}
Allow = Callable[[Callable[[threading.Thread, int], bool]], None]


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Allow:
    """Let only those threads of ours start for which a function of them, and of how many asked before, is true."""
    start = threading.Thread.start
    ours = ("hasher", "lane", "needs", "syncer", "beater", "(_ask)")

    def limit(may: Callable[[threading.Thread, int], bool]) -> None:
        asked = 0

        def limited(thread: threading.Thread) -> None:
            nonlocal asked
            if any(word in thread.name for word in ours):
                asked += 1
                if not may(thread, asked):
                    raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)

    return limit


@pytest.mark.parametrize("most", [8, 9, 12])
def test_a_pull_is_done_by_the_threads_that_there_are(
    most: int, allow: Allow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two ask, one says what is needed, four help on two cores, and one lane there must be.
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url), endpoint(hub.url, "modelscope"))
        allow(lambda _, asked: asked <= most)
        assert contents(pull(given)) == FILES


def test_a_pull_is_done_with_the_memory_that_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, made = Lane.__init__, 0

    def limited(*arguments: Any, **options: Any) -> None:
        nonlocal made
        made += 1
        if made > 2:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        begin(*arguments, **options)

    monkeypatch.setattr(Lane, "__init__", limited)
    with FakeHub({REPO: FILES}) as hub:
        assert contents(pull(settings(tmp_path, endpoint(hub.url)))) == FILES
    assert made > 2


def test_one_thread_after_another_may_ask(allow: Allow, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url), endpoint(hub.url, "modelscope"))
        allow(lambda thread, _: "(_ask)" not in thread.name)
        assert contents(pull(given)) == FILES


@pytest.mark.parametrize("refused", ["needs", "syncer", "hasher 0", "lane"])
def test_what_cannot_be_done_without_a_thread_is_no_bug(
    refused: str, allow: Allow, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeHub({REPO: FILES}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        allow(lambda thread, _: refused not in thread.name)
        assert cli.run(["pull", REPO, "--source", "hf"]) == ConfigError.exit_status
        told = capsys.readouterr().err
        assert "error: no thread can be started" in told
        assert "hint: `ulimit -u`" in told


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory")], ids=["Python", "system"]
)
def test_too_little_memory_is_no_bug(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load() -> None:
        raise error

    monkeypatch.setattr("modelfetch.config.load", load)
    assert cli.run(["pull", REPO]) == ConfigError.exit_status
    assert "error: this process may have no more memory" in capsys.readouterr().err
