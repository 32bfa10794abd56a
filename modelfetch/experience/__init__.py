"""What endpoints and package indexes showed before, remembered for each network: `recall`, `scores` and `remember`.

A hint, and nothing else: without it, or with a wrong one, a pull brings the same bytes. So nothing is raised, whatever
is wrong with the file; nothing is locked; of two that write at once the later one wins.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from modelfetch.config import Endpoint, Index
from modelfetch.experience.document import LONGEST_BYTES, Memory, read, written
from modelfetch.experience.network import network_key, read_signs
from modelfetch.planning.preference import Brought, Experience, Score, Tried, score

__all__ = ["Place", "recall", "remember", "scores"]

Place = TypeVar("Place", Endpoint, Index)


def recall(file: Path | None, places: Iterable[Place]) -> dict[str, Experience]:
    """What is remembered of each place on the network that this machine is on, by its name."""
    memory = _load(file)
    here = memory.networks.get(network_key(read_signs(), memory.salt), {}) if memory else {}
    return {place.name: here.get(_key(place), Experience()) for place in places}


def scores(file: Path | None, places: Iterable[Place], now: float) -> dict[str, Score]:
    """How good each place is by what is remembered of it here, by its name, in the places' order."""
    return {name: score(known, now) for name, known in recall(file, places).items()}


def remember(file: Path | None, seen: Mapping[Place, Tried | Brought]) -> None:
    """Note what endpoints and package indexes showed just now on this network."""
    if file is None or not seen:
        return
    memory = _load(file) or Memory(secrets.token_hex(16))
    network = network_key(read_signs(), memory.salt)
    here = dict(memory.networks.get(network, {}))
    for place, what in seen.items():
        known = here.get(_key(place), Experience())
        new = replace(known, tried=what) if isinstance(what, Tried) else replace(known, brought=what)
        here[_key(place)] = new
    _save(file, written(replace(memory, networks={**memory.networks, network: here})))


def _key(place: Endpoint | Index) -> str:
    # Not its name: that is the user's to give to another address. One address may speak both dialects.
    return f"{place.hub if isinstance(place, Endpoint) else place.kind} {place.url}"


def _load(file: Path | None) -> Memory | None:
    if file is None:
        return None
    try:
        with file.open("rb") as stream:
            return read(stream.read(LONGEST_BYTES + 1))
    except OSError:
        return None


def _save(file: Path, content: bytes) -> None:
    # A home that is full or may not be written is no reason to fail.
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with os.fdopen(number, "wb") as stream:
                stream.write(content)
            Path(name).replace(file)
        except OSError:
            Path(name).unlink(missing_ok=True)
