"""What goes and what stays when a store is pruned, and why. Decides only: it is given a picture and the wishes.

- Nothing that a running pull works on or counts on goes, and no byte that a staying snapshot needs.
- A view in another tool's cache goes with its snapshot: a pull makes one by itself, and it is no reason to stay unless
  that is wished. What a process has open stays, by whatever name; so does what is in a folder of the user's.
- Snapshots go in the order of their last use, the longest ago first; none goes that fits in the budget after all.
- What was left over is work that was done, or evidence: each kind is left alone for a time of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from modelfetch.prune.picture import Kind, Leftover, Model, Picture
from modelfetch.store import Snapshot
from modelfetch.store.removal import Holdings, Item, payloads, reasons_to_stay
from modelfetch.units import format_bytes

_DAY_S = 24 * 60 * 60.0
# A pull that was cut off before a holiday is gone on with after it. The rest of a day is for whoever works right now
# and is not seen: a command of an older version, a process on another machine.
KEPT_FOR_S = {
    Kind.PARTIAL: 14 * _DAY_S,
    Kind.SCRATCH: 14 * _DAY_S,
    Kind.PULL: _DAY_S,
    Kind.TEMPORARY: _DAY_S,
    Kind.DAMAGED: _DAY_S,
    Kind.HINT: 0.0,
    Kind.ORPHAN: _DAY_S,
}
_WHY_GOES = {
    Kind.PULL: "its pull is dead",
    Kind.TEMPORARY: "whoever made it is gone",
    Kind.DAMAGED: "a repair set it aside",
    Kind.HINT: "what it is about is gone",
}
UNNAMED_BLOB_KEPT_FOR_S = _DAY_S


@dataclass(frozen=True)
class Wishes:
    """What the user asked for besides what always goes."""

    keep_within_s: float | None = None
    max_bytes: int | None = None
    keep_views: bool = False

    @property
    def chooses_models(self) -> bool:
        """Whether models may go at all."""
        return self.keep_within_s is not None or self.max_bytes is not None


@dataclass(frozen=True)
class Plan:
    """What goes and what stays, and how big the store is before and after; what is another tool's is not counted."""

    snapshots: tuple[Snapshot, ...]
    blobs: tuple[str, ...]
    leftovers: tuple[Leftover, ...]
    goes: tuple[Item, ...]
    stays: tuple[Item, ...]
    bytes_before: int
    bytes_after: int
    max_bytes: int | None = None

    @property
    def freed_bytes(self) -> int:
        return sum(item.size_bytes for item in self.goes)

    @property
    def over_bytes(self) -> int:
        """By how much the store will be bigger than was asked for."""
        return 0 if self.max_bytes is None else max(0, self.bytes_after - self.max_bytes)


def make_plan(picture: Picture, wishes: Wishes) -> Plan:
    """What a prune of this store comes to."""
    leftovers = {leftover.path: _why_left(leftover) for leftover in picture.leftovers}
    going = _chosen_models(picture, wishes, sum(_in_store(one) for one in picture.leftovers if leftovers[one.path]))
    blobs = _blob_reasons(picture, going)
    goes: list[Item] = []
    stays: list[Item] = []
    for number, model in enumerate(picture.models):
        why = going.get(number) or _why_model_stays(model, picture, wishes)
        item = Item("snapshot", model.snapshot.folder, 0, why, model.snapshot.name)
        (goes if number in going else stays).append(item)
        if number in going:
            goes += [
                Item(f"{place.kind} view", place.root, 0, "its model goes", item.model) for place in model.shown_in
            ]
    for sha256, blob in picture.blobs.items():
        reason = blobs.get(sha256)
        (stays if reason else goes).append(Item("blob", blob.path, blob.size_bytes, reason or "no snapshot needs it"))
    for leftover in picture.leftovers:
        reason = leftovers[leftover.path]
        item = Item(leftover.kind.value, leftover.path, leftover.size_bytes, reason or _why_goes(leftover))
        (stays if reason else goes).append(item)
    return Plan(
        tuple(picture.models[number].snapshot for number in going),
        tuple(sha256 for sha256 in picture.blobs if sha256 not in blobs),
        tuple(one for one in picture.leftovers if leftovers[one.path] is None),
        tuple(goes),
        tuple(stays),
        _store_bytes(picture, picture.blobs, picture.leftovers),
        _store_bytes(picture, blobs, [one for one in picture.leftovers if leftovers[one.path]]),
        wishes.max_bytes,
    )


def _chosen_models(picture: Picture, wishes: Wishes, leftover_bytes: int) -> dict[int, str]:
    """The models that go, by their position, each with why."""
    free = [number for number, model in enumerate(picture.models) if _why_model_is_held(model, picture, wishes) is None]
    # The longest ago first; of two that were used at once, the one that was pulled first, which is the later here.
    free.sort(key=lambda number: (picture.models[number].idle_s, number), reverse=True)
    going: dict[int, str] = {}
    if wishes.keep_within_s is not None:
        for number in free:
            idle_s = picture.models[number].idle_s
            if idle_s > wishes.keep_within_s:
                going[number] = f"not used for {_days(idle_s)}"
    if wishes.max_bytes is not None:
        space = _Space(picture, going, leftover_bytes)
        wanted = f"the store is to fit in {format_bytes(wishes.max_bytes)}"
        for number in space.shrink([number for number in free if number not in going], wishes.max_bytes):
            going[number] = f"last used {_days(picture.models[number].idle_s)} ago, and {wanted}"
    return going


class _Space:
    """How big the store is while models are taken out of it and put back."""

    def __init__(self, picture: Picture, going: Iterable[int], leftover_bytes: int) -> None:
        self._needs = [payloads([model.snapshot]).keys() & picture.blobs.keys() for model in picture.models]
        self._sizes = {sha256: blob.size_bytes for sha256, blob in picture.blobs.items()}
        gone = set(going)
        self._holders = Counter(
            sha256 for number, needs in enumerate(self._needs) if number not in gone for sha256 in needs
        )
        # What stays whoever needs it: with no snapshot left at all, it still has a reason.
        self._fixed = _blob_reasons(picture, range(len(picture.models))).keys()
        held = self._fixed | self._holders.keys()
        self.bytes = leftover_bytes + sum(self._sizes[sha256] for sha256 in held)

    def shrink(self, candidates: Sequence[int], max_bytes: int) -> list[int]:
        """Those of `candidates`, which are in the order of their last use, that go so that the rest has `max_bytes`.

        The most recently used stay, one after the other, as long as they fit; one that frees nothing always does.
        """
        taken = list(candidates)
        for number in taken:
            self._take(number)
        enough = max(max_bytes, self.bytes)
        for number in reversed(candidates):
            self._put_back(number)
            if self.bytes > enough:
                self._take(number)
            else:
                taken.remove(number)
        return taken

    def _take(self, number: int) -> None:
        for sha256 in self._needs[number]:
            self._holders[sha256] -= 1
            if not self._holders[sha256] and sha256 not in self._fixed:
                self.bytes -= self._sizes[sha256]

    def _put_back(self, number: int) -> None:
        for sha256 in self._needs[number]:
            if not self._holders[sha256] and sha256 not in self._fixed:
                self.bytes += self._sizes[sha256]
            self._holders[sha256] += 1


def _blob_reasons(picture: Picture, going: Container[int]) -> dict[str, str]:
    """The blobs that stay when the models at these positions go, and why."""
    staying = [model.snapshot for number, model in enumerate(picture.models) if number not in going]
    leaving = [model.snapshot for number, model in enumerate(picture.models) if number in going]
    foreign_links = {sha256: blob.foreign_links for sha256, blob in picture.blobs.items()}
    holdings = Holdings(staying, foreign_links, picture.unreadable_records, picture.needed)
    reasons = reasons_to_stay(picture.blobs, holdings)
    # Who needs it is told of what would have gone with a snapshot; of all the rest that would be a list of the store.
    kept, left = payloads(staying), payloads(leaving)
    reasons |= {sha256: "a snapshot that stays needs it" for sha256 in reasons if sha256 in kept and sha256 not in left}
    named = kept | left
    for sha256, blob in picture.blobs.items():
        if sha256 not in named and sha256 not in reasons and blob.age_s <= UNNAMED_BLOB_KEPT_FOR_S:
            reasons[sha256] = "no snapshot names it yet, and it came within the last day"
    return reasons


def _why_model_is_held(model: Model, picture: Picture, wishes: Wishes) -> str | None:
    """Why the model may not go at all."""
    if model.snapshot.plain:
        return "the files in a plain folder are yours"
    needs = payloads([model.snapshot])
    if users := {picture.needed[sha256] for sha256 in needs if sha256 in picture.needed}:
        return f"a pull that runs counts on its files: {', '.join(sorted(users))}"
    if users := {picture.opened[sha256] for sha256 in needs if sha256 in picture.opened}:
        return f"{', '.join(sorted(users))} has it open"
    if folders := [str(place.root) for place in model.shown_in if place.is_users_own]:
        return f"its files are yours in {', '.join(folders)}; modelfetch rm removes it from the store"
    if model.shown_in and wishes.keep_views:
        return f"still shown in {', '.join(str(place.root) for place in model.shown_in)}, which --keep-views keeps"
    return None


def _why_model_stays(model: Model, picture: Picture, wishes: Wishes) -> str:
    if held := _why_model_is_held(model, picture, wishes):
        return held
    if wishes.keep_within_s is not None:
        return f"used within {_days(wishes.keep_within_s)}"
    return "it fits" if wishes.max_bytes is not None else "nobody asked for it to go"


def _why_left(leftover: Leftover) -> str | None:
    """Why a leftover stays, None when it goes."""
    if leftover.user is not None:
        return f"in use: {leftover.user}"
    kept_for_s = KEPT_FOR_S[leftover.kind]
    if leftover.idle_s > kept_for_s or not kept_for_s:
        return None
    return f"touched within the last {_days(kept_for_s)}"


def _why_goes(leftover: Leftover) -> str:
    if leftover.kind in {Kind.PARTIAL, Kind.SCRATCH}:
        return f"its pull is dead, and nobody went on with it for {_days(leftover.idle_s)}"
    if leftover.kind is Kind.ORPHAN:
        return f"{leftover.note}; not touched for {_days(leftover.idle_s)}"
    return _WHY_GOES[leftover.kind]


def _store_bytes(picture: Picture, blobs: Iterable[str], leftovers: Iterable[Leftover]) -> int:
    return sum(picture.blobs[sha256].size_bytes for sha256 in blobs) + sum(map(_in_store, leftovers))


def _in_store(leftover: Leftover) -> int:
    """What it counts towards the store's size: an orphan is on somebody else's account."""
    return 0 if leftover.kind is Kind.ORPHAN else leftover.size_bytes


def _days(seconds: float) -> str:
    days = seconds / _DAY_S
    if seconds < 3600:
        return "less than an hour"
    if days < 2:
        return f"{seconds / 3600:.0f} hours"
    return f"{days:.0f} days"
