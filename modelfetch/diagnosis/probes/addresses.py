"""Whether the endpoints' names lead somewhere by both kinds of addresses. A connection is opened and closed; nothing is
sent.

- Asked is only about names that have addresses of both kinds and are reached without a proxy.
- An address that refuses at once costs nobody time. One that is silent costs every new connection seconds.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from modelfetch.config.values import Settings
from modelfetch.diagnosis.background import Background
from modelfetch.diagnosis.machine import Machine
from modelfetch.planning.retry import FaultError

ADDRESS_LIMIT_S = 3.0
# Of the limit, looking the name up takes its part.
_CONNECT_S = 2.0


@dataclass(frozen=True)
class Address:
    """What a socket of this family connects to."""

    family: int
    target: tuple[Any, ...]


@dataclass(frozen=True)
class Reached:
    """Whether a connection came about over IPv4, and whether IPv6 was silent; None for a kind that was not tried."""

    host: str
    by_ipv4: bool | None = None
    ipv6_is_silent: bool | None = None


@dataclass(frozen=True)
class AddressFacts:
    hosts: tuple[Reached, ...] = ()


def read_addresses(_machine: Machine, settings: Settings, limit_s: float = ADDRESS_LIMIT_S) -> AddressFacts:
    origins = dict.fromkeys(endpoint.origin for endpoint in settings.endpoints)
    asked = [Background(partial(_look_up_and_reach, origin), limit_s) for origin in origins]
    return AddressFacts(tuple(filter(None, map(_outcome, asked))))


def _look_up_and_reach(origin: str) -> Reached | None:
    # Imported here: the first lines are to be read while these are still being imported.
    from modelfetch.http import Network

    parts = urlsplit(origin)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if Network().proxy_for(origin) is not None:
        return None
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return reach(host, [Address(family, target) for family, _, _, _, target in found])


def reach(host: str, addresses: Iterable[Address], limit_s: float = _CONNECT_S) -> Reached:
    """Try the first address of each kind, both at the same time, where there are both."""
    first: dict[int, Address] = {}
    for address in addresses:
        first.setdefault(address.family, address)
    if not {socket.AF_INET, socket.AF_INET6} <= first.keys():
        return Reached(host)
    tries = {family: Background(partial(_answers, first[family], limit_s), 2 * limit_s) for family in first}
    by_ipv4 = tries[socket.AF_INET].result()
    by_ipv6 = tries[socket.AF_INET6].result()
    return Reached(host, by_ipv4 is True, by_ipv6 is None)


def _answers(address: Address, limit_s: float) -> bool | None:
    """Whether there is a connection; None where nothing at all comes back."""
    with socket.socket(address.family, socket.SOCK_STREAM) as candidate:
        candidate.settimeout(limit_s)
        try:
            candidate.connect(address.target)
        except TimeoutError:
            return None
        except OSError:
            return False
    return True


def _outcome(work: Background[Reached | None]) -> Reached | None:
    try:
        return work.result()
    except (FaultError, OSError, UnicodeError):  # no such name, a proxy without an address, too slow: others tell of it
        return None
