"""Trying package indexes: what is found out of each, what is a problem, and how far a mirror is behind."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import pytest

from modelfetch import experience
from modelfetch.cli import run
from modelfetch.config import Index, Settings, load
from modelfetch.errors import NoSourceError
from modelfetch.mirrors import IndexTrial, try_indexes
from modelfetch.mirrors.index_attempt import SAMPLE_BYTES
from tests.pulling import noise, settings
from tests.raw_server import Server, head

WHEEL = noise(300_000)
SHA256 = hashlib.sha256(WHEEL).hexdigest()
LARGE = noise(SAMPLE_BYTES + 1_000_000)
LIMIT_S = 20.0
HTML = "text/html; charset=utf-8"


@dataclass
class Site:
    """A web site of a few pages: content and headers by path. A range is honoured unless the headers say otherwise."""

    pages: Mapping[str, tuple[bytes, Mapping[str, str]]]
    ranges: bool = True
    heads: list[str] = field(default_factory=list)

    def __call__(self, connection: socket.socket, heard: list[bytes]) -> None:
        request = head(connection).decode()
        self.heads.append(request)
        path = request.split(" ")[1]
        content, headers = self.pages.get(path, (b"not here", {"Status": "404 Not Found"}))
        status = headers.get("Status", "200 OK")
        wanted = next((line for line in request.splitlines() if line.lower().startswith("range: ")), None)
        extra = ""
        if wanted and self.ranges and status == "200 OK":
            last = min(int(wanted.rpartition("-")[2]), len(content) - 1)
            extra, status = f"Content-Range: bytes 0-{last}/{len(content)}\r\n", "206 Partial Content"
            content = content[: last + 1]
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name != "Status")
        start = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n{lines}{extra}\r\n"
        connection.sendall(start.encode() + content)


def listing(*versions: str, sha256: str = SHA256, package: str = "huggingface_hub") -> bytes:
    links = (
        f'<a href="../../files/{package}-{version}-py3-none-any.whl#sha256={sha256}">x</a>' for version in versions
    )
    return "\n".join(links).encode()


def pypi(
    page: bytes, *, wheel: bytes = WHEEL, version: str = "2.4.0", headers: Mapping[str, str] = MappingProxyType({})
) -> Site:
    """An index whose files are its own."""
    return Site(
        {
            "/simple/huggingface-hub/": (page, {"Content-Type": HTML, **headers}),
            f"/files/huggingface_hub-{version}-py3-none-any.whl": (wheel, {}),
        }
    )


def index(server: Server, kind: str = "pypi", *, name: str = "one") -> Index:
    return Index(name, kind, f"{server.url}/simple")


def given(home: Path, *indexes: Index) -> Settings:
    return replace(settings(home), indexes=indexes, experience=home / "e.json", tokens={"huggingface": "hf_secret"})


def trial_of(home: Path, site: Callable[[socket.socket, list[bytes]], None], kind: str = "pypi") -> IndexTrial:
    with Server(site) as server:
        (trial,) = try_indexes(given(home, index(server, kind)), limit_s=LIMIT_S).trials
        return trial


def test_of_an_honest_index_everything_is_found_out_with_two_requests_and_no_token(tmp_path: Path) -> None:
    site = pypi(listing("2.3.0", "2.4.0", "2.3.10"))
    trial = trial_of(tmp_path, site)
    assert (trial.problem, trial.newest, trial.digest_right) == (None, "huggingface-hub 2.4.0", True)
    assert (trial.sample_bytes, trial.served_by) == (len(WHEEL), "127.0.0.1")
    assert trial.latency_s is not None
    assert trial.bytes_per_s is not None
    assert len(site.heads) == 2
    assert not any("hf_secret" in request for request in site.heads)


def test_the_json_of_an_index_is_read_too(tmp_path: Path) -> None:
    url = "../../files/huggingface_hub-2.4.0-py3-none-any.whl"
    files = [{"url": url, "hashes": {"sha256": SHA256}}, {"url": 3}, "x", {"url": "a.whl", "hashes": 5}]
    page = json.dumps({"files": files}).encode()
    trial = trial_of(tmp_path, pypi(page, headers={"Content-Type": "application/vnd.pypi.simple.v1+json"}))
    assert (trial.problem, trial.digest_right) == (None, True)


def test_an_index_without_ranges_is_as_good(tmp_path: Path) -> None:
    trial = trial_of(tmp_path, replace(pypi(listing("2.4.0")), ranges=False))
    assert (trial.problem, trial.digest_right, trial.sample_bytes) == (None, True, len(WHEEL))


@pytest.mark.parametrize("kind", ["torch", "torch-links"])
def test_of_a_large_wheel_only_a_part_is_fetched(tmp_path: Path, kind: str) -> None:
    page = listing("2.9.0%2Bcpu", "2.14.0%2Bcpu", package="torch") + listing("9.9.9", package="torchvision")
    files = {"/simple/cpu/torch/": (page, {"Content-Type": HTML}), "/simple/cpu/": (page, {"Content-Type": HTML})}
    below = {"torch": "/simple/files", "torch-links": "/files"}[kind]
    site = Site({**files, f"{below}/torch-2.14.0%2Bcpu-py3-none-any.whl": (LARGE, {})})
    trial = trial_of(tmp_path, site, kind)
    assert (trial.problem, trial.newest, trial.digest_right) == (None, "torch 2.14.0+cpu", None)
    assert trial.sample_bytes == SAMPLE_BYTES


def test_of_condas_list_the_day_is_told_and_a_part_is_fetched(tmp_path: Path) -> None:
    headers = {"Last-Modified": "Sat, 21 Nov 2026 23:59:00 GMT"}
    site = Site({"/simple/conda-forge/noarch/repodata.json.zst": (LARGE, headers)})
    trial = trial_of(tmp_path, site, "conda")
    assert (trial.problem, trial.newest, trial.sample_bytes) == (None, "list of 2026-11-21", SAMPLE_BYTES)


PORTAL = b"<html><body>Please log in to <a href=/login>the network</a></body></html>"


@pytest.mark.parametrize(
    ("site", "problem"),
    [
        (pypi(listing("2.4.0"), wheel=WHEEL[:5] + b"?" + WHEEL[6:]), "digest"),
        (pypi(listing("2.4.0"), wheel=WHEEL[:-1]), "digest"),
        (pypi(PORTAL), "a web page came instead of the file (it lists no file of huggingface-hub)"),
        (pypi(b"{", headers={"Content-Type": "application/json"}), "it lists no file"),
        (pypi(listing("2.5.0rc1", "nonsense")), "it lists no file"),
        (pypi(listing("2.4.0"), headers={"Status": "503 Busy"}), "status 503 (from 127.0.0.1)"),
        (pypi(listing("2.4.0"), headers={"Content-Encoding": "gzip"}), "encoded"),
        (pypi(listing("2.4.0"), version="2.3.0"), "status 404 (from 127.0.0.1)"),
        (pypi(b'<a href="ftp://files.example/huggingface_hub-2.4.0-py3-none-any.whl">x</a>'), "redirect"),
        (pypi(b'<a href="http://[::1/huggingface_hub-2.4.0-py3-none-any.whl">x</a>'), "it lists no file"),
    ],
)
def test_what_keeps_packages_from_being_had_is_the_problem(tmp_path: Path, site: Site, problem: str) -> None:
    assert problem in (trial_of(tmp_path, site).problem or "")


def test_an_index_of_ones_own_need_not_have_the_package(tmp_path: Path) -> None:
    trial = trial_of(tmp_path, Site({}))
    assert (trial.problem, trial.note) == (None, "it does not have huggingface-hub")


def test_nobody_there_and_silence_are_problems_and_the_others_count(tmp_path: Path) -> None:
    with Server(pypi(listing("2.4.0"))) as good, socket.create_server(("127.0.0.1", 0)) as silent:
        dead = Index("dead", "pypi", "http://127.0.0.1:9/simple")
        mute = Index("mute", "pypi", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        tested = try_indexes(given(tmp_path, dead, mute, index(good)), limit_s=3.0)
    problems = {trial.index.name: trial.problem for trial in tested.trials}
    assert next(iter(problems)) == "one"
    assert problems["one"] is None
    assert "no connection" in (problems["dead"] or "")
    assert problems["mute"] == "no answer within 3 s"
    assert tested.usable


def test_a_mirror_that_is_behind_is_told_what_another_one_lists(tmp_path: Path) -> None:
    with Server(pypi(listing("2.4.0"))) as new, Server(pypi(listing("2.3.9"), version="2.3.9")) as old:
        tested = try_indexes(given(tmp_path, index(new, name="new"), index(old, name="old")), limit_s=LIMIT_S)
    assert tested.behind == {"old": "huggingface-hub 2.4.0 at new"}


def test_what_was_found_out_is_remembered_and_not_mixed_up_with_an_endpoint_of_that_name(tmp_path: Path) -> None:
    with Server(pypi(listing("2.4.0"))) as server:
        known = given(tmp_path, index(server))
        (trial,) = try_indexes(known, limit_s=LIMIT_S).trials
        tried = experience.recall(known.experience, known.indexes)["one"].tried
    assert tried is not None
    assert (tried.bytes_per_s, tried.latency_s) == (trial.bytes_per_s, trial.latency_s)
    assert experience.recall(known.experience, [replace(known.indexes[0], kind="torch")])["one"].tried is None


def test_without_the_network_no_index_is_tried(tmp_path: Path) -> None:
    with Server(pypi(listing("2.4.0"))) as server, pytest.raises(NoSourceError, match="not to be used"):
        try_indexes(replace(given(tmp_path, index(server)), offline=True))


def configure(home: Path, *lines: str) -> None:
    """Write a mirrors.yaml that takes away everything built in, and says `lines` of indexes."""
    names = load()
    file = home / ".config/modelfetch/mirrors.yaml"
    file.parent.mkdir(parents=True)
    endpoints = [f"  {each.name}: {{enabled: false}}" for each in names.endpoints]
    indexes = [f"  {each.name}: {{enabled: false}}" for each in names.indexes]
    file.write_text("\n".join(["version: 1", "endpoints:", *endpoints, "indexes:", *indexes, *lines, ""]), "utf-8")


def test_the_command_tries_indexes_and_fits_in_80_columns(
    own_environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    skewed = pypi(listing("2.4.0"), headers={"Date": "Sat, 21 Nov 2020 12:00:00 GMT"})
    with Server(skewed) as new, Server(pypi(listing("2.3.9"), version="2.3.9")) as old:
        configure(
            own_environment,
            f"  a-very-long-name-for-an-index: {{kind: pypi, url: '{new.url}/simple'}}",
            f"  old: {{kind: pypi, url: '{old.url}/simple'}}",
            "  dead: {kind: conda, url: 'http://127.0.0.1:9'}",
        )
        assert run(["mirrors", "test"]) == 0
        lines = capsys.readouterr().out.splitlines()
        rows = [line for line in lines if ": " not in line]
        assert rows[0].split()[0] == "kind"
        assert sorted(row.split()[0] for row in rows[1:]) == ["a-very-long-nam…", "old"]
        assert max(map(len, rows)) <= 80
        assert "old: is behind: it lists huggingface-hub 2.3.9, and there is huggingface-hub 2.4.0 at" in "\n".join(
            lines
        )
        assert any(line.startswith("a-very-long-name-for-an-index: its clock is ") for line in lines)
        assert any(line.startswith("dead: cannot be used: no connection") for line in lines)
        assert run(["mirrors", "test", "dead"]) == 6
        capsys.readouterr()
        assert run(["mirrors", "test", "old", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["endpoints"], [each["name"] for each in document["indexes"]]) == ([], ["old"])
        assert document["indexes"][0]["seconds_per_gb"] > 0
