"""Takes files into the store with every core, and says of each what became of it.

- One file that cannot be taken, or that holds other bytes than it is said to, stops no other one.
- Only the store's own disk does: when it is full, or may not be written to.
- An interruption ends every reader within a block; what was taken until then stays taken.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from modelfetch.adopt.report import Fate, State
from modelfetch.adopt.work import Item
from modelfetch.store import Store
from modelfetch.store.adopting import Hears, NotTaken, Obstacle, Source, Taken, take_in
from modelfetch.store.links import Method

_WAKE_EVERY_S = 0.2
_WHY = {
    Obstacle.UNREADABLE: "it cannot be read",
    Obstacle.CHANGED: "it was written to meanwhile",
}


class _StoppedError(Exception):
    """Nobody waits for this any more."""


@dataclass(frozen=True)
class Taking:
    """Where files are taken, who is told of a blob before it is there, and who hears of bytes. Both from any thread."""

    store: Store
    announce: Callable[[str], object]
    advanced: Callable[[Path, int], None]


def take_all(taking: Taking, groups: Sequence[tuple[Item, ...]], jobs: int) -> list[Fate]:
    """Take one file of each group, `jobs` at a time.

    Raises:
        DiskFullError: there is no room for a copy.
        StoreError: the store cannot be written to.
    """
    stop = threading.Event()

    def read(path: Path, count: int) -> None:
        if stop.is_set():
            raise _StoppedError
        taking.advanced(path, count)

    stoppable = replace(taking, advanced=read)
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="adopt") as pool:
        try:
            futures = [pool.submit(_take_one_of, stoppable, group) for group in groups]
            return [fate for future in futures for fate in _result(future)]
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _result(future: Future[list[Fate]]) -> list[Fate]:
    while True:
        # A signal that another thread caught is heard of only when this one wakes up.
        done, _ = wait([future], timeout=_WAKE_EVERY_S)
        if done:
            return future.result()


def _take_one_of(taking: Taking, group: tuple[Item, ...]) -> list[Fate]:
    fates = []
    for number, item in enumerate(group):
        fate = _take(taking, item)
        fates.append(fate)
        if fate.digests is not None:
            others = (other.found for other in group[number + 1 :])
            state = _state(item, None)
            return [*fates, *(Fate(other.file, other.size, state, fate.digests) for other in others)]
    return fates


def _take(taking: Taking, item: Item) -> Fate:
    file, size = item.found.file, item.found.size
    if not item.methods:
        return Fate(file, size, State.LEFT, why=item.why_not)
    source = Source(file, item.found.status, item.claim)
    hears = Hears(taking.announce, advanced=lambda count: taking.advanced(file, count))
    outcome = take_in(taking.store, source, item.methods, hears)
    if isinstance(outcome, Taken):
        return Fate(file, size, _state(item, outcome.method), outcome.digests)
    return _not_taken(item, outcome)


def _state(item: Item, method: Method | None) -> State:
    if method is None:
        # Of a file that people edit each place has a copy of its own, which is as it should be.
        return State.HERE if item.is_edited else State.REPEATED
    return State.COPIED if method is Method.COPY else State.LINKED


def _not_taken(item: Item, outcome: NotTaken) -> Fate:
    file, size = item.found.file, item.found.size
    if outcome.obstacle is Obstacle.OTHER_BYTES:
        return Fate(file, size, State.DAMAGED, expected=outcome.expected, got=outcome.got)
    why = _WHY.get(outcome.obstacle, item.why_not)
    return Fate(file, size, State.LEFT, why=f"{why}: {outcome.got}" if outcome.got else why)
