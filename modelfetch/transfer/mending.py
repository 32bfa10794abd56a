"""Has pieces of a file fetched again that are not as they are known to be. Called by the board, under its lock.

Decides nothing: which bytes, and from whom, `planning.mending` says.
"""

from __future__ import annotations

from modelfetch.planning.mending import Refetch, found_bytes
from modelfetch.planning.scheduler import Scheduler
from modelfetch.planning.spans import Span
from modelfetch.transfer.active import ActiveFile


def mend_piece(scheduler: Scheduler, file: ActiveFile, piece: Span) -> Refetch | None:
    """Replace what may be wrong of `piece`; None when the file is from now on proven by its whole digest only."""
    key, benched = file.key, file.mending.benched
    refetch = file.mending.next(piece, scheduler.done(key), scheduler.senders(key), scheduler.endpoints(key))
    for endpoint in benched - file.mending.benched:
        scheduler.readmit(key, endpoint)
    for endpoint in file.mending.benched - benched:
        scheduler.drop(key, endpoint)
    if refetch is None:
        file.running.compare_no_more()
        return None
    _reopen(scheduler, file, refetch)
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
    _reopen(scheduler, file, refetch)
    return refetch


def _reopen(scheduler: Scheduler, file: ActiveFile, refetch: Refetch) -> None:
    for span in refetch.spans:
        scheduler.reopen(file.key, span)
        file.partial.forget(span)
