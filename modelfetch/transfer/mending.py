"""Has bytes of a file fetched again that are wrong, or may be. Called by the board, under its lock.

Decides nothing: which bytes, and from whom, `planning.mending` says where the pieces are known, and `planning.suspects`
where they are not.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from modelfetch.planning.mending import Mending, Refetch, found_bytes
from modelfetch.planning.scheduler import Scheduler
from modelfetch.planning.spans import Span, SpanSet
from modelfetch.planning.suspects import Replacement
from modelfetch.transfer.active import ActiveFile
from modelfetch.transfer.hashing import RunningDigest


def mend_piece(scheduler: Scheduler, file: ActiveFile, piece: Span) -> Refetch | None:
    """Replace what may be wrong of `piece`; None when the file is from now on proven by its whole digest only."""
    key, benched = file.key, file.mending.benched
    refetch = file.mending.next(piece, scheduler.done(key), scheduler.senders(key), scheduler.endpoints(key))
    _bench(scheduler, key, before=benched, now=file.mending.benched)
    if refetch is None:
        file.running.compare_no_more()
        return None
    _reopen(scheduler, file, refetch.spans)
    return refetch


def mend_unreadable(scheduler: Scheduler, file: ActiveFile) -> Refetch | None:
    """Replace what was found and is not proven; None where there is nothing of that.

    Bytes that a disk does not give back are given another sector when they are written anew.
    """
    behind = Span(file.running.proven, file.job.entry.size)
    found = found_bytes(behind, scheduler.done(file.key), scheduler.senders(file.key))
    if not found:
        return None
    file.running.rewind()
    refetch = Refetch(found.spans)
    _reopen(scheduler, file, refetch.spans)
    return refetch


def compare_with_list(file: ActiveFile) -> bool:
    """Hold the pieces of a file that is wrong to the next list of them that came; False when none is left."""
    if not file.lists:
        return False
    file.running = RunningDigest(file.job.entry, file.lists.pop(0))
    file.mending = Mending(file.mending.benched)
    return True


def replace_suspect(scheduler: Scheduler, file: ActiveFile, misbehaved: Container[str]) -> Replacement | None:
    """Replace the next suspect's bytes of a file that is wrong; None when all was tried."""
    key, benched = file.key, file.suspects.benched
    senders, endpoints = scheduler.senders(key), scheduler.endpoints(key)
    replacement = file.suspects.next(Span(0, file.job.entry.size), senders, endpoints, misbehaved)
    if replacement is None:
        return None
    file.running = RunningDigest(file.job.entry)
    file.doubted = SpanSet(replacement.spans) if replacement.compares else SpanSet()
    _bench(scheduler, key, before=benched, now=replacement.benched)
    _reopen(scheduler, file, replacement.spans)
    return replacement


def _bench(scheduler: Scheduler, key: str, *, before: frozenset[str], now: frozenset[str]) -> None:
    for endpoint in before - now:
        scheduler.readmit(key, endpoint)
    for endpoint in now - before:
        scheduler.drop(key, endpoint)


def _reopen(scheduler: Scheduler, file: ActiveFile, spans: Iterable[Span]) -> None:
    for span in spans:
        scheduler.reopen(file.key, span)
        file.partial.forget(span)
