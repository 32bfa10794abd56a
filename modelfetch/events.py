"""What happens during a pull, as values. Whoever wants to know passes a `Listener`; who prints them is `cli`.

- A listener is called from any thread, must not block, and must not raise.
- Bytes are counted where they matter: `Progress.advanced` counts bytes that became part of a file, `wasted` those
  that did not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Resolving:
    """Endpoints are being asked about a reference."""

    reference: str
    endpoints: tuple[str, ...]


@dataclass(frozen=True)
class Resolved:
    """One endpoint answered: `commit` on success, otherwise `error` says why it cannot serve."""

    endpoint: str
    commit: str | None
    error: str | None


@dataclass(frozen=True)
class Planned:
    """The plan is made. Sizes in bytes; `reused_bytes` are in the store already, `resumed_bytes` in partials."""

    repo: str
    hub: str
    commit: str
    files: int
    total_bytes: int
    reused_bytes: int
    resumed_bytes: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Progress:
    """Bytes arrived from `endpoint`."""

    endpoint: str
    path: str
    advanced: int


@dataclass(frozen=True)
class Salvaged:
    """A damaged copy was found, of which all counts but what `Lost` takes back."""

    path: str
    size: int


@dataclass(frozen=True)
class Lost:
    """Bytes that were counted by `Progress` before turned out not to count (a source began again, a piece was
    wrong).
    """

    path: str
    size: int


@dataclass(frozen=True)
class Fault:
    """A source failed; `action` says what is done about it, after `wait_s` seconds."""

    endpoint: str
    path: str
    what: str
    action: str
    wait_s: float = 0.0


@dataclass(frozen=True)
class FileDone:
    """A file is whole, verified and published."""

    path: str
    size: int
    reused: bool


@dataclass(frozen=True)
class Waiting:
    """Another live process holds what we need."""

    what: str
    owner: str


Event = Resolving | Resolved | Planned | Progress | Salvaged | Lost | Fault | FileDone | Waiting
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of somebody who does not want to know."""
