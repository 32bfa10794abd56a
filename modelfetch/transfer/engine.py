"""Runs a transfer: starts lanes, hashers, the syncer and the beater, hands out files, and ends them all.

- Only so many partials are open at a time; small files need none and are all on offer from the start.
- The most promising endpoint begins a moment before the others, so that what is little comes from it alone.
- A partial that another process works on is waited for visibly: it is there one day, or its owner is dead.
- However a transfer ends, what it fetched stays in its partials. An interruption is not waited for longer than half a
  second.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from modelfetch import events
from modelfetch.config import DEFAULT_CONNECTIONS
from modelfetch.diskfaults import fault as disk_fault
from modelfetch.errors import StoreError
from modelfetch.http.network import Network
from modelfetch.limits import no_thread, refused
from modelfetch.manifest import Digests
from modelfetch.planning.lanes import START, LaneBudget
from modelfetch.planning.pace import Pace
from modelfetch.planning.scheduler import PIECE
from modelfetch.transfer.active import ActiveFile
from modelfetch.transfer.asking import ask_for_pieces
from modelfetch.transfer.board import Board
from modelfetch.transfer.failures import no_such_emptiness
from modelfetch.transfer.hashing import digests_of, matches, new_buffer
from modelfetch.transfer.job import Job, Landing, Options, Report
from modelfetch.transfer.lane import Lane
from modelfetch.transfer.owner import BEAT_EVERY_S, Claim, Watch, claim
from modelfetch.transfer.partial import Partial, resumable_bytes, take_over

OPEN_PARTIALS = 8
TICK_S = 0.1
# Long enough to take on a few small files before a slower endpoint does, too short to be missed.
HEAD_START_S = 0.1
ASK_OWNER_EVERY_S = 0.5
SYNC_EVERY_S = 1.0
LEAVE_WITHIN_S = 0.5
# Where the system allows no more threads, it is asked again this often.
ASK_SYSTEM_EVERY_S = 5.0
# One hasher keeps up with about 10 Gbit/s; files that end together want more.
MOST_HASHERS = 4
# The syncer, the beater and a hasher: no file is brought without them.
_FEWEST_HELPERS = 3


def transfer(
    jobs: Sequence[Job], *, landing: Landing, network: Network, options: Options, listener: events.Listener
) -> Report:
    """Bring every job's file and hand each to `landing`, verified.

    Raises:
        NoSourceError, NotFoundError, AccessError, DigestMismatchError: a file cannot be had; see the class.
        DiskFullError, StoreError: the disk refuses.
        KeyboardInterrupt: passed on, with everything stopped and kept.
    """
    engine = _Engine(jobs, landing, network, options, listener)
    try:
        return engine.run()
    finally:
        engine.close()


class _Engine:
    def __init__(
        self, jobs: Sequence[Job], landing: Landing, network: Network, options: Options, listener: events.Listener
    ) -> None:
        self._landing = landing
        self._network = network
        self._options = options
        self._listener = listener
        pace = Pace(options.limit_rate, time.monotonic()) if options.limit_rate else None
        self._board = Board(listener, pace)
        self._small = [job for job in jobs if job.entry.size <= PIECE]
        self._pending = deque(job for job in jobs if job.entry.size > PIECE)
        self._waiting: deque[Job] = deque()
        self._ask_owners_at = 0.0
        self._watch = Watch()
        self._lanes: list[Lane] = []
        self._helpers: list[threading.Thread] = []
        self._resumed_bytes = 0
        endpoints = dict.fromkeys(source.endpoint for job in jobs for source in job.sources)
        self._budgets = {name: LaneBudget(self._cap(name), options.begin.get(name, START)) for name in endpoints}
        self._first = next((name for name in options.begin if name in endpoints), None)
        self._others_begin_at = time.monotonic() + (HEAD_START_S if self._first else 0.0)
        self._limits = {endpoint: budget.limit for endpoint, budget in self._budgets.items()}
        self._throttled: dict[str, int] = {}
        self._no_lane_before = 0.0

    def run(self) -> Report:
        for job in self._small:
            self._begin_small(job)
        self._start_helpers()
        while self._pending or self._waiting or self._board.is_busy():
            self._open_partials()
            self._steer_lanes()
            self._board.wait(TICK_S)
        return Report(
            dict(self._board.bytes_by_endpoint),
            dict(self._board.health.failures),
            dict(self._board.digests),
            self._resumed_bytes,
            dict(self._board.wrong_senders),
        )

    def close(self) -> None:
        """Stop every thread; close the partials that are left, once no thread may still write to them."""
        self._board.stop()
        deadline = time.monotonic() + LEAVE_WITHIN_S
        threads = [lane.thread for lane in self._lanes] + self._helpers
        # An interruption may come between a thread's making and its start, and what was not started cannot be joined.
        threads = [thread for thread in threads if thread.is_alive()]
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            threading.Thread(target=self._give_up, args=[threads], name="closer", daemon=True).start()
        else:
            self._give_up(threads)

    def _give_up(self, threads: Sequence[threading.Thread]) -> None:
        """Close and release what is left, for the next transfer: of this process, too, which would wait for itself."""
        for thread in threads:
            thread.join()
        for file in self._board.files():
            file.partial.close()
            file.partial.claim.release()

    def _cap(self, endpoint: str) -> int:
        return self._options.connections or self._options.caps.get(endpoint, DEFAULT_CONNECTIONS)

    def _begin_small(self, job: Job) -> None:
        if job.entry.size:
            self._board.add(job)
            return
        digests = digests_of(job.entry, b"")
        self._board.jobs[job.entry.path] = job
        if matches(job.entry, digests):
            self._landing.publish_bytes(job.entry, b"", digests)
            self._board.finished(job.entry.path, digests)
        else:
            raise no_such_emptiness(job.entry, digests, [source.endpoint for source in job.sources])

    def _start_helpers(self) -> None:
        if not self._pending:
            return
        hashers = {f"hasher {number}": self._hash for number in range(min(MOST_HASHERS, os.cpu_count() or 1))}
        for name, work in {"syncer": self._sync, "beater": self._beat, **hashers}.items():
            thread = threading.Thread(target=work, name=name, daemon=True)
            self._helpers.append(thread)
            try:
                thread.start()
            except RuntimeError as error:
                self._helpers.pop()
                if not no_thread(error) or len(self._helpers) < _FEWEST_HELPERS:
                    raise
                return

    def _open_partials(self) -> None:
        while self._pending and len(self._board.files()) < OPEN_PARTIALS:
            job = self._pending.popleft()
            if not self._open(job):
                self._waiting.append(job)
        if self._waiting and time.monotonic() >= self._ask_owners_at:
            self._ask_owners_at = time.monotonic() + ASK_OWNER_EVERY_S
            for _ in range(len(self._waiting)):
                job = self._waiting.popleft()
                if not self._has_arrived(job) and not self._open(job, announce=False):
                    self._waiting.append(job)

    def _open(self, job: Job, *, announce: bool = True) -> bool:
        """Claim and open the job's partial; False when somebody else owns it."""
        folder = self._landing.partial(job.entry)
        try:
            owner = claim(folder, self._watch)
            if not isinstance(owner, Claim):
                if announce and owner.pid != os.getpid():
                    self._listener(events.Waiting(job.entry.path, str(owner)))
                return False
            try:
                if self._has_arrived(job):
                    owner.release()
                    return True
                partial = self._open_partial(job, folder, owner)
            except BaseException:
                owner.release()  # or this process, which lives, would be waited for: by its own next transfer, too
                raise
        except OSError as error:
            raise disk_fault(error, folder, "written") from error
        self._resumed_bytes += len(partial.found)
        self._board.add(job, ActiveFile(job, partial, self._landing.pieces(job.entry)))
        return True

    def _open_partial(self, job: Job, folder: Path, owner: Claim) -> Partial:
        """The partial, or what is left of a damaged copy in its place: only the pieces that are wrong are fetched."""
        salvaged = self._landing.salvage(job.entry, beyond=resumable_bytes(folder, job.entry.size))
        if salvaged is not None:
            take_over(salvaged, folder, job.entry.size)
        partial = Partial(folder, job.entry.size, owner)
        if salvaged is not None:
            self._listener(events.Salvaged(job.entry.path, len(partial.found)))
        return partial

    def _has_arrived(self, job: Job) -> bool:
        """Whether somebody else has published the file meanwhile."""
        digests = self._landing.find(job.entry)
        if digests is None:
            return False
        self._board.jobs[job.entry.path] = job
        self._board.finished(job.entry.path, digests)
        return True

    def _steer_lanes(self) -> None:
        """Measure every endpoint, and start the lanes it may have and can use."""
        now = time.monotonic()
        for endpoint, budget in self._budgets.items():
            if now < self._others_begin_at and endpoint != self._first:
                continue
            running = self._board.lanes(endpoint)
            received = self._board.bytes_by_endpoint.get(endpoint, 0)
            budget.observe(received, running, self._board.bringing(endpoint), now)
            if (times := self._board.health.throttled.get(endpoint, 0)) > self._throttled.get(endpoint, 0):
                self._throttled[endpoint] = times
                budget.throttled(now)
            width, small = self._board.demand(endpoint, budget.cap)
            self._limits[endpoint] = budget.lanes(small, now)
            for _ in range(min(self._limits[endpoint], width) - running):
                if now >= self._no_lane_before:
                    self._start_lane(endpoint)

    def _start_lane(self, endpoint: str) -> None:
        """Start a lane. Where the system allows no more of them, those that run do the work, and it is asked later."""
        lane = None
        try:
            lane = Lane(
                len(self._lanes),
                endpoint,
                board=self._board,
                landing=self._landing,
                network=self._network,
                limit=lambda: self._limits[endpoint],
            )
            self._lanes.append(lane)
            self._board.joined(lane)
            lane.thread.start()
        except (RuntimeError, OSError, MemoryError) as error:
            if lane:
                self._board.left(lane)
                self._lanes.remove(lane)
            if not refused(error) or not any(other.thread.is_alive() for other in self._lanes):
                raise
            self._no_lane_before = time.monotonic() + ASK_SYSTEM_EVERY_S

    def _hash(self) -> None:
        buffer = new_buffer()
        try:
            while work := self._board.next_to_hash():
                file, frontier = work
                try:
                    wrong = file.running.catch_up(file.partial, frontier, buffer)
                except OSError as error:
                    self._board.unreadable(file, error)
                    continue
                if wrong:
                    self._board.piece_differs(file, wrong)
                elif self._board.hashed(file):
                    self._finish(file, file.running.digests())
        except OSError as error:
            self._board.fail(disk_fault(error, file.partial.data, "read"))
        except Exception as error:  # noqa: BLE001 - the thread's edge: the transfer ends with this error
            self._board.fail(error)

    def _finish(self, file: ActiveFile, digests: Digests) -> None:
        if not matches(file.job.entry, digests):
            if file.lists is None:
                file.lists = ask_for_pieces(file.job.entry, self._board.sources(file), self._network)
            self._board.mismatched(file, digests)
            return
        # Closed before it gets its name: nobody holds a descriptor that can write to what is published.
        file.partial.close()
        self._landing.publish(file.job.entry, file.partial.data, digests, file.running.pieces())
        file.partial.discard()
        self._board.finished(file.key, digests)

    def _sync(self) -> None:
        """Make what was written durable."""
        try:
            while not self._board.is_stopping:
                for file in self._board.files():
                    if (done := self._board.done(file.key)) is not None:
                        file.partial.sync(done)
                self._board.rest(SYNC_EVERY_S)
        except OSError as error:
            self._board.fail(disk_fault(error, file.partial.data, "written"))
        except Exception as error:  # noqa: BLE001 - the thread's edge: the transfer ends with this error
            self._board.fail(error)

    def _beat(self) -> None:
        """Show that we live; not while syncing, which takes longer on a slow disk than others wait for a sign."""
        try:
            while not self._board.is_stopping:
                for file in self._board.files():
                    if not file.partial.claim.beat():
                        raise StoreError(f"another process took `{file.partial.folder}` over", hint="run it again")
                self._board.rest(BEAT_EVERY_S)
        except Exception as error:  # noqa: BLE001 - the thread's edge: the transfer ends with this error
            self._board.fail(error)
