"""What a pull is asked for, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from modelfetch.lock import LockedModel
from modelfetch.manifest import Manifest
from modelfetch.reference import Reference
from modelfetch.store import Snapshot
from modelfetch.transfer import Report

Via = Literal["direct", "sdk"]


@dataclass(frozen=True)
class Request:
    """What is asked for. `source` and `endpoints` narrow the places; `include`, `exclude` and `all_files` the files.

    `local_dir` also puts the files in a plain folder; `link` makes the view that huggingface_hub and transformers read.
    `via` chooses who brings the bytes: modelfetch itself, or the hub's own client. With `locked` exactly what a lock
    file says of the model comes, from any source that has it.
    """

    reference: Reference
    source: str | None = None
    endpoints: tuple[str, ...] = ()
    send_tokens_to: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    all_files: bool = False
    local_dir: Path | None = None
    link: bool = True
    via: Via = "direct"
    dry_run: bool = False
    locked: LockedModel | None = None


@dataclass(frozen=True)
class PulledFile:
    """One file of the result; `state` is `fetched` (in a dry run: would be), `reused` or `left`."""

    path: str
    size: int
    sha256: str | None
    state: str


@dataclass(frozen=True)
class Pulled:
    """The outcome. `snapshot` is None after a dry run; `report` is None when nothing was transferred.

    `notes` were told with the plan, `late_notes` came up after it. `seen` are the hosts that listed these very bytes,
    by path, as far as somebody was asked.
    """

    manifest: Manifest
    files: tuple[PulledFile, ...]
    snapshot: Snapshot | None
    folder: Path | None
    report: Report | None
    seconds: float
    notes: tuple[str, ...]
    late_notes: tuple[str, ...] = ()
    seen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def bytes_total(self) -> int:
        return sum(file.size for file in self.files if file.state != "left")

    @property
    def bytes_reused(self) -> int:
        return sum(file.size for file in self.files if file.state == "reused")
