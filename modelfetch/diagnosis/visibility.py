"""Which GPUs CUDA_VISIBLE_DEVICES leaves visible, read as the CUDA driver and torch read it. Pure.

- The list is read up to its first entry that is no GPU; what stands behind that one is passed over.
- An entry is a number, or the beginning of one UUID: of a GPU (`GPU-…`) or of a part that MIG made (`MIG-…`).
  Entries of another kind than the first are no GPUs.
- With an entry twice torch takes the list as empty.
- A UUID is believed where nobody says which there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_PREFIXES = ("GPU-", "MIG-")
# How drivers before 470 wrote a part: `MIG-GPU-<uuid>/1/0`.
_OLD_PART = "MIG-GPU-"


@dataclass(frozen=True)
class Visible:
    """`count` GPUs are visible; `stopped_at` is the first entry that is none of them, None where all are."""

    count: int
    stopped_at: str | None = None
    is_repeated: bool = False


def visible(variable: str, count: int, uuids: Iterable[str] = ()) -> Visible:
    """What this CUDA_VISIBLE_DEVICES shows of `count` GPUs, whose UUIDs and whose parts' UUIDs are `uuids`."""
    entries = [entry.strip() for entry in variable.split(",")]
    known = frozenset(uuids)
    kind = _kind(entries[0])
    taken: list[str] = []
    for entry in entries:
        if _kind(entry) != kind or not _is_there(entry, max(count, 1), known):
            return Visible(len(taken), entry)
        if entry in taken:
            return Visible(0, entry, is_repeated=True)
        taken.append(entry)
    return Visible(len(taken))


def numbers(variable: str | None, uuids: Sequence[str]) -> list[int | None]:
    """The number, among all GPUs, of each that is visible; None for one that is not listed. Parts have none.

    `uuids` has an empty text where one is not known; `variable` is None where nothing chooses.
    """
    if variable is None:
        return list(range(len(uuids)))
    shown = visible(variable, len(uuids), filter(None, uuids))
    return [_number(entry.strip(), uuids) for entry in variable.split(",")[: shown.count]]


def _number(entry: str, uuids: Sequence[str]) -> int | None:
    if entry.isdecimal():
        return int(entry) if int(entry) < len(uuids) else None
    return next((number for number, uuid in enumerate(uuids) if uuid.lower().startswith(entry.lower())), None)


def _kind(entry: str) -> str:
    return next((prefix for prefix in _PREFIXES if entry.startswith(prefix)), "")


def _is_there(entry: str, count: int, uuids: frozenset[str]) -> bool:
    if not _kind(entry):
        return entry.isdecimal() and int(entry) < count
    if not uuids or entry.startswith(_OLD_PART):
        return True
    # The beginning of two UUIDs is neither.
    return sum(uuid.lower().startswith(entry.lower()) for uuid in uuids) == 1
