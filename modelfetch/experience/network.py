"""Which network this machine is on, as a word that says nothing about it.

- A network is told by its way out: the interface and the gateway of the default route, the name servers and the search
  domains, the proxies. The same of them is the same network, as far as can be told.
- They are hashed with a salt that only this machine has: the word shows neither an address nor a name.
- Where none of it can be read there is one network, which everything is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelfetch.redact import redact_url

ANYWHERE = "anywhere"

_ROUTES = Path("/proc/net/route")
_RESOLVER = Path("/etc/resolv.conf")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_UP = 1


@dataclass(frozen=True)
class Signs:
    """What tells a network: the kernel's table of routes, the resolver's file, the variables."""

    routes: str
    resolver: str
    environment: Mapping[str, str]


def read_signs() -> Signs:
    """What this machine has of them."""
    return Signs(_text(_ROUTES), _text(_RESOLVER), dict(os.environ))


def network_key(signs: Signs, salt: str) -> str:
    """The word for the network that `signs` are of."""
    told = (*_way_out(signs.routes), *_names(signs.resolver), *_proxies(signs.environment))
    if not told:
        return ANYWHERE
    return hashlib.sha256("\n".join((salt, *told)).encode()).hexdigest()[:32]


def _way_out(routes: str) -> tuple[str, ...]:
    """Interface and gateway of the default route, that of the smallest metric where there are several."""
    found: list[tuple[int, str, str]] = []
    for line in routes.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[1] != "00000000" or fields[7] != "00000000":
            continue
        try:
            if int(fields[3], 16) & _UP:
                found.append((int(fields[6]), fields[0], fields[2]))
        except ValueError:
            continue
    return min(found)[1:] if found else ()


def _names(resolver: str) -> tuple[str, ...]:
    lines = (line.split() for line in resolver.splitlines())
    return tuple(sorted(" ".join(words) for words in lines if words and words[0] in {"nameserver", "search", "domain"}))


def _proxies(environment: Mapping[str, str]) -> tuple[str, ...]:
    # Without its password: one that was changed is the same way out.
    held = {name: environment.get(name) or environment.get(name.upper()) for name in _PROXIES}
    return tuple(f"{name}={redact_url(value)}" for name, value in held.items() if value)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
