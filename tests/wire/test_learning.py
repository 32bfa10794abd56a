"""What a pull makes of what is remembered, and what it remembers: the same bytes, from a likelier place first."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch import experience
from modelfetch.cli import run
from modelfetch.config import Settings
from modelfetch.events import Planned
from modelfetch.planning.preference import Experience, Tried
from modelfetch.pulling import Pulled
from modelfetch.pulling.learning import LEAST_BYTES
from tests.pulling import MIB, REPO, Heard, contents, endpoint, noise, pull, settings
from tests.simulator import FakeHub

SMALL = {"config.json": b"{}", "a.txt": b"a" * 2000, "b.txt": b"b" * 2000}
LARGE = {"config.json": b"{}", "model.safetensors": noise(2 * LEAST_BYTES + 5 * MIB)}
GOOD, BAD = Tried(0.0, latency_s=0.01, bytes_per_s=1e9), Tried(0.0, latency_s=1.0, bytes_per_s=1e4)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Settings]:
    """Two endpoints that have the same, `one` before `other`."""
    with FakeHub({REPO: SMALL}) as one, FakeHub({REPO: SMALL}) as other:
        yield settings(
            tmp_path, endpoint(one.url, name="one"), endpoint(other.url, name="other"), experience=tmp_path / "e.json"
        )


def seen(given: Settings, **tried: Tried) -> None:
    """Let `tried`, by the endpoints' names, be what was seen a moment ago."""
    now, by_name = time.time(), {each.name: each for each in given.endpoints}
    experience.remember(given.experience, {by_name[name]: replace(each, at=now) for name, each in tried.items()})


def brought(pulled: Pulled) -> set[str]:
    """Who sent bytes."""
    assert pulled.report is not None
    return {name for name, count in pulled.report.bytes_by_endpoint.items() if count}


@pytest.mark.parametrize("fast", ["one", "other"])
def test_what_is_little_comes_from_the_endpoint_that_was_faster_before(two: Settings, fast: str) -> None:
    slow = {"one": "other", "other": "one"}[fast]
    seen(two, **{fast: GOOD, slow: BAD})
    assert brought(pull(two)) == {fast}


def test_whose_listing_is_believed_is_not_changed_by_what_is_remembered(two: Settings, tmp_path: Path) -> None:
    seen(two, one=Tried(0.0, problem="no connection"), other=GOOD)
    pulled = pull(two)
    assert pulled.snapshot is not None
    assert contents(pulled) == SMALL
    with FakeHub({REPO: {**SMALL, "config.json": b'{"newer": 1}'}}) as newer:
        first = endpoint(newer.url, name="one")
        changed = settings(tmp_path / "again", first, two.endpoints[1], experience=two.experience)
        seen(changed, one=BAD, other=GOOD)
        assert contents(pull(changed))["config.json"] == b'{"newer": 1}'


@pytest.mark.parametrize(
    "remembered",
    [
        b"not json",
        json.dumps({"version": 1, "salt": "", "networks": {"anywhere": {"huggingface": {"tried": {"at": -5}}}}}),
    ],
)
def test_what_is_remembered_wrongly_changes_no_byte(two: Settings, remembered: bytes | str) -> None:
    assert two.experience is not None
    two.experience.write_bytes(remembered.encode() if isinstance(remembered, str) else remembered)
    assert contents(pull(two)) == SMALL


def test_an_endpoint_that_was_said_to_be_dead_or_wonderful_is_used_all_the_same(tmp_path: Path) -> None:
    with FakeHub({REPO: LARGE}) as one, FakeHub({REPO: LARGE}) as other:
        given = settings(
            tmp_path, endpoint(one.url, name="one"), endpoint(other.url, name="other"), experience=tmp_path / "e.json"
        )
        seen(given, one=Tried(0.0, problem="no connection"), other=GOOD)
        assert contents(pull(given)) == LARGE


def test_a_pull_notes_what_each_endpoint_brought(tmp_path: Path) -> None:
    with FakeHub({REPO: LARGE}) as hub:
        given = settings(tmp_path, endpoint(hub.url, name="lab"), experience=tmp_path / "e.json")
        pull(given)
        noted = experience.recall(given.experience, given.endpoints)["lab"].brought
        assert noted is not None
        assert noted.bytes_per_s > 0
        assert abs(noted.at - time.time()) < 600


@pytest.mark.parametrize(("files", "limit_rate"), [(SMALL, None), (LARGE, 500_000_000)])
def test_a_pull_that_says_nothing_of_the_endpoint_notes_nothing(
    tmp_path: Path, files: dict[str, bytes], limit_rate: int | None
) -> None:
    with FakeHub({REPO: files}) as hub:
        given = settings(tmp_path, endpoint(hub.url, name="lab"), experience=tmp_path / "e.json", limit_rate=limit_rate)
        pull(given)
        assert experience.recall(given.experience, given.endpoints) == {"lab": Experience()}


def test_a_pull_says_in_one_clause_who_begins_because_of_what_is_remembered(two: Settings) -> None:
    seen(two, one=BAD, other=GOOD)
    heard = Heard()
    pulled = pull(two, listener=heard)
    assert pulled.notes == ("other first: 1.0 GB/s here a moment ago, one 10.0 kB/s",)
    assert [event.notes for event in heard.events if isinstance(event, Planned)] == [pulled.notes]
    assert pull(two).notes == (), "nothing comes, so nobody is first"


def test_a_pull_is_silent_about_an_order_that_nothing_decided(two: Settings) -> None:
    assert pull(two).notes == ()


def test_a_pull_is_silent_where_only_one_endpoint_has_it(two: Settings) -> None:
    seen(two, one=BAD, other=GOOD)
    assert pull(two, endpoints=("one",)).notes == ()


@pytest.mark.parametrize("name", ["HF_ENDPOINT", "MODELFETCH_SOURCE"])
def test_what_a_variable_chose_is_told_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with FakeHub({REPO: SMALL}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELFETCH_SOURCE", "huggingface")
        assert run(["pull", REPO, "--no-link"]) == 0
        host = hub.url.removeprefix("http://")
        said = {
            "HF_ENDPOINT": f"  for huggingface only {host} is asked: HF_ENDPOINT says so\n",
            "MODELFETCH_SOURCE": "  only huggingface is asked: MODELFETCH_SOURCE says so\n",
        }
        assert said[name] in capsys.readouterr().err


def test_what_the_command_itself_chose_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeHub({REPO: SMALL}) as hub:
        monkeypatch.setenv("MODELFETCH_SOURCE", "modelscope")
        assert run(["pull", REPO, "--source", "huggingface", "--endpoint", hub.url, "--no-link"]) == 0
        assert "only" not in capsys.readouterr().err
