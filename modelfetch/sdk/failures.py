"""What a client's failure means: its exceptions, by the names of their classes, as the errors of modelfetch.

- The first of its causes whose meaning is clear decides; what is clear of none is that no source is left.
- Only what the hub itself said of the model counts as its answer: a 403 from where it redirected to is an expired link.
- Its words are shown without tokens, and its log is named, not printed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelfetch.diskfaults import fault as disk_fault
from modelfetch.errors import (
    AccessError,
    DigestMismatchError,
    DiskFullError,
    GatedError,
    HostileHubError,
    ModelfetchError,
    NoSourceError,
    NotFoundError,
)
from modelfetch.manifest import Digests, Entry
from modelfetch.redact import redact
from modelfetch.sdk.order import Order
from modelfetch.sdk.scratch import Scratch
from modelfetch.units import format_duration

_MEANINGS: Mapping[str, type[ModelfetchError]] = {
    # huggingface_hub
    "GatedRepoError": GatedError,
    "DisabledRepoError": AccessError,
    "RepositoryNotFoundError": NotFoundError,
    "RevisionNotFoundError": NotFoundError,
    "RemoteEntryNotFoundError": NotFoundError,
    # modelscope_hub
    "AuthenticationError": AccessError,
    "PermissionDeniedError": AccessError,
    "NotExistError": NotFoundError,
    "FileSizeMismatchError": NoSourceError,
    "FileIntegrityError": DigestMismatchError,
    # ours, in the child
    "TokenRefusedError": HostileHubError,
}
_STATUSES: Mapping[int, type[ModelfetchError]] = {401: AccessError, 403: AccessError, 404: NotFoundError}

_GOES_ON = "the same command goes on from here; without --via sdk, modelfetch fetches it by itself"
_HINTS: Mapping[type[ModelfetchError], str] = {
    GatedError: "accept its terms on {page}, then set {variable} to a token of that account",
    AccessError: "set {variable} to a token that may read it",
    NotFoundError: "pull again: the listing may be old",
    DigestMismatchError: "try another endpoint with --endpoint, and report this to the hub",
    HostileHubError: "pull from another endpoint with --endpoint, or report this to the hub",
}
_STALL_HINTS = {
    "huggingface_hub": "the same command goes on from here; with HF_HUB_DISABLE_XET=1 before it the client does without"
    " Xet, and without --via sdk modelfetch does without the client"
}


@dataclass(frozen=True)
class Cause:
    """An exception in the child: its class and the bases of that, what it says, and whose answer it was.

    `elsewhere` tells that the answer came from another origin than the endpoint's.
    """

    kinds: tuple[str, ...]
    message: str
    status: int | None = None
    errno: int | None = None
    elsewhere: bool = False

    def __str__(self) -> str:
        return redact(f"{self.kinds[0]}: {self.message}" if self.message else self.kinds[0])


def read_causes(answer: bytes, *, token: str | None) -> tuple[Cause, ...] | None:
    """What the child told of a failure, nothing if it did not fail, None if it did not come to tell."""
    try:
        causes = json.loads(answer)["causes"]
        return tuple(
            Cause(
                tuple(cause["kinds"]),
                cause["message"].replace(token, "[redacted]") if token else cause["message"],
                cause["status"],
                cause["errno"],
                cause["elsewhere"],
            )
            for cause in causes
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def failed(causes: Sequence[Cause], order: Order, scratch: Scratch) -> ModelfetchError:
    """The error for a client that ended with `causes`, the outermost first."""
    for cause in causes:
        if no_room := _no_room(cause, scratch):
            return no_room
    clear = [(cause, meaning) for cause in causes if (meaning := _meaning(cause))]
    cause, meaning = clear[0] if clear else (causes[0], NoSourceError)
    facts: dict[str, object] = {"said": cause}
    if not clear and causes[-1].message != cause.message:
        facts["because"] = causes[-1]
    return _error(meaning, "did not bring", facts, order, scratch)


def died(how: str, order: Order, scratch: Scratch) -> ModelfetchError:
    """The error for a client that ended without a word; `how` is its exit status or the signal that killed it."""
    return _error(NoSourceError, "broke down while it brought", {"ended": how}, order, scratch)


def stalled(seconds: float, order: Order, scratch: Scratch) -> ModelfetchError:
    """The error for a client that brought nothing for so long, and was killed."""
    facts = {"did": f"ended it after {format_duration(seconds)} without a byte"}
    error = _error(NoSourceError, "stood still while it brought", facts, order, scratch)
    error.hint = _STALL_HINTS.get(order.sdk.package, error.hint)
    return error


def left_out(path: str, order: Order, scratch: Scratch) -> ModelfetchError:
    """The error for a client that says it is done where a file is missing."""
    return _error(NoSourceError, "left files out of", {"missing": path}, order, scratch)


def mismatch(entry: Entry, got: Digests, order: Order) -> DigestMismatchError:
    """The error for a file whose bytes are not those of the listing."""
    return DigestMismatchError(
        f"`{entry.path}` does not have the digest that its hub lists",
        facts={
            "expected": entry.digests.strongest,
            "got": got.sha256 if entry.digests.sha256 else got.git_sha1,
            "from": f"{order.endpoint.name}, through {order.sdk.package}",
            "did": "removed it, and published nothing",
        },
        hint=_HINTS[DigestMismatchError],
    )


def _error(
    kind: type[ModelfetchError], did: str, facts: Mapping[str, object], order: Order, scratch: Scratch
) -> ModelfetchError:
    hint = _HINTS.get(kind, _GOES_ON)
    return kind(
        f"`{order.sdk.package}` {did} `{order.manifest.repo}`",
        facts={**facts, "from": order.endpoint.url, "kept": scratch.folder, "log": scratch.log},
        hint=hint.format(page=f"{order.endpoint.url}/{order.manifest.repo}", variable=order.sdk.token_variable),
    )


def _meaning(cause: Cause) -> type[ModelfetchError] | None:
    if cause.elsewhere:
        return None
    by_name = (_MEANINGS[kind] for kind in cause.kinds if kind in _MEANINGS)
    return next(by_name, _STATUSES.get(cause.status or 0))


def _no_room(cause: Cause, scratch: Scratch) -> DiskFullError | None:
    if cause.errno is None:
        return None
    error = disk_fault(OSError(cause.errno, os.strerror(cause.errno)), scratch.folder, "written")
    return error if isinstance(error, DiskFullError) else None
