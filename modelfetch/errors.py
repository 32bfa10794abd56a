"""Every failure that modelfetch foresees, and the exit status each one ends a command with.

Imports nothing. Nothing here prints.

- The class says who broke it; `exit_status` is the contract of the command line (docs/errors.md).
- The message names the object in backticks and what failed. `facts` are the evidence (expected, got, from, where),
  `hint` is one command or one sentence that helps.
- Whatever reaches an error from a URL or a header has gone through `redact` first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

# What a shell says of a command that SIGINT or SIGPIPE ended.
INTERRUPTED = 130
READER_GONE = 141


class ModelfetchError(Exception):
    """A failure that was foreseen. Never shown with a traceback."""

    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, facts: Mapping[str, object] | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.facts = dict(facts or {})
        self.hint = hint

    def render(self) -> str:
        """The whole error as text: the message, a line per fact, then the hint."""
        width = max((len(name) for name in self.facts), default=0)
        lines = [self.message]
        for name, value in self.facts.items():
            first, *rest = str(value).splitlines() or [""]
            lines.append(f"  {name + ':':<{width + 1}} {first}".rstrip())
            lines += [" " * (width + 4) + line for line in rest]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class UsageError(ModelfetchError):
    """The user's words cannot be understood: a malformed reference, an option that does not go with another."""

    exit_status = 2


class ConfigError(ModelfetchError):
    """A mirrors.yaml, a lock file or an environment variable cannot be used, or the system allows too little."""

    exit_status = 3


class NotFoundError(ModelfetchError):
    """No such model, revision or file, said by an endpoint that answered."""

    exit_status = 4


class AccessError(ModelfetchError):
    """The hub wants a token, or the licence accepted, or refuses this token."""

    exit_status = 5


class GatedError(AccessError):
    """The model's terms must be accepted first. No other source is tried to get round this."""


class NoSourceError(ModelfetchError):
    """No source is left: no network, every endpoint failed, or `--offline` and the store does not have it."""

    exit_status = 6


class HostileHubError(NoSourceError):
    """A hub said something that no honest hub says: a traversing name, an endless listing, another size."""


class DiskFullError(ModelfetchError):
    """There is not enough room, found out before the first byte or in the middle (what was fetched is kept)."""

    exit_status = 7


class DigestMismatchError(ModelfetchError):
    """Bytes do not have the digest that the manifest names, from every source that was tried."""

    exit_status = 8


class StoreError(ModelfetchError):
    """The store cannot be used: not writable, locked by a live owner, or of a foreign version."""

    exit_status = 9


class SmokeError(ModelfetchError):
    """The model was loaded or exercised and does not work."""

    exit_status = 10


class DoctorError(ModelfetchError):
    """Doctor found an error on this machine."""

    exit_status = 11
