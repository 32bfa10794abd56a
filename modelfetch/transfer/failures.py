"""The errors that a transfer ends with, from the faults of its sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelfetch.errors import AccessError, DigestMismatchError, ModelfetchError, NoSourceError, NotFoundError
from modelfetch.manifest import Digests, Entry
from modelfetch.planning.retry import Fault, Kind, may_pass

_OTHER_ENDPOINT = "try another endpoint with --endpoint, and report this to the hub"


def access_refused(endpoint: str, path: str, fault: Fault) -> AccessError:
    """The endpoint lists the file and does not give it."""
    return AccessError(
        f"`{endpoint}` refuses `{path}`",
        facts={"answer": str(fault)},
        hint="accept the model's terms on its page, then set HF_TOKEN or MODELSCOPE_API_TOKEN to that account's token",
    )


def no_source_left(path: str, faults: Mapping[str, Fault]) -> ModelfetchError:
    """Nobody can send the file; `faults` are the last ones of each endpoint."""
    facts = {endpoint: str(fault) for endpoint, fault in faults.items()}
    if faults and all(fault.kind is Kind.DIGEST for fault in faults.values()):
        return DigestMismatchError(f"`{path}` has a wrong digest from every source", facts=facts, hint=_OTHER_ENDPOINT)
    if faults and all(fault.status in {404, 410} for fault in faults.values()):
        return NotFoundError(
            f"`{path}` is listed but not there", facts=facts, hint="pull again: the listing may be old"
        )
    hint = "the same command goes on from here; --endpoint adds a source, modelfetch doctor looks at the network"
    if any(_may_be_dialect(fault) for fault in faults.values()):
        hint = "modelfetch pull --via sdk lets the hub's own client fetch it; --endpoint adds a source"
    return NoSourceError(f"no source is left for `{path}`", facts=facts, hint=hint)


def mismatch(entry: Entry, digests: Digests, endpoints: Iterable[str]) -> DigestMismatchError:
    """The file's bytes were replaced, and it still has other `digests` than listed."""
    got = digests.sha256 if entry.digests.sha256 else digests.git_sha1
    return DigestMismatchError(
        f"`{entry.path}` does not have the digest that its hub lists",
        facts={
            "expected": entry.digests.strongest,
            "got": got,
            "from": ", ".join(endpoints),
            "did": "fetched it twice",
        },
        hint=_OTHER_ENDPOINT,
    )


def no_such_emptiness(entry: Entry, digests: Digests, endpoints: Iterable[str]) -> DigestMismatchError:
    """The file is listed without bytes, and with another digest than nothing has. There is nothing to fetch."""
    return DigestMismatchError(
        f"`{entry.path}` is listed as empty, with the digest of something else",
        facts={
            "expected": entry.digests.strongest,
            "got": digests.sha256 if entry.digests.sha256 else digests.git_sha1,
            "from": ", ".join(endpoints),
        },
        hint=_OTHER_ENDPOINT,
    )


def _may_be_dialect(fault: Fault) -> bool:
    """Whether the hub's own client might be served where we are not: an answer came, and it may depend on who asks.

    A file over 50 GB is such a case: Hugging Face answers 400 or 403 to whoever does not speak Xet.
    """
    if fault.kind is Kind.STATUS and fault.status is not None:
        return 400 <= fault.status < 500 and fault.status not in {404, 410} and not may_pass(fault.status)
    return fault.kind in {Kind.RANGE, Kind.ENCODED, Kind.MALFORMED}
