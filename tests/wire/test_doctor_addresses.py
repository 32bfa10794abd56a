"""Doctor tries both kinds of addresses, over real sockets: one that answers, one that refuses, one that is silent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from modelfetch.config.values import Endpoint, Settings
from modelfetch.diagnosis import Finding, Machine, Severity
from modelfetch.diagnosis.checks.network import check_addresses
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.probes.addresses import Address, AddressFacts, Reached, reach, read_addresses

# Far more than a loaded machine needs for a connection on loopback.
AMPLE_S = 30.0
SHORT_S = 0.5


@pytest.fixture(autouse=True)
def _ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 of its own")


@contextmanager
def listening(family: socket.AddressFamily, *, backlog: int = 8) -> Iterator[Address]:
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with socket.create_server((host, 0), family=family, backlog=backlog) as server:
        yield Address(family, server.getsockname())


@contextmanager
def silent() -> Iterator[Address]:
    """An IPv6 address whose queue is full: the system drops what else comes, and says nothing."""
    with listening(socket.AF_INET6, backlog=0) as address, ExitStack() as waiting:
        for _ in range(4):
            knocking = waiting.enter_context(socket.socket(socket.AF_INET6))
            knocking.setblocking(False)
            knocking.connect_ex(address.target)
        yield address


def refusing() -> Address:
    with listening(socket.AF_INET6) as address:
        return address


def told(*hosts: Reached) -> Finding:
    (finding,) = check_addresses(Facts([AddressFacts(hosts)]))
    return finding


def test_ipv6_that_is_silent_where_ipv4_answers_is_a_warning() -> None:
    with listening(socket.AF_INET) as four, silent() as six:
        reached = reach("hub.example", [six, four], SHORT_S)
    assert reached == Reached("hub.example", by_ipv4=True, ipv6_is_silent=True)
    finding = told(reached, Reached("other.example", by_ipv4=True, ipv6_is_silent=True))
    assert (finding.name, finding.severity) == ("net.ipv6", Severity.WARNING)
    assert told(reached).title == "hub.example has IPv6 addresses, and IPv6 leads nowhere from here"
    assert finding.title == "hub.example and 1 more have IPv6 addresses, and IPv6 leads nowhere from here"


def test_ipv6_that_answers_or_refuses_at_once_is_well() -> None:
    with listening(socket.AF_INET) as four, listening(socket.AF_INET6) as six:
        answering = reach("hub.example", [six, four], AMPLE_S)
        refused = reach("hub.example", [refusing(), four], AMPLE_S)
    assert answering == refused == Reached("hub.example", by_ipv4=True, ipv6_is_silent=False)
    assert told(answering, refused).severity is Severity.OK


def test_nothing_is_concluded_where_ipv4_does_not_answer_or_only_one_kind_is_there() -> None:
    with listening(socket.AF_INET) as four:
        alone = reach("hub.example", [four], AMPLE_S)
    with silent() as six:
        neither = reach("hub.example", [six, four], SHORT_S)
    assert alone == Reached("hub.example")
    assert neither == Reached("hub.example", by_ipv4=False, ipv6_is_silent=True)
    assert told(alone, neither).severity is Severity.OK


def test_a_name_that_is_none_is_left_to_other_checks() -> None:
    endpoints = (
        Endpoint("a", "huggingface", "https://no-such-name.invalid"),
        Endpoint("b", "huggingface", "https://x..y"),
    )
    settings = Settings(Path("a"), Path("b"), Path("c"), endpoints)
    assert read_addresses(Machine(), settings, AMPLE_S) == AddressFacts()
