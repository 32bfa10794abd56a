"""What an adoption did, or would do, as values and as the document of `--json`. Decides only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from modelfetch.adopt.candidate import Candidate, Refusal
from modelfetch.adopt.orphans import Orphan
from modelfetch.adopt.places import Place
from modelfetch.manifest import Digests
from modelfetch.store import Snapshot


class State(StrEnum):
    """What became of a file."""

    LINKED = "linked"
    COPIED = "copied"
    # The store had its bytes before; `repeated` where the file takes room of its own besides.
    HERE = "here"
    REPEATED = "repeated"
    LEFT = "left"
    DAMAGED = "damaged"


TAKEN = frozenset({State.LINKED, State.COPIED})
IN_STORE = TAKEN | {State.HERE, State.REPEATED}


@dataclass(frozen=True)
class Fate:
    """What became of one file, or in a dry run would; `why` it was left, what was `expected` of it and `got`."""

    path: Path
    size_bytes: int
    state: State
    digests: Digests | None = None
    why: str | None = None
    expected: str | None = None
    got: str | None = None


@dataclass(frozen=True)
class AdoptedModel:
    """A model that was found. `snapshot` is None where nothing tells which one it is, or nothing of it was taken."""

    candidate: Candidate
    snapshot: Snapshot | None
    is_new: bool
    files_in_store: int
    size_bytes: int


@dataclass(frozen=True)
class Adoption:
    """Everything that was found. A file that several names lead to is in `fates` once."""

    places: tuple[Place, ...]
    models: tuple[AdoptedModel, ...]
    fates: tuple[Fate, ...]
    refusals: tuple[Refusal, ...]
    orphans: tuple[Orphan, ...]
    dry_run: bool
    seconds: float

    def files(self, *states: State) -> tuple[Fate, ...]:
        """The files that became one of `states`."""
        return tuple(fate for fate in self.fates if fate.state in states)

    def size_bytes(self, *states: State) -> int:
        """What the files of these states have together."""
        return sum(fate.size_bytes for fate in self.files(*states))

    def models_in(self, place: Place) -> tuple[AdoptedModel, ...]:
        """The models that were found in `place`."""
        return tuple(model for model in self.models if model.candidate.folder.is_relative_to(place.path))

    @property
    def ok(self) -> bool:
        """Whether every file holds what its owner's name for it says."""
        return not self.files(State.DAMAGED)

    def to_json(self) -> dict[str, Any]:
        """The document of `modelfetch adopt --json`."""
        return {
            "ok": self.ok,
            "dry_run": self.dry_run,
            "seconds": round(self.seconds, 3),
            "files_taken": len(self.files(*TAKEN)),
            "bytes_linked": self.size_bytes(State.LINKED),
            "bytes_copied": self.size_bytes(State.COPIED),
            "bytes_here": self.size_bytes(State.HERE),
            "bytes_repeated": self.size_bytes(State.REPEATED),
            "bytes_left": self.size_bytes(State.LEFT),
            "places": [
                {
                    "tool": place.tool,
                    "path": str(place.path),
                    "origin": place.origin,
                    "models": len(self.models_in(place)),
                    "size_bytes": sum(model.size_bytes for model in self.models_in(place)),
                }
                for place in self.places
            ],
            "models": [_model(model) for model in self.models],
            "repeated": [_file(fate) for fate in self.files(State.REPEATED)],
            "left": [_file(fate) | {"why": fate.why} for fate in self.files(State.LEFT)],
            "damaged": [
                _file(fate) | {"expected": fate.expected, "got": fate.got} for fate in self.files(State.DAMAGED)
            ],
            "refused": [{"path": str(refusal.path), "why": refusal.why} for refusal in self.refusals],
            "orphans": [
                {
                    "path": str(orphan.path),
                    "size_bytes": orphan.size_bytes,
                    "age_s": round(orphan.age_s),
                    "owner": orphan.owner,
                    "why": orphan.why,
                }
                for orphan in self.orphans
            ],
        }


def _model(model: AdoptedModel) -> dict[str, Any]:
    candidate = model.candidate
    manifest = model.snapshot.manifest if model.snapshot else None
    return {
        "name": candidate.label,
        "folder": str(candidate.folder),
        "hub": manifest.hub if manifest else candidate.hub,
        "repo": manifest.repo if manifest else candidate.repo,
        "revision": manifest.revision if manifest else candidate.revision,
        "commit": manifest.commit if manifest else candidate.commit,
        "snapshot": str(model.snapshot.folder) if model.snapshot else None,
        "new": model.is_new,
        "files": len(candidate.files),
        "files_in_store": model.files_in_store,
        "size_bytes": model.size_bytes,
    }


def _file(fate: Fate) -> dict[str, Any]:
    return {"path": str(fate.path), "size_bytes": fate.size_bytes}
