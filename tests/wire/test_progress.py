"""What a pull shows while it runs: nothing when quiet, plain lines in a log, one object a line for another program."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import pytest

from modelfetch import cli
from modelfetch.cli.pull import summed
from modelfetch.config import load
from tests.pulling import MIB, REPO, noise
from tests.simulator import FakeHub, Fault, Status

FILES = {"config.json": b"{}", "weights.data": noise(9 * MIB, seed=11)}
LARGE_SHA256 = hashlib.sha256(FILES["weights.data"]).hexdigest()


def pull(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    return cli.run(["pull", REPO, "--source", "hf", *options])


def test_quiet_prints_the_folder_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeHub({REPO: FILES}) as hub:
        assert pull(hub, monkeypatch, "-q") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert len(printed.out.splitlines()) == 1


def test_a_log_gets_plain_lines_without_control_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeHub({REPO: FILES}) as hub:
        assert pull(hub, monkeypatch) == 0
    told = capsys.readouterr().err
    assert not {"\r", "\x1b"} & set(told)
    assert told.splitlines()[0].startswith(f"{REPO} from huggingface, commit ")
    assert "every byte verified; fetched 9.4 MB" in told.splitlines()[-1]


def test_every_line_for_another_program_is_an_event(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeHub({REPO: FILES}, faults=[Fault(Status(503), "config.json")]) as hub:
        assert pull(hub, monkeypatch, "--progress", "json", "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["bytes_total"] == sum(map(len, FILES.values()))
    told = [json.loads(line) for line in printed.err.splitlines()]
    assert [event["event"] for event in told][:3] == ["resolving", "resolved", "planned"]
    assert [event["path"] for event in told if event["event"] == "fault"] == ["config.json"]
    assert {event["path"] for event in told if event["event"] == "filedone"} == FILES.keys()
    assert told[-1]["event"] == "progress"
    assert told[-1]["done_bytes"] == told[-1]["total_bytes"] == sum(map(len, FILES.values()))


def test_what_a_damaged_copy_has_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeHub({REPO: FILES}) as hub:
        assert pull(hub, monkeypatch) == 0
        blob = load().home / "blobs-v1/sha256" / LARGE_SHA256[:2] / LARGE_SHA256
        blob.chmod(0o644)
        blob.write_bytes(b"wrong" + FILES["weights.data"][5:])
        capsys.readouterr()
        sent = hub.bytes_sent()
        assert pull(hub, monkeypatch, "--progress", "json") == 0
        assert hub.bytes_sent() - sent == 4 * MIB
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    sizes = [(event["event"], event["size"]) for event in told if event["event"] in {"salvaged", "lost"}]
    assert sizes == [("salvaged", 9 * MIB), ("lost", 4 * MIB)]
    assert told[-1]["done_bytes"] == told[-1]["total_bytes"]


def test_a_long_wait_is_told_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("modelfetch.cli._progress.LONG_WAIT_S", 0.5)
    with FakeHub({REPO: FILES}, faults=[Fault(Status(429, {"Retry-After": "1"}), "config.json")]) as hub:
        assert pull(hub, monkeypatch) == 0
    assert "config.json: status 429; tried again in 1.0 s" in capsys.readouterr().err


def test_the_closing_sentence_sums_up_faults_of_one_kind() -> None:
    faults = Counter(
        {
            ("one", "the body ended early (262144 bytes missing)"): 5,
            ("one", "the body ended early (1411515 bytes missing)"): 1,
            ("one", "no connection (127.0.0.1:8791: Connection refused)"): 18,
            ("other", "the body ended early (7 bytes missing)"): 2,
        }
    )
    assert summed(faults) == {
        ("one", "the body ended early"): 6,
        ("one", "no connection (127.0.0.1:8791: Connection refused)"): 18,
        ("other", "the body ended early (7 bytes missing)"): 2,
    }
