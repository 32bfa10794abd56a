"""`prune`: what it prints where, when it asks, and how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from modelfetch.cli import run
from modelfetch.store import Store
from modelfetch.store.views import folder, huggingface
from tests.stored import bring, contents, dead_partial, manifest_of

DAY_S = 86400.0
SMALL = {"config.json": b"{}", "weights.dat": b"w" * 90_000}


@pytest.fixture
def store(own_environment: Path) -> Store:
    return Store.open(own_environment / "modelfetch")


def test_the_command_shows_asks_and_removes(
    store: Store, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = dead_partial(store.partials / ("a" * 64), idle_s=15 * DAY_S)
    leader, follower = os.openpty()
    os.write(leader, b"n\ny\n")
    with os.fdopen(follower, "r") as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        assert run(["prune"]) == 130
        assert partial.exists()
        assert run(["prune"]) == 0
    os.close(leader)
    out = capfd.readouterr().out
    assert f"goes: partial {partial}" in out
    assert "its pull is dead, and nobody went on with it for 15 days" in out
    assert not partial.exists()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_without_a_terminal_it_only_shows_unless_told(
    store: Store, capfd: pytest.CaptureFixture[str], options: list[str]
) -> None:
    partial = dead_partial(store.partials / ("a" * 64), idle_s=15 * DAY_S)
    assert run(["prune", *options]) == 2
    out, err = capfd.readouterr()
    assert str(partial) in out
    assert "modelfetch prune --yes" in err
    assert run(["prune", "--dry-run", *options]) == 0
    assert partial.exists()
    assert run(["prune", "--yes", *options]) == 0
    assert not partial.exists()
    assert run(["prune", *options]) == 0, "there is nothing to ask about"


def test_the_document_says_by_how_much_a_budget_is_missed(
    store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder.link(store, bring(store, SMALL), tmp_path / "mine")
    assert run(["prune", "--max-size", "2k", "--yes", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["bytes_before"] == document["bytes_after"] == 90_002
    assert document["over_bytes"] == 88_002
    assert contents(tmp_path / "mine") == SMALL, "the files in a plain folder are the user's"


def test_a_pulled_model_goes_with_the_view_that_the_pull_made(
    store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    huggingface.link(store, bring(store, SMALL), tmp_path / "hub")
    assert run(["prune", "--max-size", "2k", "--keep-views", "--yes", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["goes"] == []
    assert run(["prune", "--max-size", "2k", "--yes"]) == 0
    assert f"goes: huggingface view of huggingface:owner/name (01234567) {tmp_path / 'hub'} (its model goes)" in (
        capfd.readouterr().out
    )
    assert store.usage().blobs == 0


def test_orphans_of_this_users_caches_are_shown_and_go(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    half = tmp_path / f"hub/models--own--name/blobs/{'a' * 64}.deadbeef.incomplete"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    assert run(["prune", "--orphans", "--yes"]) == 0
    assert f"stays: orphan {half}, 4 B (touched within the last 24 hours)" in capfd.readouterr().out
    assert half.exists()
    assert run(["prune"]) == 0
    assert str(half) not in capfd.readouterr().out


@pytest.mark.parametrize("options", [["--keep-within", "soon"], ["--keep-within", "30"], ["--max-size", "-1"]])
def test_an_age_or_a_size_that_is_none_is_a_usage_error(store: Store, options: list[str]) -> None:
    assert run(["prune", *options]) == 2


def test_a_store_that_is_not_there_is_not_made(own_environment: Path) -> None:
    assert run(["prune", "--max-size", "1G"]) == 0
    assert not (own_environment / "modelfetch").exists()


def test_models_that_stay_for_one_reason_are_told_together(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    for letter in "abcde":
        bring(store, SMALL, manifest_of(SMALL, repo=f"owner/{letter}"))
    assert run(["prune", "--max-size", "1G"]) == 0
    out = capfd.readouterr().out
    assert "stays: huggingface:owner/e (01234567), huggingface:owner/d (01234567), " in out
    assert " and 2 more (it fits)\n" in out
    assert "stays: 2 file(s), 90.0 kB (a snapshot that stays needs it)\n" in out
