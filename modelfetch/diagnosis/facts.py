"""What is known about a machine: one value per kind, read by probes that run at the same time.

- `facts[Kind]` waits for the probe of that kind, so that checks can be plain functions of what they need.
- Probes read at the same time, and import one after the other.
- A probe that raises or hangs costs its own facts and nothing else: whoever asks for them gets `NotKnown`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, TypeVar

from modelfetch.config.values import Settings
from modelfetch.diagnosis.background import Background
from modelfetch.diagnosis.machine import Machine

T = TypeVar("T")

# Of two threads that import parts of one package at the same time, Python lets one have half of it: a module's lock is
# taken before its package's.
_IMPORTING = threading.Lock()


class NotKnown(Exception):
    """A probe did not bring its facts."""

    def __init__(self, kind: type, reason: str) -> None:
        super().__init__(f"{kind.__name__.removesuffix('Facts').lower()} facts could not be read ({reason})")
        self.kind = kind
        self.reason = reason


@dataclass(frozen=True)
class Probe(Generic[T]):
    """Reads the facts of one kind. `limit_s` is when it counts as hanging.

    `imports` are the modules that `read` imports while it runs, because the first lines must not wait for them.
    """

    kind: type[T]
    read: Callable[[Machine, Settings], T]
    limit_s: float = 5.0
    imports: tuple[str, ...] = ()


class Facts:
    """Facts by their kind: known values, and what probes are reading."""

    def __init__(self, values: Iterable[object] = ()) -> None:
        self._values: dict[type, object] = {type(value): value for value in values}
        self._probes: dict[type, tuple[Probe[Any], Background[Any]]] = {}

    def start(self, probe: Probe[Any], machine: Machine, settings: Settings) -> None:
        """Let `probe` read beside the others."""
        background = Background(lambda: _read(probe, machine, settings), probe.limit_s)
        self._probes[probe.kind] = (probe, background)

    def __getitem__(self, kind: type[T]) -> T:
        """The facts of this kind.

        Raises:
            NotKnown: their probe raised or hung.
            LookupError: nobody reads them; a bug in the check that asks.
        """
        if kind in self._probes:
            self._values[kind] = _result(*self._probes.pop(kind))
        value = self._values.get(kind)
        if isinstance(value, NotKnown):
            raise value
        if not isinstance(value, kind):
            raise LookupError(f"nobody reads {kind.__name__}")
        return value


def _read(probe: Probe[T], machine: Machine, settings: Settings) -> T:
    with _IMPORTING:
        for name in probe.imports:
            import_module(name)
    return probe.read(machine, settings)


def _result(probe: Probe[Any], background: Background[Any]) -> object:
    try:
        return background.result()
    except Exception as error:  # noqa: BLE001 - the thread's edge: whatever a probe raised becomes a finding
        return NotKnown(probe.kind, f"{type(error).__name__}: {error}")
