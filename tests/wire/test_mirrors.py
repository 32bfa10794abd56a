"""Trying endpoints: what is found out of each, what is a problem, and what is never sent."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch import experience
from modelfetch.cli import run
from modelfetch.config import Sample, Settings, load
from modelfetch.errors import NoSourceError, UsageError
from modelfetch.mirrors import Trial, try_endpoints
from modelfetch.mirrors.endpoint_attempt import SAMPLE_BYTES
from modelfetch.planning.preference import Standing
from tests.pulling import MIB, endpoint, noise, pull, settings
from tests.raw_server import Server, head
from tests.simulator import (
    Cut,
    FakeHub,
    Fault,
    Flip,
    Gzip,
    IgnoreRange,
    Portal,
    RedirectTo,
    Stall,
    Status,
    Truncate,
    WrongRange,
)

REPO, GATED = "own/sample", "own/gated"
WEIGHTS = noise(1 * MIB)
FILES = {"config.json": b'{"a": 1}' * 100, "README.md": b"# Words\n" * 100, "model.safetensors": WEIGHTS}
SAMPLES = tuple(Sample(hub, REPO) for hub in ("huggingface", "modelscope"))
TOKENS = {"huggingface": "hf_secretsecret", "modelscope": "ms-secretsecret"}
LIMIT_S = 20.0
ENDLESS = None


def given(home: Path, *hubs: FakeHub, dialect: str = "huggingface", **changes: object) -> Settings:
    """Settings with these hubs, which would all get the token if anything sent one."""
    endpoints = [endpoint(hub.url, dialect, name=f"hub{number}", sends_token=True) for number, hub in enumerate(hubs)]
    known = {"samples": SAMPLES, "tokens": TOKENS, "experience": home / "e.json", **changes}
    return settings(home, *endpoints, **known)


def trial_of(home: Path, *faults: Fault, dialect: str = "huggingface", limit_s: float = LIMIT_S) -> Trial:
    """What a hub with these faults shows."""
    with FakeHub({REPO: FILES}, faults=faults) as hub:
        (trial,) = try_endpoints(given(home, hub, dialect=dialect), limit_s=limit_s).trials
        return trial


@pytest.mark.parametrize("dialect", ["huggingface", "modelscope"])
def test_of_an_honest_endpoint_everything_is_found_out(tmp_path: Path, dialect: str) -> None:
    trial = trial_of(tmp_path, dialect=dialect)
    assert trial.problem is None
    assert trial.latency_s is not None
    assert trial.bytes_per_s is not None
    assert (trial.ranges, trial.digest_right, trial.sample_bytes) == (True, True, len(WEIGHTS))
    assert trial.served_by == "127.0.0.1"
    assert (trial.asks_for_terms, dict(trial.limits), trial.note) == (None, {}, None)


def test_of_a_large_file_only_a_part_is_fetched(tmp_path: Path) -> None:
    with FakeHub({REPO: {**FILES, "model.safetensors": noise(SAMPLE_BYTES + 4 * MIB)}}) as hub:
        (trial,) = try_endpoints(given(tmp_path, hub), limit_s=LIMIT_S).trials
        assert trial.sample_bytes == SAMPLE_BYTES
        assert hub.bytes_sent() < SAMPLE_BYTES + MIB


def test_a_slow_endpoint_is_measured_by_what_came_in_time(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=100_000.0, latency_s=0.1) as hub:
        (trial,) = try_endpoints(given(tmp_path, hub), limit_s=2.0).trials
        assert trial.problem is None
        assert trial.bytes_per_s is not None
        assert 0 < trial.sample_bytes < len(WEIGHTS)
        assert trial.bytes_per_s < 200_000
        assert trial.latency_s is not None
        assert trial.latency_s >= 0.1


@pytest.mark.parametrize("dialect", ["huggingface", "modelscope"])
def test_no_token_is_sent_to_anybody(tmp_path: Path, dialect: str) -> None:
    with FakeHub({REPO: FILES, GATED: FILES}, gated=frozenset({GATED}), token=TOKENS[dialect]) as hub:
        samples = (Sample(dialect, REPO, GATED),)
        try_endpoints(given(tmp_path, hub, dialect=dialect, samples=samples), limit_s=LIMIT_S)
        assert len(hub.requests) >= 4
        assert [request for request in hub.requests if {"authorization", "cookie"} & request.headers.keys()] == []


@pytest.mark.parametrize("dialect", ["huggingface", "modelscope"])
@pytest.mark.parametrize(("gated", "asks"), [(frozenset({GATED}), True), (frozenset[str](), False)])
def test_whether_files_of_a_gated_model_are_refused_is_found_out(
    tmp_path: Path, dialect: str, gated: frozenset[str], asks: bool
) -> None:
    with FakeHub({REPO: FILES, GATED: FILES}, gated=gated, token="of somebody") as hub:
        samples = (Sample(dialect, REPO, GATED),)
        (trial,) = try_endpoints(given(tmp_path, hub, dialect=dialect, samples=samples), limit_s=LIMIT_S).trials
        assert (trial.problem, trial.asks_for_terms) == (None, asks)


def test_that_the_gated_model_is_not_there_says_nothing(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        samples = (Sample("huggingface", REPO, GATED),)
        (trial,) = try_endpoints(given(tmp_path, hub, samples=samples), limit_s=LIMIT_S).trials
        assert (trial.problem, trial.asks_for_terms) == (None, None)


LARGE = "model.safetensors"


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (Fault(Flip(5), "config.json", times=ENDLESS), "digest"),
        (Fault(Truncate(5), "config.json", times=ENDLESS), "digest"),
        (Fault(Portal(), phase="listing", times=ENDLESS), "a web page came"),
        (Fault(Portal(), "config.json", times=ENDLESS), "digest"),
        (Fault(Portal(), LARGE, origin="cdn", times=ENDLESS), "a web page came"),
        (Fault(Status(503), phase="listing", times=ENDLESS), "status 503"),
        (Fault(Status(403), LARGE, origin="cdn", times=ENDLESS), "status 403 (from 127.0.0.1)"),
        (Fault(Status(500), "config.json", times=ENDLESS), "status 500"),
        (Fault(WrongRange(), LARGE, times=ENDLESS), "not the range"),
        (Fault(Gzip(), LARGE, times=ENDLESS), "encoded"),
        (Fault(Cut(1000), LARGE, times=ENDLESS), "cut"),
        (Fault(RedirectTo("http://127.0.0.1:9/elsewhere"), LARGE, times=ENDLESS), "no connection (127.0.0.1:9"),
        (Fault(RedirectTo("ftp://127.0.0.1/elsewhere"), LARGE, times=ENDLESS), "redirect"),
    ],
)
def test_what_keeps_bytes_from_being_had_is_the_problem(tmp_path: Path, fault: Fault, problem: str) -> None:
    assert problem in (trial_of(tmp_path, fault).problem or "")


def test_a_range_that_has_other_bytes_than_the_whole_is_a_problem(tmp_path: Path) -> None:
    # The first range is honest: only a second way to the same bytes shows the lie.
    honest, lie = Fault(Truncate(len(WEIGHTS)), LARGE, times=1), Fault(Flip(len(WEIGHTS) // 3 + 7), LARGE, times=1)
    assert "other bytes" in (trial_of(tmp_path, honest, lie).problem or "")


def test_whole_files_where_a_range_was_asked_for_are_no_problem(tmp_path: Path) -> None:
    trial = trial_of(tmp_path, Fault(IgnoreRange(), LARGE, times=ENDLESS))
    assert (trial.problem, trial.ranges, trial.sample_bytes) == (None, False, len(WEIGHTS))


def test_where_the_bytes_really_come_from_is_told(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, cdn=False) as store, FakeHub({REPO: FILES}) as hub:
        address = store.url.replace("127.0.0.1", "localhost")
        there = f"{address}/{REPO}/resolve/main/model.safetensors"
        hub.set_faults(Fault(RedirectTo(there), LARGE, times=ENDLESS))
        (trial,) = try_endpoints(given(tmp_path, hub), limit_s=LIMIT_S).trials
        assert (trial.problem, trial.served_by) == (None, "localhost")


def test_the_headers_in_which_requests_are_counted_are_shown_also_with_a_refusal(tmp_path: Path) -> None:
    headers = {"RateLimit": '"api";r=0;t=30', "X-RateLimit-Limit": "500", "Retry-After": "30", "Server": "x"}
    trial = trial_of(tmp_path, Fault(Status(429, headers), phase="listing", times=ENDLESS))
    assert trial.problem == "status 429"
    assert dict(trial.limits) == {"ratelimit": '"api";r=0;t=30', "x-ratelimit-limit": "500", "retry-after": "30"}


def test_the_headers_of_every_answer_are_kept_and_show_no_token(tmp_path: Path) -> None:
    first = Fault(Status(429, {"RateLimit": "hf_abcdefghijkl;r=0"}), "*gated*", phase="listing", times=ENDLESS)
    last = Fault(Status(403, {"X-RateLimit-Limit": "9" * 500}), LARGE, times=ENDLESS)
    with FakeHub({REPO: FILES, GATED: FILES}, faults=[first, last]) as hub:
        asked = given(tmp_path, hub, samples=(Sample("huggingface", REPO, GATED),))
        (trial,) = try_endpoints(asked, limit_s=LIMIT_S).trials
    assert dict(trial.limits) == {"ratelimit": "[redacted];r=0", "x-ratelimit-limit": "9" * 120}


def test_everything_is_asked_once_also_what_might_work_the_next_time(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, faults=[Fault(Status(503), phase="listing", times=ENDLESS)]) as hub:
        try_endpoints(given(tmp_path, hub), limit_s=LIMIT_S)
        assert len(hub.requests) == 1


def test_that_a_sample_is_not_there_is_a_note_and_no_problem(tmp_path: Path) -> None:
    with FakeHub({"own/other": FILES}) as hub:
        tested = try_endpoints(given(tmp_path, hub), limit_s=LIMIT_S)
        assert tested.usable
        assert tested.trials[0].latency_s is not None
        assert "--repo" in (tested.trials[0].note or "")
        assert tested.scores["hub0"].standing is Standing.UNKNOWN
        (trial,) = try_endpoints(given(tmp_path, hub), repo="own/other", limit_s=LIMIT_S).trials
        assert (trial.problem, trial.sample_bytes) == (None, len(WEIGHTS))


@contextmanager
def silent() -> Iterator[str]:
    """An address that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_whoever_is_not_done_in_time_is_left_and_the_others_count(tmp_path: Path) -> None:
    stalling = Fault(Stall(100), LARGE, times=ENDLESS)
    with FakeHub({REPO: FILES}) as good, FakeHub({REPO: FILES}, faults=[stalling]) as stalled, silent() as address:
        asked = given(tmp_path, good, stalled)
        asked = replace(asked, endpoints=(*asked.endpoints, endpoint(address, name="silent")))
        tested = try_endpoints(asked, limit_s=3.0)
    problems = {trial.endpoint.name: trial.problem for trial in tested.trials}
    assert problems["hub0"] is None
    assert problems["silent"] == "no answer within 3 s"
    assert problems["hub1"] is not None
    assert tested.order == ("hub0", "hub1", "silent")
    assert tested.why is not None
    assert tested.why.startswith("hub0 begins: 1 GB in about ")


def test_the_faster_one_comes_first_and_that_is_remembered(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=1_000_000.0) as slow, FakeHub({REPO: FILES}) as fast:
        asked = given(tmp_path, slow, fast)
        tested = try_endpoints(asked, limit_s=LIMIT_S)
        assert tested.order == ("hub1", "hub0")
        known = experience.recall(asked.experience, asked.endpoints)
        assert [known[trial.endpoint.name].tried for trial in tested.trials] == [
            trial.tried(known["hub0"].tried.at if known["hub0"].tried else 0.0) for trial in tested.trials
        ]


def test_the_next_pull_takes_what_is_little_from_the_endpoint_that_proved_faster(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=1_000_000.0) as slow, FakeHub({REPO: FILES}) as fast:
        asked = given(tmp_path, slow, fast)
        try_endpoints(asked, limit_s=LIMIT_S)
        report = pull(asked, REPO).report
        assert report is not None
        assert {name for name, count in report.bytes_by_endpoint.items() if count} == {"hub1"}


def test_a_hub_without_a_sample_is_not_asked_and_where_there_is_none_at_all_that_is_said(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        asked = given(tmp_path, hub, samples=SAMPLES[1:])
        with pytest.raises(UsageError, match="no sample"):
            try_endpoints(asked)
        both = replace(asked, endpoints=(*asked.endpoints, endpoint(hub.url, "modelscope", name="other")))
        tested = try_endpoints(both, limit_s=LIMIT_S)
        assert [bool(trial.note) for trial in tested.trials] == [True, False]
        assert experience.recall(both.experience, both.endpoints)["hub0"].tried is None
        assert tested.usable
        dead = replace(both, endpoints=(both.endpoints[0], endpoint("http://127.0.0.1:9", "modelscope", name="dead")))
        assert not try_endpoints(dead, limit_s=LIMIT_S).usable


def test_without_the_network_nothing_is_tried(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        with pytest.raises(NoSourceError, match="not to be used"):
            try_endpoints(given(tmp_path, hub, offline=True))
        assert hub.requests == []


@pytest.fixture
def configured(own_environment: Path) -> Callable[..., None]:
    """Write a mirrors.yaml in which only these endpoints are left, by their names."""

    def write(**urls: str) -> None:
        builtin = ("huggingface", "hf-mirror", "modelscope", "modelscope-ai")
        lines = [f"  {name}: {{enabled: false}}" for name in builtin if name not in urls]
        lines += [f"  {name}: {{hub: huggingface, url: '{url}'}}" for name, url in urls.items()]
        samples = ["samples:", f"  huggingface: {{repo: {REPO}}}", "indexes:"]
        samples += [f"  {index.name}: {{enabled: false}}" for index in load().indexes]
        file = own_environment / ".config/modelfetch/mirrors.yaml"
        file.parent.mkdir(parents=True)
        file.write_text("\n".join(["version: 1", "endpoints:", *lines, *samples, ""]), encoding="utf-8")

    return write


def test_the_command_tells_everything_in_rows_and_ends_well_when_one_can_be_used(
    configured: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeHub({REPO: FILES}) as hub:
        configured(lab=hub.url, dead="http://127.0.0.1:9")
        assert run(["mirrors", "test"]) == 0
        printed = capsys.readouterr()
        lines = printed.out.splitlines()
        assert lines[0].split("  ")[0] == ""
        assert lines[1].startswith("lab ")
        assert "right" in lines[1]
        assert lines[2].startswith("dead: cannot be used: no connection")
        assert lines[-1].startswith("lab begins: 1 GB in about")
        assert printed.err.startswith("trying lab, dead")
        assert run(["mirrors", "list"]) == 0
        lab, seen, _, dead, problem, _ = capsys.readouterr().out.splitlines()
        assert (lab.split()[0], dead.split()[0]) == ("lab", "dead")
        assert "1 GB in about" in seen
        assert "no connection" in problem
        assert run(["mirrors", "--json"]) == 0
        scores = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
        assert scores["lab"]["seconds_per_gb"] > 0
        assert scores["lab"]["seen_at"].endswith("+00:00")
        assert scores["dead"]["seconds_per_gb"] is None


def test_the_command_ends_with_status_6_when_none_can_be_used(
    configured: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeHub({REPO: FILES}) as hub:
        configured(lab=hub.url, dead="http://127.0.0.1:9")
        assert run(["mirrors", "test", "dead"]) == 6
        assert "none of them could be measured" in capsys.readouterr().out
        assert run(["mirrors", "test", "lab", "--repo", "own/absent", "--json"]) == 0
        assert "own/absent" in json.loads(capsys.readouterr().out)["endpoints"][0]["note"]
        assert run(["mirrors", "test", "lab", "--repo", "../../etc"]) == 2
        assert run(["mirrors", "test", "nobody"]) == 2


def test_a_strangers_header_cannot_act_on_the_terminal(
    configured: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = Fault(Status(429, {"RateLimit": "\x1b]0;mine\x07"}), phase="listing", times=ENDLESS)
    with FakeHub({REPO: FILES}, faults=[refusal]) as hub:
        configured(lab=hub.url)
        assert run(["mirrors", "test"]) == 6
        assert "\x1b" not in capsys.readouterr().out


def test_a_clock_that_is_wrong_is_told(
    configured: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def answer_of_2020(connection: socket.socket, heard: list[bytes]) -> None:
        heard.append(head(connection))
        date = b"Date: Sat, 21 Nov 2020 12:00:00 GMT"
        connection.sendall(b"HTTP/1.1 503 Busy\r\n" + date + b"\r\nContent-Length: 0\r\n\r\n")

    assert abs(trial_of(tmp_path).skew_s or 0.0) < 60
    with Server(answer_of_2020) as server:
        configured(lab=server.url)
        assert run(["mirrors", "test"]) == 6
        told = capsys.readouterr().out.splitlines()
        assert re.fullmatch(r"lab: its clock is .+ behind this machine's", told[1])


def test_broken_tls_is_the_problem(tmp_path: Path) -> None:
    def answer_in_plain(connection: socket.socket, heard: list[bytes]) -> None:
        heard.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with Server(answer_in_plain) as server:
        lab = endpoint(f"https://localhost:{server.port}", name="lab")
        (trial,) = try_endpoints(replace(given(tmp_path), endpoints=(lab,)), limit_s=LIMIT_S).trials
    assert "the certificate or the TLS handshake is not accepted (localhost: " in (trial.problem or "")


def test_a_page_in_place_of_a_gated_file_says_nothing_of_terms(tmp_path: Path) -> None:
    page = Fault(Portal(), "config.json", times=ENDLESS)
    with FakeHub({REPO: {"model.safetensors": WEIGHTS}, GATED: FILES}, faults=[page]) as hub:
        samples = (Sample("huggingface", REPO, GATED),)
        (trial,) = try_endpoints(given(tmp_path, hub, samples=samples), limit_s=LIMIT_S).trials
        assert (trial.problem, trial.asks_for_terms) == (None, None)


def test_a_row_fits_in_80_columns_and_another_host_is_told_below(
    configured: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeHub({REPO: FILES}, cdn=False) as store, FakeHub({REPO: FILES}) as hub:
        address = store.url.replace("127.0.0.1", "localhost")
        there = f"{address}/{REPO}/resolve/main/model.safetensors"
        hub.set_faults(Fault(RedirectTo(there), LARGE, times=ENDLESS))
        configured(**{"a-very-long-name-for-an-endpoint": hub.url})
        assert run(["mirrors", "test"]) == 0
        heading, row, host, why = capsys.readouterr().out.splitlines()
        assert max(len(heading), len(row)) <= 80
        assert host == "a-very-long-name-for-an-endpoint: bytes come from localhost"
        assert why.startswith("a-very-long-name-for-an-endpoint begins: ")


def test_a_mirror_that_lies_in_a_byte_of_a_large_file_is_found_out_by_the_hub(tmp_path: Path) -> None:
    # Each time the same byte, so that it does not contradict itself.
    changed = bytes([WEIGHTS[0] ^ 1, *WEIGHTS[1:]])
    with FakeHub({REPO: FILES}) as hub, FakeHub({REPO: FILES}) as mirror, FakeHub({REPO: {LARGE: changed}}) as lies:
        there = f"{lies.url}/{REPO}/resolve/main/model.safetensors"
        mirror.set_faults(Fault(RedirectTo(there), LARGE, times=ENDLESS))
        asked = given(tmp_path, hub, mirror)
        own, other = asked.endpoints
        asked = replace(asked, endpoints=(own, replace(other, sends_token=False)))
        tested = try_endpoints(asked, limit_s=LIMIT_S)
    assert [trial.problem for trial in tested.trials] == [None, "other bytes of model.safetensors than hub0 sends"]
    assert tested.scores["hub1"].standing is Standing.TROUBLED
