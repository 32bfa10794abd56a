"""What is kept of a smoke test with its snapshot, and whether it still holds: a pure function of what it depends on.

- A test that passed holds while the bytes, the software, the hardware and the question are the same.
- One that did not pass never holds: memory that was short may be there now, and a package may have come.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from modelfetch.smoketest.options import SmokeOptions
from modelfetch.smoketest.result import SmokeResult
from modelfetch.smoketest.verdict import Verdict
from modelfetch.store import Snapshot

_PASSED = frozenset({Verdict.PASS.value, Verdict.WARN.value})


@dataclass(frozen=True)
class Circumstances:
    """All that a result depends on. `bytes` is one digest over the digests of the files that are here."""

    bytes: str
    software: Mapping[str, str]
    hardware: tuple[str, ...]
    asked: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "hardware": list(self.hardware)}


def digest_of(snapshot: Snapshot) -> str:
    """One digest for all bytes of a snapshot, and for their names."""
    files = sorted((entry.path, entry.digests.sha256) for entry in snapshot.entries)
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def asked_of(options: SmokeOptions) -> dict[str, str]:
    """What was asked, as far as it can change the answer; how long one waits for it cannot."""
    return {name: str(value) for name, value in asdict(options).items() if name != "timeout_s"}


def to_keep(
    result: SmokeResult, tested_at: str, circumstances: Circumstances, before: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What goes into the snapshot's record; when and with what it last passed outlives a failure."""
    passed = result.verdict.value in _PASSED
    stack = {name: value for name, value in result.facts.versions.items() if name in {"torch", "transformers", "cuda"}}
    last_pass = {"at": tested_at, "device": result.facts.device, "dtype": result.facts.dtype, "stack": stack}
    return {
        "tested_at": tested_at,
        "last_pass": last_pass if passed else (before or {}).get("last_pass"),
        "circumstances": circumstances.to_json(),
        **result.to_json(),
    }


def changes(kept: Mapping[str, Any] | None, now: Circumstances) -> tuple[str, ...]:
    """Why the kept result says nothing of a test now; empty where it would be the same."""
    if kept is None:
        return ("it was never tested",)
    if kept.get("verdict") not in _PASSED:
        return ("it did not pass",)
    then, document = kept.get("circumstances"), now.to_json()
    if not isinstance(then, dict):
        return ("what it was tested with is not known",)
    return tuple(f"other {name}" for name in document if then.get(name) != document[name])
