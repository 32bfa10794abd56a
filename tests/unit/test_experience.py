"""The rules at the heads of `experience`'s modules: what is kept, for which network, and that nothing wrong matters."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch import experience
from modelfetch.config import Endpoint
from modelfetch.experience.document import LONGEST_BYTES, MOST_ENDPOINTS, MOST_NETWORKS, Memory, read, written
from modelfetch.experience.network import ANYWHERE, Signs, network_key
from modelfetch.planning.preference import Brought, Experience, Tried

LAB = Endpoint("lab", "huggingface", "https://lab.example.com")
TRIED = Tried(1000.0, None, 0.25, 5e6)
BROUGHT = Brought(2000.0, 8e6)

ROUTES = """\
Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t{metric}\t00000000\t0\t0\t0
wlan0\t00000000\t010110AC\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
"""
HOME = Signs(ROUTES.format(metric=100), "# made by hand\nnameserver 192.168.1.1\nsearch home.example\n", {})


def test_what_was_seen_is_there_again_for_the_endpoint_that_showed_it(tmp_path: Path) -> None:
    file = tmp_path / "not yet there" / "endpoints-v1.json"
    other = replace(LAB, name="other", hub="modelscope")
    experience.remember(file, {LAB: TRIED})
    experience.remember(file, {LAB: BROUGHT, other: TRIED})
    assert experience.recall(file, (LAB, other)) == {"lab": Experience(TRIED, BROUGHT), "other": Experience(TRIED)}
    newer = replace(TRIED, at=3000.0, problem="no connection")
    experience.remember(file, {LAB: newer})
    assert experience.recall(file, (LAB,)) == {"lab": Experience(newer, BROUGHT)}
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_an_endpoint_is_told_by_its_address_and_not_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "endpoints-v1.json"
    experience.remember(file, {LAB: TRIED})
    moved, renamed = replace(LAB, url="https://elsewhere.example.com"), replace(LAB, name="ours")
    assert experience.recall(file, (moved,)) == {"lab": Experience()}
    assert experience.recall(file, (renamed,)) == {"ours": Experience(TRIED)}


def test_without_a_file_nothing_is_remembered() -> None:
    experience.remember(None, {LAB: TRIED})
    assert experience.recall(None, (LAB,)) == {"lab": Experience()}


def test_nothing_seen_writes_nothing(tmp_path: Path) -> None:
    experience.remember(tmp_path / "endpoints-v1.json", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"[" * 100_000,
        b'{"version": 2, "salt": "a", "networks": {}}',
        b'{"version": 1, "networks": {}}',
        b'{"version": 1, "salt": 7, "networks": {}}',
        b'{"version": 1, "salt": "a", "networks": []}',
        b'{"version": 1, "salt": "a", "networks": {}}' + b" " * LONGEST_BYTES,
    ],
)
def test_a_file_that_cannot_be_understood_is_none_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "endpoints-v1.json"
    file.write_bytes(content)
    assert experience.recall(file, (LAB,)) == {"lab": Experience()}
    experience.remember(file, {LAB: TRIED})
    assert experience.recall(file, (LAB,)) == {"lab": Experience(TRIED)}


def test_a_file_that_is_too_long_is_not_read() -> None:
    whole = written(Memory("a"))
    assert read(whole + b" " * (LONGEST_BYTES - len(whole))) == Memory("a")
    assert read(whole + b" " * (LONGEST_BYTES - len(whole) + 1)) is None


@pytest.mark.parametrize(
    "seen",
    [
        None,
        [],
        {"tried": 1, "brought": "x"},
        {"tried": {"at": "now"}, "brought": {"at": 1.0}},
        {"tried": {"at": True}, "brought": {"at": 1.0, "bytes_per_s": 0}},
        {"tried": {"at": -1.0}, "brought": {"at": 1.0, "bytes_per_s": float("inf")}},
        {"tried": {"at": float("nan")}, "brought": {"at": 1e300, "bytes_per_s": 1}},
        {"tried": {"at": 1.0, "problem": 5}},
    ],
)
def test_a_part_that_cannot_be_understood_is_nothing(seen: object) -> None:
    document = {"version": 1, "salt": "a", "networks": {"n": {"huggingface https://a.example": seen}, "m": None}}
    memory = read(json.dumps(document).encode())
    assert memory is not None
    assert [each for each in memory.networks["n"].values() if each != Experience()] == []


def test_a_part_of_what_was_tried_may_be_missing() -> None:
    document = {"version": 1, "salt": "a", "networks": {"n": {"e": {"tried": {"at": 1, "latency_s": "slow"}}}}}
    assert read(json.dumps(document).encode()) == Memory("a", {"n": {"e": Experience(Tried(1.0))}})


def test_a_place_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    experience.remember(tmp_path / "file" / "endpoints-v1.json", {LAB: TRIED})
    (tmp_path / "folder").mkdir()
    experience.remember(tmp_path / "folder", {LAB: TRIED})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_the_document_stays_small_and_forgets_what_was_seen_longest_ago() -> None:
    many = {f"e{number}": Experience(Tried(float(number))) for number in range(MOST_ENDPOINTS + 5)}
    networks = {f"n{number}": {"e": Experience(None, Brought(float(number), 1.0))} for number in range(MOST_NETWORKS)}
    memory = read(written(Memory("a", {"empty": {}, "busy": many, **networks})))
    assert memory is not None
    assert set(memory.networks) == {"busy", *networks} - {"n0"}
    assert set(memory.networks["busy"]) == {f"e{number}" for number in range(5, MOST_ENDPOINTS + 5)}


@pytest.mark.parametrize(
    "other",
    [
        replace(HOME, routes=HOME.routes.replace("0101A8C0", "FE01A8C0")),
        replace(HOME, routes=HOME.routes.replace("eth0\t00000000", "tun0\t00000000")),
        replace(HOME, routes=ROUTES.format(metric=700)),
        replace(HOME, resolver="nameserver 192.168.1.1\nsearch office.example\n"),
        replace(HOME, resolver="nameserver 10.0.0.53\nsearch home.example\n"),
        replace(HOME, environment={"HTTPS_PROXY": "http://proxy.example:3128"}),
    ],
)
def test_another_way_out_is_another_network(other: Signs) -> None:
    assert network_key(other, "salt") != network_key(HOME, "salt")


@pytest.mark.parametrize(
    "same",
    [
        replace(HOME, routes=HOME.routes.replace("wlan0", "wlan1")),
        replace(HOME, routes=HOME.routes + "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"),
        replace(HOME, routes=HOME.routes + "short line\neth9\t00000000\tX\tnone\t0\t0\t0\t00000000\n"),
        replace(HOME, routes=HOME.routes + "down0\t00000000\t0101A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0\n"),
        replace(HOME, resolver="search home.example\n\noptions ndots:1\nnameserver   192.168.1.1\n"),
        replace(HOME, environment={"LANG": "C"}),
    ],
)
def test_what_does_not_lead_out_does_not_count(same: Signs) -> None:
    assert network_key(same, "salt") == network_key(HOME, "salt")


def test_a_proxy_is_the_same_with_another_password() -> None:
    keys = {
        network_key(replace(HOME, environment={"https_proxy": f"http://me:{word}@proxy.example:3128"}), "salt")
        for word in ("one", "two")
    }
    assert len(keys) == 1


def test_a_key_tells_nothing_without_the_salt_and_there_is_one_where_nothing_is_known() -> None:
    assert network_key(HOME, "one") != network_key(HOME, "another")
    assert "home" not in network_key(HOME, "one")
    assert network_key(Signs("", "", {}), "one") == network_key(Signs("", "", {}), "another") == ANYWHERE


def test_the_file_names_no_address_of_the_network(tmp_path: Path) -> None:
    file = tmp_path / "endpoints-v1.json"
    experience.remember(file, {LAB: TRIED})
    (key,) = json.loads(file.read_text())["networks"]
    assert key == ANYWHERE or len(key) == 32
