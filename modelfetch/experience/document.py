"""The document of what endpoints showed: JSON to values and back. Touches no file.

    {"version": 1, "salt": "…", "networks": {NETWORK: {"HUB URL": {
        "tried":   {"at": 1.0, "problem": null, "latency_s": 0.2, "bytes_per_s": 1.0},
        "brought": {"at": 1.0, "bytes_per_s": 1.0}}}}}

- What cannot be understood is nothing: another version, broken JSON, a number that is none.
- It stays small: of many networks, and of many endpoints on one, those that were seen longest ago are forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from modelfetch.planning.preference import Brought, Experience, Tried

VERSION = 1
LONGEST_BYTES = 1 << 20
MOST_NETWORKS = 16
MOST_ENDPOINTS = 64
_LONGEST_TEXT = 300


@dataclass(frozen=True)
class Memory:
    """What was seen, by network and endpoint. `salt` is this machine's own: a key tells nobody which network it is."""

    salt: str
    networks: Mapping[str, Mapping[str, Experience]] = field(default_factory=dict)


def read(content: bytes) -> Memory | None:
    """The memory in `content`, None where there is none."""
    if len(content) > LONGEST_BYTES:
        return None
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("version") != VERSION:
        return None
    salt, networks = document.get("salt"), document.get("networks")
    if not isinstance(salt, str) or not isinstance(networks, dict):
        return None
    return Memory(salt, {key: _endpoints(value) for key, value in networks.items() if isinstance(value, dict)})


def written(memory: Memory) -> bytes:
    """`memory` as a document, without what is too much of it."""
    networks = sorted(memory.networks.items(), key=lambda item: max(map(_seen_at, item[1].values()), default=0.0))
    document = {
        "version": VERSION,
        "salt": memory.salt,
        "networks": {
            key: {name: asdict(each) for name, each in sorted(seen.items(), key=_last_seen)[-MOST_ENDPOINTS:]}
            for key, seen in networks[-MOST_NETWORKS:]
        },
    }
    return json.dumps(document, indent=1).encode()


def _endpoints(value: dict[str, Any]) -> dict[str, Experience]:
    return {
        name: Experience(_tried(each.get("tried")), _brought(each.get("brought")))
        for name, each in value.items()
        if isinstance(each, dict)
    }


def _tried(value: object) -> Tried | None:
    if not isinstance(value, dict) or (at := _number(value.get("at"))) is None:
        return None
    problem = value.get("problem")
    if problem is not None and not isinstance(problem, str):
        return None
    shown = problem[:_LONGEST_TEXT] if problem else None
    return Tried(at, shown, _number(value.get("latency_s")), _number(value.get("bytes_per_s")))


def _brought(value: object) -> Brought | None:
    if not isinstance(value, dict):
        return None
    at, rate = _number(value.get("at")), _number(value.get("bytes_per_s"))
    return Brought(at, rate) if at is not None and rate else None


def _number(value: object) -> float | None:
    """A number that something can be: Python's reader of JSON also knows infinities, and what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e15 else None


def _last_seen(item: tuple[str, Experience]) -> float:
    return _seen_at(item[1])


def _seen_at(experience: Experience) -> float:
    return max((seen.at for seen in (experience.tried, experience.brought) if seen), default=0.0)
