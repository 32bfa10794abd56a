"""Holds an index of shards, or the parts of a GGUF, against the listing and the shards' own headers. Decides only.

- A shard that the repository does not have is an error, but where a single file of the same weights stands beside the
  index: that is what a loader takes.
- A shard that the pull left out, or that nobody has told of, is no damage of the disk; the model cannot be loaded
  without it, which is told.
- The parts of a GGUF have no index: each one's name says how many there are.
- A tensor is in the shard that the map names. One that a shard has and the map does not is never loaded.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from modelfetch.verification.report import Problem, Severity

_SUFFIX = ".index.json"
_FORMATS = (".safetensors", ".bin")
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
# The largest models come in less than a hundred. A name is anybody's, and may say any number.
_MOST_PARTS = 1000


@dataclass(frozen=True)
class IndexFlaw:
    """One thing that is wrong with an index, or cannot be used of it."""

    problem: Problem
    severity: Severity
    what: str


@dataclass(frozen=True)
class Surroundings:
    """What lies about an index: the paths of the listing, those that are here, and the tensors of each shard that
    could be opened. `whole_listing` is false where the repository may have more than what is listed.
    """

    listed: frozenset[str]
    present: frozenset[str]
    tensors: Mapping[str, frozenset[str]] = field(default_factory=dict)
    whole_listing: bool = True


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
        if shard not in around.present:
            yield _absent(shard, around, has_single=single in around.listed)
        elif shard in around.tensors:
            yield from _shard_flaws(shard, tensors, around.tensors[shard], weight_map)


def part_flaws(path: str, around: Surroundings) -> Iterator[IndexFlaw]:
    """Which parts of the GGUF at `path` are not here; said by the first part that is."""
    name = _PART.fullmatch(path)
    if name is None or not 1 <= int(name["number"]) <= int(name["count"]) <= _MOST_PARTS:
        return
    parts = [f"{name['stem']}-{number:05}-of-{name['count']}.gguf" for number in range(1, int(name["count"]) + 1)]
    if path == next(part for part in parts if part in around.present):
        yield from (_absent(part, around, has_single=False) for part in parts if part not in around.present)


def _absent(shard: str, around: Surroundings, *, has_single: bool) -> IndexFlaw:
    if shard in around.listed:
        what = f"`{shard}` was not pulled: the model cannot be loaded without it"
        return IndexFlaw(Problem.LEFT_OUT, Severity.WARNING, what)
    if not around.whole_listing:
        what = f"`{shard}` is not here: the model cannot be loaded without it"
        return IndexFlaw(Problem.LEFT_OUT, Severity.WARNING, what)
    severity = Severity.WARNING if has_single else Severity.ERROR
    return IndexFlaw(Problem.MISSING_SHARD, severity, f"`{shard}` is not in the repository")


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
