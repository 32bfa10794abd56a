"""Opens what has the right bytes: can it work at all? Cheap checks only: headers, indexes, JSON; no tensor is read.

- A safetensors file's header is JSON whose offsets lie one after another and end where the file ends.
- An index names shards that the repository has; those that a pull left out are told, not blamed.
- Pickled weights can run code when they are loaded: they are named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from modelfetch.manifest import Entry
from modelfetch.store import Snapshot
from modelfetch.verify.report import Finding, Problem, Severity

# The format's own limit for a header; every real one is far below.
_LONGEST_HEADER_BYTES = 100_000_000
# Tokenizers of large vocabularies come to a tenth of this.
_LONGEST_JSON_BYTES = 256 << 20
_PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})
# A pickle of protocol 2 or later, and the zip archive that torch puts one into.
_PICKLE_STARTS = (b"\x80", b"PK\x03\x04")


def check_contents(snapshot: Snapshot, entries: Iterator[Entry]) -> Iterator[Finding]:
    """Findings about `entries` of the snapshot, whose bytes are known to be right."""
    for entry in entries:
        check = _check_for(entry.path)
        if check is None:
            continue
        try:
            yield from check(snapshot, entry)
        except OSError as error:
            yield _finding(snapshot, entry, Problem.UNREADABLE, error.strerror or str(error))


def _check_for(path: str) -> Callable[[Snapshot, Entry], Iterator[Finding]] | None:
    suffix = PurePosixPath(path).suffix
    if suffix == ".safetensors":
        return _check_safetensors
    if path.endswith(".safetensors.index.json"):
        return _check_index
    if suffix in _PICKLE_SUFFIXES:
        return _check_pickle
    # Loaders read the JSON at the top; below it repositories keep data of any kind under that name.
    return _check_json if suffix == ".json" and "/" not in path else None


def safetensors_problem(header: bytes, declared: int, size: int) -> str | None:
    """Why a safetensors file of `size` bytes with this header, `declared` bytes long, cannot be read, or None."""
    if declared > _LONGEST_HEADER_BYTES or 8 + declared > size:
        return f"a header of {declared} bytes in a file of {size}"
    try:
        tensors = json.loads(header)
        spans = sorted(tuple(tensor["data_offsets"]) for name, tensor in tensors.items() if name != "__metadata__")
        end = 0
        for start, stop in spans:
            if start != end or stop < start:
                return f"a tensor at {start}..{stop} where {end} was expected"
            end = stop
    except (ValueError, KeyError, TypeError, AttributeError):
        return "a header that is not a table of tensors"
    return None if 8 + declared + end == size else f"tensors end at {8 + declared + end} in a file of {size} bytes"


def _check_safetensors(snapshot: Snapshot, entry: Entry) -> Iterator[Finding]:
    with snapshot.file(entry.path).open("rb") as file:
        declared = int.from_bytes(file.read(8), "little")
        header = file.read(min(declared, _LONGEST_HEADER_BYTES))
    if problem := safetensors_problem(header, declared, entry.size):
        yield _finding(snapshot, entry, Problem.BAD_SAFETENSORS, problem)


def _check_index(snapshot: Snapshot, entry: Entry) -> Iterator[Finding]:
    document = _json(snapshot.file(entry.path), entry)
    weight_map = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        yield _finding(snapshot, entry, Problem.BAD_JSON, "an index without a weight_map")
        return
    listed = {listed_entry.path for listed_entry in snapshot.manifest.entries}
    folder = PurePosixPath(entry.path).parent
    for shard in sorted(set(weight_map.values())):
        path = str(folder / shard)
        if path not in listed:
            yield _finding(snapshot, entry, Problem.MISSING_SHARD, f"`{path}` is not in the repository")
        elif path not in snapshot.paths:
            yield _finding(snapshot, entry, Problem.LEFT_OUT, f"`{path}` was not pulled", Severity.INFO)


def _check_json(snapshot: Snapshot, entry: Entry) -> Iterator[Finding]:
    if entry.size <= _LONGEST_JSON_BYTES and _json(snapshot.file(entry.path), entry) is None:
        yield _finding(snapshot, entry, Problem.BAD_JSON, "does not parse", Severity.WARNING)


def _check_pickle(snapshot: Snapshot, entry: Entry) -> Iterator[Finding]:
    with snapshot.file(entry.path).open("rb") as file:
        start = file.read(4)
    if start.startswith(_PICKLE_STARTS):
        yield _finding(snapshot, entry, Problem.PICKLE, "can run code when it is loaded", Severity.INFO)


def _json(path: Path, entry: Entry) -> Any:
    """The document, None when it is none. (A file that holds `null` counts as none: nothing reads such a file.)"""
    if entry.size > _LONGEST_JSON_BYTES:
        return None
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None


def _finding(
    snapshot: Snapshot, entry: Entry, problem: Problem, got: str, severity: Severity = Severity.ERROR
) -> Finding:
    return Finding(snapshot.manifest.repo, entry.path, problem, severity, got=got)
