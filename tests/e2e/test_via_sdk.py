"""`pull --via sdk`: the hubs' own clients bring the bytes, and what they bring is as good as what we bring."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from modelfetch import cli, events, reference, sdk
from modelfetch.config import Settings
from modelfetch.errors import (
    INTERRUPTED,
    AccessError,
    DigestMismatchError,
    DiskFullError,
    GatedError,
    HostileHubError,
    NoSourceError,
    NotFoundError,
    UsageError,
)
from modelfetch.http import Network
from modelfetch.hubs import resolve
from modelfetch.store import Store, StoreDestination
from modelfetch.transfer import Job
from tests.pulling import MIB, REPO, Heard, contents, endpoint, noise, published_blobs, pull, settings
from tests.simulator import FakeHub, Fault, Flip, NextElsewhere, Stall, Status
from tests.simulator.log import Request

pytestmark = pytest.mark.e2e

HUBS = ["huggingface", "modelscope"]
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
FILES = {
    "config.json": b"{}",
    "empty.txt": b"",
    "sub/od[d] name.txt": b"text" * 10,
    FIRST: noise(2 * MIB, seed=4),
    SECOND: noise(24 * MIB, seed=5),
}
TOKENS = {"huggingface": "hf_secretsecretsecretsecret", "modelscope": "ms-0123456789abcdef0123456789"}
SMALL = {path: content for path, content in FILES.items() if path != SECOND}


def scratches(given: Settings) -> list[Path]:
    return list((given.home / "partial-v1").glob("sdk-*"))


def piece_lists(given: Settings) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (given.home / "blobs-v1" / "pieces").glob("??/*")}


def children() -> list[psutil.Process]:
    """The processes of hubs' clients that this one, or a modelfetch that it started, has running."""
    found = psutil.Process().children(recursive=True)
    return [process for process in found if any("child.py" in word for word in _command(process))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize("name", HUBS)
def test_the_result_is_that_of_a_direct_pull(name: str, tmp_path: Path, model_files: dict[str, bytes]) -> None:
    with FakeHub({REPO: {**model_files, **FILES}}) as hub:
        there = endpoint(hub.url, name, name="there")
        direct = pull(settings(tmp_path / "direct", there))
        before = len(hub.requests)
        given, heard = settings(tmp_path / "sdk", there), Heard()
        through = pull(given, via="sdk", listener=heard)
        asked = hub.requests[before:]
    assert contents(through) == contents(direct)
    assert (through.manifest, through.files) == (direct.manifest, direct.files)
    assert direct.report is not None
    assert through.report is not None
    assert through.report.bytes_by_endpoint == {"there": through.bytes_total}
    assert through.report.digests == direct.report.digests
    assert "pytorch_model.bin" not in {request.file for request in asked}
    assert not [request.path for request in asked if "agent-harnesses" in request.path]
    progress = sum(event.advanced for event in heard.events if isinstance(event, events.Progress))
    assert progress == through.bytes_total
    assert {event.path for event in heard.events if isinstance(event, events.FileDone)} == through.report.digests.keys()
    assert piece_lists(given) == piece_lists(settings(tmp_path / "direct", there)) != {}
    assert scratches(given) == []


@pytest.mark.parametrize("name", HUBS)
def test_what_is_here_is_not_fetched(name: str, tmp_path: Path) -> None:
    with FakeHub({REPO: SMALL}) as hub:
        given = settings(tmp_path, endpoint(hub.url, name))
        pull(given, include=(FIRST,))
        sent = hub.bytes_sent(FIRST)
        pulled = pull(given, via="sdk", all_files=True)
        assert hub.bytes_sent(FIRST) == sent
        assert pulled.bytes_reused == len(FILES[FIRST])
        assert contents(pulled) == SMALL


@pytest.mark.parametrize("name", HUBS)
def test_a_wrong_byte_is_caught_and_nothing_published(name: str, tmp_path: Path) -> None:
    with FakeHub({REPO: SMALL}) as hub:
        hub.set_faults(Fault(Flip(MIB), FIRST, times=None))
        given = settings(tmp_path, endpoint(hub.url, name))
        with pytest.raises(DigestMismatchError):
            pull(given, via="sdk", all_files=True)
        assert published_blobs(given) == []
        assert Store.open(given.home).snapshots() == []
        hub.set_faults()
        assert contents(pull(given, via="sdk", all_files=True)) == SMALL


def test_a_wrong_byte_ends_the_command_with_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeHub({REPO: SMALL}) as hub:
        hub.set_faults(Fault(Flip(MIB), FIRST, times=None))
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = cli.run(["pull", REPO, "--source", "hf", "--via", "sdk", "--json"])
        assert status == DigestMismatchError.exit_status
        assert "hint:" in err.getvalue()
        assert out.getvalue() == ""


@pytest.mark.parametrize("name", HUBS)
def test_a_client_that_stands_still_is_ended(name: str, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        hub.set_faults(Fault(Stall(5 * MIB), SECOND, times=None))
        given = settings(tmp_path, endpoint(hub.url, name))
        with pytest.raises(NoSourceError, match="stood still") as raised:
            bring(given, stall_s=3.0)
        assert children() == []
        assert raised.value.facts["kept"] == scratches(given)[0]
        assert "--via sdk" in str(raised.value.hint)
        hub.set_faults()
        assert contents(pull(given, via="sdk", all_files=True)) == FILES
        assert scratches(given) == []


def bring(given: Settings, *, stall_s: float) -> None:
    """What a pull does through the client, with another patience."""
    there = given.endpoints[0]
    resolution = resolve(
        reference.parse(REPO),
        [there],
        tokens={},
        network=Network(),
        listener=events.ignore,
        enough=lambda offer: False,
    )
    manifest = resolution.manifest_offer.manifest
    destination = StoreDestination(Store.open(given.home))
    sdk.transfer(
        [Job(entry, ()) for entry in manifest.entries],
        order=sdk.Order(manifest, there),
        landing=destination,
        folder=destination.partials,
        listener=events.ignore,
        stall_s=stall_s,
    )


def test_a_client_that_is_killed_is_told_as_such(tmp_path: Path) -> None:
    def kill(event: events.Event) -> None:
        if isinstance(event, events.Progress):
            for process in children():
                process.kill()

    with FakeHub({REPO: FILES}, rate=8e6) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        with pytest.raises(NoSourceError, match="broke down") as raised:
            pull(given, via="sdk", listener=kill, all_files=True)
        assert raised.value.facts["ended"] == "SIGKILL"
        assert published_blobs(given) == []


def credentials(requests: Sequence[Request]) -> set[str]:
    return {request.headers.get(name, "") for request in requests for name in ("authorization", "cookie")} - {""}


@pytest.mark.parametrize("name", HUBS)
def test_the_hub_sees_its_token_and_its_cdn_does_not(name: str, tmp_path: Path) -> None:
    with FakeHub({REPO: SMALL}, token=TOKENS[name], gated=frozenset({REPO})) as hub:
        given = settings(tmp_path, endpoint(hub.url, name, sends_token=True), tokens=TOKENS)
        assert contents(pull(given, via="sdk", all_files=True)) == SMALL
        to_hub = [request for request in hub.requests if request.origin == "hub"]
        to_cdn = [request for request in hub.requests if request.origin == "cdn"]
        assert all(TOKENS[name] in value for value in credentials(to_hub))
        assert credentials(to_hub)
        assert to_cdn
        assert credentials(to_cdn) == set()


@pytest.mark.parametrize("name", HUBS)
def test_an_endpoint_that_was_not_named_sees_no_token(
    name: str, tmp_path: Path, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKENS["huggingface"])
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", TOKENS["modelscope"])
    stored = own_environment / ".cache" / "huggingface" / "token"
    stored.parent.mkdir(parents=True)
    stored.write_text(TOKENS["huggingface"])
    with FakeHub({REPO: SMALL}) as mirror:
        pull(settings(tmp_path, endpoint(mirror.url, name), tokens=TOKENS), via="sdk")
        assert not any(token in str(request.headers) for request in mirror.requests for token in TOKENS.values())


def test_a_listing_that_goes_on_elsewhere_does_not_take_the_token_along(tmp_path: Path) -> None:
    with FakeHub({REPO: SMALL}) as hub, FakeHub({REPO: SMALL}) as thief:
        elsewhere = f"{thief.url}/api/models/{REPO}/tree/main"
        hub.set_faults(Fault(NextElsewhere(elsewhere), "*/tree/*", times=None))
        given = settings(tmp_path, endpoint(hub.url, sends_token=True), tokens=TOKENS)
        with pytest.raises(HostileHubError):
            pull(given, via="sdk")
        assert thief.requests == []


@pytest.mark.parametrize("name", HUBS)
def test_no_process_list_and_no_log_holds_the_token(name: str, tmp_path: Path) -> None:
    looked, done = list[str](), threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            for process in children():
                with suppress(psutil.Error):
                    looked.append(f"{process.cmdline()} {process.environ()}")

    with FakeHub({REPO: FILES}, rate=8e6) as hub:
        given = settings(tmp_path, endpoint(hub.url, name, sends_token=True), tokens=TOKENS)
        hub.set_faults(Fault(Status(400), SECOND, times=None, phase="data", origin="cdn"))
        looker = threading.Thread(target=look)
        looker.start()
        try:
            with pytest.raises(NoSourceError):
                pull(given, via="sdk")
        finally:
            done.set()
            looker.join()
        assert looked
        assert not any(TOKENS[name] in text for text in looked)
        log = scratches(given)[0] / "log"
        assert TOKENS[name] not in log.read_text()
        assert log.stat().st_mode & 0o077 == 0


def test_a_gated_model_is_told_as_such(tmp_path: Path) -> None:
    with FakeHub({REPO: SMALL}, token="hf_anothertokenaltogether", gated=frozenset({REPO})) as hub:
        given = settings(tmp_path, endpoint(hub.url, sends_token=True), tokens=TOKENS)
        with pytest.raises(GatedError) as raised:
            pull(given, via="sdk")
        assert "GatedRepoError" in str(raised.value.facts["said"])


@pytest.mark.parametrize("name", HUBS)
def test_a_file_that_is_listed_and_not_there_is_told_as_such(name: str, tmp_path: Path) -> None:
    with FakeHub({REPO: SMALL}) as hub:
        gone = Status(404, {"X-Error-Code": "EntryNotFound"})
        hub.set_faults(*(Fault(gone, "config.json", phase=phase, times=None) for phase in ("data", "metadata")))
        with pytest.raises(NotFoundError):
            pull(settings(tmp_path, endpoint(hub.url, name)), via="sdk")


def test_what_went_wrong_is_told_and_the_log_kept_out_of_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with FakeHub({REPO: SMALL}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        hub.set_faults(Fault(Status(500), FIRST, times=None))
        with pytest.raises(NoSourceError) as raised:
            pull(given, via="sdk")
        assert "500" in str(raised.value.facts["said"])
        assert raised.value.facts["log"] == scratches(given)[0] / "log"
        assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", HUBS)
def test_files_that_were_whole_when_it_failed_are_not_fetched_again(name: str, tmp_path: Path) -> None:
    with FakeHub({REPO: SMALL}) as hub:
        given = settings(tmp_path, endpoint(hub.url, name), connections=1)
        hub.set_faults(Fault(Status(403), "sub/*", times=None))
        with pytest.raises(AccessError):
            pull(given, via="sdk", all_files=True)
        assert hub.bytes_sent(FIRST) == len(FILES[FIRST])
        hub.set_faults()
        # Whatever the client remembers of it may be gone, as after a power cut.
        shutil.rmtree(scratches(given)[0] / "files" / ".cache", ignore_errors=True)
        before = len(hub.requests)
        pulled = pull(given, via="sdk", all_files=True)
        assert FIRST not in {request.file for request in hub.requests[before:]}
        assert pulled.report is not None
        assert pulled.report.resumed_bytes >= len(FILES[FIRST])
        assert contents(pulled) == SMALL


def test_a_rate_cannot_be_promised_for_another_client(tmp_path: Path) -> None:
    with FakeHub({REPO: SMALL}) as hub, pytest.raises(UsageError):
        pull(settings(tmp_path, endpoint(hub.url), limit_rate=1_000_000), via="sdk")


def start(hub: FakeHub, home: Path, source: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "MODELFETCH_HOME": str(home), "HF_ENDPOINT": hub.url, "MODELSCOPE_ENDPOINT": hub.url}
    return subprocess.Popen(
        [sys.executable, "-m", "modelfetch", "pull", REPO, "--source", source, "--via", "sdk", "--json", "--all-files"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    document: dict[str, Any] = json.loads(output)
    return document


def wait_until_sent(hub: FakeHub, file: str, count: int) -> None:
    deadline = time.monotonic() + 60
    while hub.bytes_sent(file) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_until_brought(home: Path, file: str, size: int) -> None:
    """Until the client has the whole file under its name."""
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size == size for path in home.glob(f"partial-v1/sdk-*/files/{file}")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_until_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert alive == []


@pytest.mark.parametrize("name", HUBS)
def test_killed_half_way_it_takes_its_client_along_and_the_same_command_goes_on(name: str, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        # By itself the client would wait for longer than this test does.
        hub.set_faults(Fault(Stall(12 * MIB), SECOND, times=None))
        first = start(hub, tmp_path, name)
        wait_until_sent(hub, SECOND, 12 * MIB)
        wait_until_brought(tmp_path, FIRST, len(FILES[FIRST]))
        running = children()
        assert running
        first.kill()
        first.communicate()
        wait_until_gone(running)
        hub.set_faults()
        document = finish(start(hub, tmp_path, name))
        whole = {"huggingface": len(FILES[FIRST]), "modelscope": len(FILES[FIRST]) + 8 * MIB}
        assert document["bytes_resumed"] >= whole[name]
        assert document["bytes_transferred"] + document["bytes_resumed"] == document["bytes_total"]
        assert hub.bytes_sent(FIRST) == len(FILES[FIRST])
        assert list((tmp_path / "partial-v1").glob("sdk-*")) == []


@pytest.mark.parametrize("name", HUBS)
def test_ctrl_c_ends_it_and_its_client(name: str, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=1e6) as hub:
        process = start(hub, tmp_path, name)
        wait_until_sent(hub, SECOND, MIB)
        running = children()
        assert running
        process.send_signal(signal.SIGINT)
        # The whole file would take 24 seconds.
        _, errors = process.communicate(timeout=10)
        assert process.returncode == INTERRUPTED
        assert "goes on from here" in errors
        assert "Traceback" not in errors
        wait_until_gone(running)


def test_two_at_once_fetch_it_once(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=8e6) as hub:
        first = start(hub, tmp_path, "huggingface")
        wait_until_sent(hub, SECOND, MIB)
        second = start(hub, tmp_path, "huggingface")
        finish(first)
        _, errors = second.communicate(timeout=120)
        assert second.returncode == 0
        assert "waiting" in errors
        assert hub.bytes_sent(SECOND) == len(FILES[SECOND])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("name", HUBS)
def test_a_disk_that_is_full_in_the_middle_is_told_as_such(name: str, tmp_path: Path) -> None:
    filler = tmp_path / "disk" / "filler"

    def fill(event: events.Event) -> None:
        if isinstance(event, events.Progress) and not filler.exists():
            with filler.open("wb", buffering=0) as stream, suppress(OSError):
                while True:
                    stream.write(bytes(MIB))

    filler.parent.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", filler.parent], check=True)
    try:
        with FakeHub({REPO: FILES}, rate=8e6) as hub:
            given = settings(filler.parent, endpoint(hub.url, name))
            with pytest.raises(DiskFullError):
                pull(given, via="sdk", listener=fill, all_files=True)
            filler.unlink()
            assert contents(pull(given, via="sdk", all_files=True)) == FILES
    finally:
        subprocess.run(["umount", filler.parent], check=True)


def test_the_hint_of_a_direct_pull_names_the_clients_way(tmp_path: Path) -> None:
    with FakeHub({REPO: SMALL}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        hub.set_faults(Fault(Status(400), FIRST, times=None))
        with pytest.raises(NoSourceError) as raised:
            pull(given)
        assert "--via sdk" in str(raised.value.hint)
