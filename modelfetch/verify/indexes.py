"""Holds an index of shards against the listing and the shards' own headers. Decides only.

- A shard that the repository does not have is an error, but where a single file of the same weights stands beside the
  index: that is what a loader takes.
- A shard that the pull left out is no damage of the disk; the model cannot be loaded without it, which is told.
- A tensor is in the shard that the map names. One that a shard has and the map does not is never loaded.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from modelfetch.verify.report import Problem, Severity

_SUFFIX = ".index.json"
_FORMATS = (".safetensors", ".bin")


@dataclass(frozen=True)
class IndexFlaw:
    """One thing that is wrong with an index, or cannot be used of it."""

    problem: Problem
    severity: Severity
    what: str


@dataclass(frozen=True)
class Surroundings:
    """What lies about an index: the paths of the listing, those that are here, and the tensors of each shard that
    could be opened.
    """

    listed: frozenset[str]
    present: frozenset[str]
    tensors: Mapping[str, frozenset[str]]


def is_index(path: str) -> bool:
    """Whether a loader finds shards by this file."""
    return path.endswith(tuple(weights + _SUFFIX for weights in _FORMATS))


def index_flaws(path: str, document: Any, around: Surroundings) -> Iterator[IndexFlaw]:
    """What is wrong with the index at `path`, whose content is `document`."""
    weight_map = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        yield IndexFlaw(Problem.BAD_JSON, Severity.ERROR, "an index without a weight_map")
        return
    placed: dict[str, set[str]] = {}
    for tensor, shard in weight_map.items():
        placed.setdefault(str(PurePosixPath(path).parent / shard), set()).add(tensor)
    single = path.removesuffix(_SUFFIX)
    for shard in filter(_shard_of(single).fullmatch, around.tensors):
        placed.setdefault(shard, set())
    for shard, tensors in sorted(placed.items()):
        if shard not in around.listed:
            severity = Severity.WARNING if single in around.listed else Severity.ERROR
            yield IndexFlaw(Problem.MISSING_SHARD, severity, f"`{shard}` is not in the repository")
        elif shard not in around.present:
            what = f"`{shard}` was not pulled: the model cannot be loaded without it"
            yield IndexFlaw(Problem.LEFT_OUT, Severity.WARNING, what)
        elif shard in around.tensors:
            yield from _shard_flaws(shard, tensors, around.tensors[shard], weight_map)


def _shard_of(single: str) -> re.Pattern[str]:
    """How the shards of the file `single` are called: `model-00001-of-00003.safetensors`."""
    stem, dot, suffix = single.rpartition(".")
    return re.compile(rf"{re.escape(stem)}-\d+-of-\d+{re.escape(dot + suffix)}")


def _shard_flaws(
    shard: str, placed: set[str], there: frozenset[str], weight_map: Mapping[str, Any]
) -> Iterator[IndexFlaw]:
    if lost := placed - there:
        yield IndexFlaw(Problem.WRONG_INDEX, Severity.ERROR, f"`{shard}` has not {_some(lost)}, which it places there")
    if unknown := [tensor for tensor in there if tensor not in weight_map]:
        what = f"it does not name {_some(unknown)} of `{shard}`: a loader leaves that out"
        yield IndexFlaw(Problem.WRONG_INDEX, Severity.WARNING, what)


def _some(tensors: Collection[str]) -> str:
    first = f"`{min(tensors)}`"
    return first if len(tensors) == 1 else f"{first} and {len(tensors) - 1} more tensors"
