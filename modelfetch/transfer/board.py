"""What all threads of a transfer share, behind one lock: the scheduler, the health of the sources, the open files.

Decides nothing itself: it asks `planning`, and does what follows while holding the lock only for the asking.

- `fail` ends the transfer; the first failure is the one that is raised.
- An answer that denies access ends the transfer, whoever else has the file.
"""

from __future__ import annotations

import errno
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from modelfetch import events
from modelfetch.errors import ModelfetchError
from modelfetch.manifest import Digests
from modelfetch.planning.health import Health
from modelfetch.planning.pace import Pace
from modelfetch.planning.retry import Action, Decision, Fault, Kind
from modelfetch.planning.scheduler import Lease, Scheduler
from modelfetch.planning.spans import Span, SpanSet
from modelfetch.planning.suspects import UNKNOWN
from modelfetch.transfer.active import ActiveFile
from modelfetch.transfer.failures import access_refused, mismatch, no_source_left
from modelfetch.transfer.job import Job, Source
from modelfetch.transfer.mending import compare_with_list, mend_piece, mend_unreadable, replace_suspect

# How far the frontier moves before hashing follows: small enough to stay in the page cache, large enough to be worth
# a wake-up.
HASH_STEP = 2 << 20
_WAIT_S = 0.25


class Abortable(Protocol):
    """A lane, as far as the board knows it."""

    number: int
    endpoint: str
    brings: bool

    def abort(self) -> None:
        """Give up what it waits for."""


class Board:
    """The shared state of one transfer."""

    def __init__(self, listener: events.Listener, pace: Pace | None) -> None:
        self.listener = listener
        self.jobs: dict[str, Job] = {}
        self.digests: dict[str, Digests] = {}
        self.bytes_by_endpoint: dict[str, int] = {}
        self.wrong_senders: dict[str, tuple[str, ...]] = {}
        self.health = Health()
        self._pace = pace
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._hashable = threading.Condition(self._lock)
        self._stopped = threading.Event()
        self._scheduler = Scheduler()
        self._files: dict[str, ActiveFile] = {}
        self._links: dict[tuple[str, str], str] = {}
        self._to_hash: deque[ActiveFile] = deque()
        self._lanes: dict[int, Abortable] = {}
        self._misbehaved: set[str] = set()
        self._failure: BaseException | None = None

    # What the engine does.

    def add(self, job: Job, active: ActiveFile | None = None) -> None:
        """Take on a file; one without a partial is fetched into memory as a whole."""
        key, endpoints = job.entry.path, [source.endpoint for source in job.sources]
        with self._changed:
            self.jobs[key] = job
            done = active.partial.found if active else None
            self._scheduler.add(key, job.entry.size, endpoints, done)
            if active:
                self._files[key] = active
                self._follow_with_hashing(active)
            self._changed.notify_all()

    def files(self) -> list[ActiveFile]:
        with self._lock:
            return list(self._files.values())

    def done(self, key: str) -> SpanSet | None:
        """What is on disk of an active file; None when it is not active any more."""
        with self._lock:
            return self._scheduler.done(key) if key in self._files else None

    def is_busy(self) -> bool:
        """Whether any file is left."""
        with self._lock:
            return bool(self._scheduler) or bool(self._files)

    def demand(self, endpoint: str, most: int) -> tuple[int, int]:
        """How many lanes the endpoint could use, and how many small files it has left; `most` at most."""
        with self._lock:
            return self._scheduler.width(endpoint, most), self._scheduler.small(endpoint, most)

    def lanes(self, endpoint: str) -> int:
        with self._lock:
            return sum(lane.endpoint == endpoint for lane in self._lanes.values())

    def bringing(self, endpoint: str) -> int:
        """How many of the endpoint's lanes have brought any bytes."""
        with self._lock:
            return sum(lane.brings for lane in self._lanes.values() if lane.endpoint == endpoint)

    def wait(self, timeout_s: float) -> None:
        """Wait for a change, and raise the failure if there is one."""
        with self._changed:
            self._changed.wait(timeout_s)
            if self._failure:
                raise self._failure

    def rest(self, seconds: float) -> None:
        """Wait for `seconds`, or until the transfer ends."""
        self._stopped.wait(seconds)

    def fail(self, error: BaseException) -> None:
        """End the transfer."""
        with self._changed:
            self._failure = self._failure or error
        self.stop()

    def stop(self) -> None:
        """Tell every thread to end, and wake those that wait."""
        with self._changed:
            self._stopped.set()
            lanes = list(self._lanes.values())
            self._changed.notify_all()
            self._hashable.notify_all()
        for lane in lanes:
            lane.abort()

    @property
    def is_stopping(self) -> bool:
        return self._stopped.is_set()

    # What a lane does.

    def joined(self, lane: Abortable) -> None:
        with self._lock:
            self._lanes[lane.number] = lane

    def left(self, lane: Abortable) -> None:
        with self._lock:
            self._lanes.pop(lane.number, None)

    def next_lease(self, lane: Abortable, limit: int) -> Lease | None:
        """Wait for something to fetch; None when the lane should end: all is done, or its endpoint has lanes to
        spare.
        """
        with self._changed:
            while not self.is_stopping:
                if self.lanes(lane.endpoint) > limit:
                    return None
                now = time.monotonic()
                pause_s = self.health.pause_s(lane.endpoint, now)
                lease = None if pause_s else self._scheduler.take(lane.number, lane.endpoint, now)
                if lease:
                    return lease
                self._changed.wait(min(pause_s, _WAIT_S) or _WAIT_S)
            return None

    def file(self, key: str) -> ActiveFile | None:
        with self._lock:
            return self._files.get(key)

    def link(self, lease: Lease) -> str | None:
        """Where the hub redirected to for this file, as long as that works."""
        return self._links.get((lease.key, lease.endpoint))

    def keep_link(self, lease: Lease, url: str | None) -> None:
        with self._lock:
            if url:
                self._links[lease.key, lease.endpoint] = url
            else:
                self._links.pop((lease.key, lease.endpoint), None)

    def pace(self, count: int) -> None:
        """Account for `count` bytes that came in, and wait where they came too fast."""
        if self._pace is None:
            return
        with self._lock:
            until = time.monotonic() + self._pace.take(count, time.monotonic())
        while not self.is_stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _WAIT_S))

    def buffered(self, lease: Lease, count: int) -> None:
        """Bytes of a file in memory came. Not progress yet: a fault makes it begin again."""
        with self._lock:
            self._scheduler.buffer(lease, count, time.monotonic())

    def begin_write(self, lease: Lease, count: int) -> bool:
        """Whether the lane may write `count` bytes at its position. It must then call `written`, or end the
        transfer.
        """
        with self._lock:
            return not self.is_stopping and self._scheduler.begin_write(lease, count)

    def written(self, lease: Lease, *, differs: bool) -> bool:
        """What the lane began to write is written; returns whether it should go on.

        `differs` tells that it replaced other bytes, of a sender who was in doubt.
        """
        with self._changed:
            file = self._files[lease.key]
            span = Span(lease.position, lease.position + lease.writing)
            new = self._scheduler.advance(lease, time.monotonic())
            self.health.progressed(lease.endpoint, lease.key, len(span))
            self.bytes_by_endpoint[lease.endpoint] = self.bytes_by_endpoint.get(lease.endpoint, 0) + len(span)
            # Under the lock, so that the journal's lines are in the order in which the scheduler learned of the bytes.
            file.partial.note(span)
            touched = span
            if differs and file.doubted:
                self._stop_doubting(file)
                touched = Span(0, file.job.entry.size)
            elif file.doubted:
                file.suspects.alike(span)
            self._follow_with_hashing(file)
            beaten = self._beaten(lease, touched)
            go_on = self._scheduler.is_needed(lease)
        for lane in beaten:
            lane.abort()
        self.listener(events.Progress(lease.endpoint, lease.key, new))
        return go_on

    def landed(self, lease: Lease, digests: Digests) -> None:
        """A file in memory was published."""
        key, size = lease.key, self.jobs[lease.key].entry.size
        with self._changed:
            if key in self.digests:
                return
            self.bytes_by_endpoint[lease.endpoint] = self.bytes_by_endpoint.get(lease.endpoint, 0) + size
            self._scheduler.land(lease, Span(0, size))
            beaten = self._beaten(lease, Span(0, size))
        for lane in beaten:
            lane.abort()
        self.listener(events.Progress(lease.endpoint, key, size))
        self.finished(key, digests)

    def release(self, lease: Lease) -> None:
        with self._changed:
            self._scheduler.release(lease, time.monotonic())
            self._changed.notify_all()

    def is_needed(self, lease: Lease) -> bool:
        with self._lock:
            return not self.is_stopping and self._scheduler.is_needed(lease)

    def is_slow(self, lane: Abortable) -> bool:
        with self._lock:
            return self._scheduler.is_slow(lane.number, lane.endpoint)

    def without_ranges(self, lease: Lease) -> bool:
        with self._lock:
            return self._scheduler.without_ranges(lease)

    def extend(self, lease: Lease) -> None:
        with self._lock:
            self._scheduler.extend(lease)

    def failed(self, lease: Lease, fault: Fault) -> Decision:
        """A lease could not be fetched; returns what is done about it."""
        with self._changed:
            if fault.kind is Kind.DIGEST:
                self._misbehaved.add(lease.endpoint)
            decision = self.health.failed(
                lease.endpoint,
                lease.key,
                fault,
                began=lease.taken_at,
                now=time.monotonic(),
                jitter=random.random(),  # noqa: S311 - spreads waits, hides nothing
            )
            error = self._giving_up(lease, fault) if decision.action is Action.GIVE_UP else None
        self.listener(events.Fault(lease.endpoint, lease.key, str(fault), decision.action.value, decision.wait_s))
        if error:
            self.fail(error)
        return decision

    # What a hasher does.

    def next_to_hash(self) -> tuple[ActiveFile, int] | None:
        """A file whose frontier moved, and the frontier; None when all is over."""
        with self._hashable:
            while not self.is_stopping:
                if self._to_hash:
                    file = self._to_hash.popleft()
                    return file, self._scheduler.settled(file.key)
                self._hashable.wait()
            return None

    def hashed(self, file: ActiveFile) -> bool:
        """The file was hashed as far as its frontier was; returns whether it is whole."""
        with self._changed:
            if file.running.position == file.job.entry.size:
                return True
            file.is_queued = False
            self._follow_with_hashing(file)
            return False

    def sources(self, file: ActiveFile) -> list[Source]:
        """Who was not given up for the file, wrong bytes aside."""
        with self._lock:
            here = self._scheduler.endpoints(file.key) | file.mending.benched | file.suspects.benched
            return [source for source in file.job.sources if source.endpoint in here]

    def mismatched(self, file: ActiveFile, digests: Digests) -> None:
        """The whole does not have its digest: look for the wrong pieces, replace a suspect's bytes, or give up."""
        with self._changed:
            is_compared = compare_with_list(file)
            replacement = None if is_compared else replace_suspect(self._scheduler, file, self._misbehaved)
            if is_compared or replacement:
                self._go_on_hashing(file)
        if replacement:
            self._tell_lost(file.key, replacement.spans, replacement.suspect)
        elif not is_compared:
            file.partial.forget(Span(0, file.job.entry.size))
            self.fail(mismatch(file.job.entry, digests, [source.endpoint for source in file.job.sources]))

    def piece_differs(self, file: ActiveFile, piece: Span) -> None:
        """A piece is not as it is known to be: have it fetched again, or go by the whole digest."""
        with self._changed:
            refetch = mend_piece(self._scheduler, file, piece)
            self._go_on_hashing(file)
        if refetch:
            self._tell_lost(file.key, refetch.spans, ", ".join(sorted(refetch.blamed)))

    def unreadable(self, file: ActiveFile, error: OSError) -> None:
        """The disk did not give bytes back: have those fetched again that this run did not write.

        Raises:
            OSError: `error`, where that does not help.
        """
        with self._changed:
            refetch = mend_unreadable(self._scheduler, file) if error.errno == errno.EIO else None
            if refetch is None:
                raise error
            self._go_on_hashing(file)
        self._tell_lost(file.key, refetch.spans, UNKNOWN)

    def finished(self, key: str, digests: Digests) -> None:
        """The file is published."""
        with self._changed:
            file = self._files.pop(key, None)
            if file and file.wrong_senders:
                self.wrong_senders[key] = file.wrong_senders
                self._misbehaved.update(file.wrong_senders)
            self._scheduler.remove(key)
            self.digests[key] = digests
            self._changed.notify_all()
        self.listener(events.FileDone(key, self.jobs[key].entry.size, reused=False))

    def _tell_lost(self, key: str, spans: Sequence[Span], sender: str) -> None:
        self.listener(events.Lost(key, sum(len(span) for span in spans)))
        self.listener(events.Fault(sender or "an earlier run", key, Kind.DIGEST.value, "its bytes are fetched again"))

    def _stop_doubting(self, file: ActiveFile) -> None:
        """A wrong piece was found: take the others for right until the digest says otherwise, the first time."""
        if file.suspects.found():
            for span in file.doubted:
                self._scheduler.restore(file.key, span)
                file.partial.note(span)
        file.doubted = SpanSet()

    def _go_on_hashing(self, file: ActiveFile) -> None:
        file.is_queued = False
        self._follow_with_hashing(file)
        self._changed.notify_all()

    def _follow_with_hashing(self, file: ActiveFile) -> None:
        settled = self._scheduler.settled(file.key)
        if not file.is_queued and (settled - file.running.position >= HASH_STEP or settled == file.job.entry.size):
            file.is_queued = True
            self._to_hash.append(file)
            self._hashable.notify()

    def _beaten(self, winner: Lease, span: Span) -> list[Abortable]:
        """The lanes whose leases somebody else has brought meanwhile."""
        leases = self._scheduler.beaten(winner, span)
        return [self._lanes[lease.lane] for lease in leases if lease.lane in self._lanes]

    def _giving_up(self, lease: Lease, fault: Fault) -> ModelfetchError | None:
        """The error that ends the transfer when the lease's endpoint is given up for its file, None when others go
        on.
        """
        if fault.status in {401, 403} and not fault.redirected:
            return access_refused(lease.endpoint, lease.key, fault)
        if self._scheduler.drop(lease.key, lease.endpoint):
            return None
        return no_source_left(lease.key, self.health.last.get(lease.key, {}))
