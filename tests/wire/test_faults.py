"""A pull goes on through whatever a source does, or ends with the right error; and nothing wrong is ever published.

A new fault is a line of data in one of the tables.
"""

from __future__ import annotations

import hashlib
import re
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from modelfetch.errors import (
    AccessError,
    DigestMismatchError,
    GatedError,
    HostileHubError,
    ModelfetchError,
    NoSourceError,
    NotFoundError,
)
from modelfetch.planning.retry import Kind
from tests.pulling import MIB, REPO, Heard, contents, endpoint, noise, published_blobs, pull, settings
from tests.simulator import (
    ContentRange,
    Cut,
    Endless,
    FakeHub,
    Fault,
    Flip,
    Gzip,
    HostileName,
    HugeListing,
    IgnoreRange,
    Portal,
    RedirectTo,
    Slow,
    Stall,
    Status,
    Truncate,
    WrongRange,
    WrongSize,
)

WEIGHTS = noise(24 * MIB)
FILES = {"config.json": b'{"model_type": "llama"}', "model.safetensors": WEIGHTS, "vocab.txt": noise(3000)}
LARGE, SMALL = "model.safetensors", "vocab.txt"

SURVIVED = {
    "the connection is reset after a megabyte": [Fault(Cut(MIB, by="rst"), LARGE)],
    "the connection is closed after a megabyte": [Fault(Cut(MIB, by="fin"), LARGE)],
    "every connection breaks after two megabytes": [Fault(Cut(2 * MIB), LARGE, times=9)],
    "a small file is cut": [Fault(Cut(100), SMALL)],
    "a connection stands still": [Fault(Stall(MIB), LARGE)],
    "503 three times on the data": [Fault(Status(503), LARGE, times=3)],
    "500 on a small file": [Fault(Status(500), SMALL)],
    "429 with seconds on the data": [Fault(Status(429, {"Retry-After": "1"}), LARGE)],
    "429 three times on the listing": [Fault(Status(429, {"Retry-After": "0"}), phase="metadata", times=3)],
    "503 on the listing": [Fault(Status(503), phase="metadata")],
    "429 with a date": [
        Fault(
            Status(429, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)}), LARGE
        )
    ],
    "the listing is cut": [Fault(Cut(20), phase="metadata")],
    "the range is ignored once": [Fault(IgnoreRange(), LARGE)],
    "the range is never honoured": [Fault(IgnoreRange(), LARGE, times=None)],
    "a short body with an honest length": [Fault(Truncate(MIB), LARGE)],
    "a short body with a lying length": [Fault(Truncate(MIB, lying=True), LARGE)],
    "a byte is wrong on the wire once": [Fault(Flip(MIB), LARGE)],
    "a byte of a small file is wrong once": [Fault(Flip(10), SMALL)],
    "gzip unasked, once": [Fault(Gzip(), SMALL)],
    "another range than asked for": [Fault(WrongRange(), LARGE)],
    "the signed link expired": [Fault(Status(403), LARGE, origin="cdn", times=2)],
    "one answer is much slower than the others": [Fault(Slow(100_000), LARGE)],
}

ENDED: dict[str, tuple[list[Fault], type[ModelfetchError]]] = {
    "503 for ever on a file": ([Fault(Status(503), SMALL, times=None)], NoSourceError),
    "a byte is always wrong": ([Fault(Flip(MIB), LARGE, times=None)], DigestMismatchError),
    "a byte of a small file is always wrong": ([Fault(Flip(10), SMALL, times=None)], DigestMismatchError),
    "gzip for ever": ([Fault(Gzip(), SMALL, times=None)], NoSourceError),
    "a captive portal instead of the listing": ([Fault(Portal(), phase="metadata", times=None)], NoSourceError),
    "a captive portal instead of a file": ([Fault(Portal(), SMALL, times=None)], NoSourceError),
    "an endless body": ([Fault(Endless(), SMALL, times=None)], NoSourceError),
    "a huge listing": ([Fault(HugeListing(80 * MIB), times=None)], NoSourceError),
    "a range of thousands of digits": (
        [Fault(ContentRange(f"bytes {'0' * 5000}-1/2"), LARGE, times=None)],
        NoSourceError,
    ),
    "a size of thousands of digits": (
        [Fault(ContentRange(f"bytes 0-1/{'9' * 5000}"), LARGE, times=None)],
        NoSourceError,
    ),
    "a file is refused": ([Fault(Status(403), SMALL, phase="data", times=None)], AccessError),
    "a file is gone": ([Fault(Status(404), SMALL, times=None)], NotFoundError),
    "a name that climbs": ([Fault(HostileName("../../escaped"), times=None)], HostileHubError),
    "an absolute name": ([Fault(HostileName("/etc/escaped"), times=None)], HostileHubError),
    "a name for another system": ([Fault(HostileName("C:\\escaped"), times=None)], HostileHubError),
    "a size that is no size": ([Fault(WrongSize(-1), times=None)], HostileHubError),
    "a size that nothing has": ([Fault(WrongSize(1 << 60), times=None)], HostileHubError),
    "another size than the file has": ([Fault(WrongSize(17), times=None)], NoSourceError),
    "a redirect to a file": ([Fault(RedirectTo("file:///etc/passwd"), LARGE, times=None)], NoSourceError),
}


@pytest.mark.parametrize("hub_name", ["huggingface", "modelscope"])
@pytest.mark.parametrize("faults", SURVIVED.values(), ids=SURVIVED.keys())
def test_a_pull_goes_on_when(faults: list[Fault], hub_name: str, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, faults=faults) as hub:
        given = settings(tmp_path, endpoint(hub.url, hub_name))
        assert contents(pull(given)) == FILES


@pytest.mark.parametrize("hub_name", ["huggingface", "modelscope"])
@pytest.mark.parametrize(("faults", "error"), ENDED.values(), ids=ENDED.keys())
def test_a_pull_ends_with_a_clear_error_and_publishes_nothing_wrong_when(
    faults: list[Fault], error: type[ModelfetchError], hub_name: str, tmp_path: Path
) -> None:
    with FakeHub({REPO: FILES}, faults=faults) as hub:
        given = settings(tmp_path, endpoint(hub.url, hub_name))
        with pytest.raises(error) as raised:
            pull(given)
        assert type(raised.value) is error
        for blob in published_blobs(given):
            assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
        assert not list(tmp_path.parent.rglob("*escaped*"))
        hub.set_faults()
        assert contents(pull(given)) == FILES


@pytest.mark.parametrize("name", [SMALL, LARGE])
def test_a_captive_portal_is_called_one_also_when_its_page_has_no_length(name: str, tmp_path: Path) -> None:
    faults = [Fault(Portal(), name, times=None), Fault(Endless(), name, times=None)]
    with FakeHub({REPO: FILES}, faults=faults) as hub, pytest.raises(NoSourceError) as raised:
        pull(settings(tmp_path, endpoint(hub.url)))
    assert Kind.PORTAL.value in raised.value.render()


@pytest.mark.parametrize("hub_name", ["huggingface", "modelscope"])
def test_a_file_without_bytes_that_is_listed_with_the_digest_of_something_is_not_said_to_be_fetched(
    hub_name: str, tmp_path: Path
) -> None:
    with FakeHub({REPO: {"a.bin": WEIGHTS[:MIB]}}, faults=[Fault(WrongSize(0), times=None)]) as hub:
        with pytest.raises(DigestMismatchError, match=r"`a\.bin` is listed as empty") as raised:
            pull(settings(tmp_path, endpoint(hub.url, hub_name)))
        assert hub.bytes_sent() == 0
    assert "fetched" not in raised.value.render()


TRICKLES = {
    "a file": [Fault(Slow(30), LARGE, times=None)],
    "a small file": [Fault(Slow(30), SMALL, times=None)],
    "the listing": [Fault(Slow(30), phase="metadata", times=None)],
}


@pytest.mark.parametrize("faults", TRICKLES.values(), ids=TRICKLES.keys())
def test_bytes_that_come_one_by_one_from_the_only_source_are_given_up(
    faults: list[Fault], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeHub({REPO: FILES}, faults=faults) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        with monkeypatch.context() as hurried:
            hurried.setattr("modelfetch.http.session._PATIENCE", 0.05)
            hurried.setattr("modelfetch.planning.retry.FIRST_WAIT_S", 0.01)
            with pytest.raises(NoSourceError) as raised:
                pull(given)
        assert Kind.TRICKLE.value in raised.value.render()
        hub.set_faults()
        assert contents(pull(given)) == FILES


@pytest.mark.parametrize("path", ["/api/*", SMALL])
@pytest.mark.parametrize("asked", ["99999999", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_an_endpoint_that_asks_to_be_left_alone_for_years_is_said_to(path: str, asked: str, tmp_path: Path) -> None:
    status = Status(429, {"Retry-After": asked})
    faults = [Fault(status, path, times=None), Fault(status, path, phase="metadata", times=None)]
    with FakeHub({REPO: FILES}, faults=faults) as hub, pytest.raises(NoSourceError) as raised:
        pull(settings(tmp_path, endpoint(hub.url)))
    assert re.search(r"status 429 \(it asks to be left alone for \d+ days", raised.value.render())


def test_a_gated_model_without_a_token_ends_before_any_data(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, gated=frozenset({REPO}), token="hf_secret_token") as hub:
        with pytest.raises(GatedError, match="gated") as raised:
            pull(settings(tmp_path, endpoint(hub.url, sends_token=True)))
        assert hub.bytes_sent() == 0
        assert raised.value.exit_status == 5


def test_a_gated_model_is_not_brought_from_a_place_that_does_not_ask(tmp_path: Path) -> None:
    with (
        FakeHub({REPO: FILES}, gated=frozenset({REPO}), token="hf_secret_token") as gated,
        FakeHub({REPO: FILES}) as open_hub,
    ):
        with pytest.raises(GatedError):
            pull(settings(tmp_path, endpoint(gated.url), endpoint(open_hub.url, "modelscope")))
        assert open_hub.bytes_sent() == 0


def test_a_link_that_lives_for_one_request_is_asked_for_again(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, cdn_life_requests=1) as hub:
        assert contents(pull(settings(tmp_path, endpoint(hub.url)))) == FILES


def test_an_interrupted_run_costs_only_what_was_not_noted(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, faults=[Fault(Cut(MIB), LARGE, times=None)]) as hub:
        hub.set_faults(Fault(Status(503), SMALL, times=None))
        given = settings(tmp_path, endpoint(hub.url))
        with pytest.raises(NoSourceError):
            pull(given)
        first = hub.bytes_sent(LARGE)
        hub.set_faults()
        pulled = pull(given)
        assert contents(pulled) == FILES
        assert hub.bytes_sent(LARGE) <= len(WEIGHTS) + 8 * MIB, first


def test_an_interruption_before_a_thread_has_started_is_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if thread.name.startswith("lane"):
            raise KeyboardInterrupt
        start(thread)

    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        with monkeypatch.context() as changed:
            changed.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                pull(given)
        assert contents(pull(given)) == FILES


def test_small_files_cost_one_request_each_and_no_metadata_for_each(tmp_path: Path) -> None:
    files = {f"file-{number}.json": b'{"n": %d}' % number for number in range(50)}
    with FakeHub({REPO: files}) as hub:
        pull(settings(tmp_path, endpoint(hub.url)))
        assert len(hub.requests) == 51


def test_a_pull_that_has_nothing_to_do_asks_one_listing(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pull(given)
        before = len(hub.requests)
        pulled = pull(given)
        assert len(hub.requests) - before == 1
        assert pulled.bytes_reused == pulled.bytes_total


def test_a_commit_that_is_here_needs_no_request(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        commit = pull(given).manifest.commit
        before = len(hub.requests)
        assert contents(pull(given, f"{REPO}@{commit}")) == FILES
        assert len(hub.requests) == before


def test_faults_are_told_with_what_was_done(tmp_path: Path) -> None:
    heard = Heard()
    with FakeHub({REPO: FILES}, faults=[Fault(Status(503), SMALL)]) as hub:
        pull(settings(tmp_path, endpoint(hub.url, name="mine")), listener=heard)
    assert [(fault.endpoint, fault.path, fault.what) for fault in heard.faults] == [("mine", SMALL, "status 503")]
