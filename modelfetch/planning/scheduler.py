"""Which bytes a lane fetches next.

The scheduler owns the spans of every file of a transfer and lends them out as leases. It is told of time, never looks
at it.

- Lowest bytes first, so that hashing follows close behind; a file of at most one piece is one lease and never split,
  and only so much of such files is on its way at once: they are in memory until they are whole.
- A lease is as long as its lane needs for about two seconds, and never more than its share of what is left.
- A lane that finds nothing free takes the back of the lease that would end last, so much of it that both end
  together (half, where it is not known who is faster); when that is too small to share, it races it, if the lease is
  late. What arrives first counts.
- No byte is lent twice but in a race; no byte is ever lent that is done; what a lane gives back is free at once.
- What is done, or being written by somebody, is nobody else's to write: what was hashed is what is on disk.
- A lane that races alone, because its rival gave up, is a lane like any other: it is helped as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from modelfetch.planning.spans import Span, SpanSet

# A piece is what an interruption may cost a lane, and the largest file that is fetched into memory as a whole.
PIECE = 4 << 20
LONGEST_LEASE = 64 << 20
# What may be in memory of files that are fetched as a whole, by all lanes together.
WHOLE_AT_ONCE = 16 * PIECE
LEASE_S = 2.0
# Sharing less than this costs more in a new request than it saves.
SMALLEST_SHARE = 1 << 20
STEAL_IF_LATER_THAN_S = 1.0
RACE_IF_LATER_THAN_S = 2.0
# A lane this many times slower than its endpoint's best is connected anew: content networks have edges eight times
# slower than their neighbours (xet-core issue 821).
SLOW_FACTOR = 4.0


@dataclass(eq=False)
class Lease:
    """The bytes of one file up to `stop`, lent to one lane. `stop` may move down while the lane works.

    `writing` bytes from `position` on are being written and are nobody else's to write or to read. Of a file that is
    fetched `whole`, into memory, nothing is done before everything is: its lease holds on to the bytes that came.
    """

    key: str
    endpoint: str
    lane: int
    start: int
    stop: int
    taken_at: float
    position: int = field(init=False)
    moved_at: float = field(init=False)
    whole: bool = False
    racing: bool = False
    writing: int = 0

    def __post_init__(self) -> None:
        self.position = self.start
        self.moved_at = self.taken_at

    @property
    def first(self) -> int:
        """The first byte that the lease still holds."""
        return self.start if self.whole else self.position

    @property
    def remaining(self) -> int:
        return max(0, self.stop - self.first)

    def overlaps(self, span: Span) -> bool:
        return self.first < span.stop and span.start < self.stop

    def eta(self, now: float) -> float:
        """Seconds until this lease would end, as far as one can tell; a lease without progress ends never."""
        if now - self.moved_at > RACE_IF_LATER_THAN_S:
            return float("inf")
        elapsed, moved = now - self.taken_at, self.position - self.start
        if not moved:
            return elapsed
        return (self.stop - self.position) * elapsed / moved


@dataclass
class _File:
    size: int
    endpoints: set[str]
    done: SpanSet
    free: SpanSet
    senders: dict[str, SpanSet] = field(default_factory=dict)
    rangeless: set[str] = field(default_factory=set)

    @property
    def whole(self) -> Span:
        return Span(0, self.size)

    @property
    def complete(self) -> bool:
        return len(self.done) == self.size


class Scheduler:
    """The spans of the files of one transfer. Not thread-safe: whoever shares it holds a lock."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._leases: list[Lease] = []
        self._rates: dict[tuple[str, int], float] = {}

    def add(self, key: str, size: int, endpoints: Iterable[str], done: SpanSet | None = None) -> None:
        """Take on the file `key` of `size` > 0 bytes, of which `done` are on disk already."""
        if size <= 0:
            raise ValueError("a file without bytes is not scheduled")
        file = _File(size, set(endpoints), SpanSet(done or ()), SpanSet())
        file.free = file.done.gaps(file.whole)
        self._files[key] = file

    def remove(self, key: str) -> None:
        """Forget the file: it is whole, or given up. Its leases end."""
        self._files.pop(key, None)
        for lease in self._leases:
            if lease.key == key:
                lease.stop = lease.first

    def take(self, lane: int, endpoint: str, now: float) -> Lease | None:
        """A lease for `lane`, or None when there is nothing for it now."""
        lease = self._take_free(lane, endpoint, now) or self._take_over(lane, endpoint, now)
        if lease:
            self._leases.append(lease)
        return lease

    def begin_write(self, lease: Lease, count: int) -> bool:
        """Whether the lane may write `count` bytes at its position: not what it does not hold any more, and not what
        is done or being written.
        """
        file = self._files.get(lease.key)
        span = Span(lease.position, lease.position + count)
        if file is None or span.stop > lease.stop or len(file.done.gaps(span)) != count:
            return False
        if any(other.writing for other in self._rivals(lease, span)):
            return False
        lease.writing = count
        return True

    def advance(self, lease: Lease, now: float) -> int:
        """What the lane began to write is on disk; returns how many of the bytes were new."""
        span = Span(lease.position, lease.position + lease.writing)
        self.buffer(lease, lease.writing, now)
        lease.writing = 0
        return self.land(lease, span)

    def settled(self, key: str) -> int:
        """How far the file is done from its start without anybody writing there: what may be hashed."""
        frontier = self._files[key].done.frontier()
        return min([frontier, *(lease.position for lease in self._leases if lease.key == key and lease.writing)])

    def buffer(self, lease: Lease, count: int, now: float) -> None:
        """`count` more bytes of the lease arrived and are kept in memory: progress, but nothing is done yet."""
        lease.position += count
        lease.moved_at = now

    def land(self, lease: Lease, span: Span) -> int:
        """The bytes of `span`, sent by the lease's endpoint, are on disk; returns how many of them were new."""
        file = self._files.get(lease.key)
        if file is None:
            return 0
        new = file.done.add(span)
        for sender, spans in file.senders.items():
            if sender != lease.endpoint:
                spans.discard(span)
        file.senders.setdefault(lease.endpoint, SpanSet()).add(span)
        return new

    def release(self, lease: Lease, now: float) -> None:
        """The lane is through with the lease, finished or not; what is missing of it is free again."""
        self._leases.remove(lease)
        moved, elapsed = lease.position - lease.start, now - lease.taken_at
        if moved and elapsed > 0:
            self._rates[lease.endpoint, lease.lane] = moved / elapsed
        for other in self._leases:
            if other.racing and other.remaining:
                other.racing = bool(self._rivals(other, Span(other.first, other.stop)))
        if lease.key in self._files:
            self._free_what_nobody_holds(lease.key)

    def reopen(self, key: str, span: Span) -> None:
        """The bytes of `span` are done, but wrong, and are to be fetched again.

        Every lease of the file ends, but for what is being written: one from a race may be of whoever sent them.
        """
        for lease in self._leases:
            if lease.key == key:
                lease.stop = lease.first + lease.writing
        self._files[key].done.discard(span)
        self._free_what_nobody_holds(key)

    def restore(self, key: str, span: Span) -> None:
        """What was reopened of `span` and not fetched since is done after all."""
        file = self._files[key]
        file.done.add(span)
        file.free.discard(span)

    def without_ranges(self, lease: Lease) -> bool:
        """The lease's endpoint sends this file only as a whole: from now on to one lane at a time, all it can take.

        Returns whether the lane may go on with the answer it has, skipping what comes before its position.
        """
        if file := self._files.get(lease.key):
            file.rangeless.add(lease.endpoint)
        others = [other for other in self._leases if other is not lease and other.endpoint == lease.endpoint]
        return lease.position == 0 or not any(other.key == lease.key for other in others)

    def extend(self, lease: Lease) -> None:
        """Move the lease's end to where the free bytes behind it end: its answer goes on, and asking anew costs
        more.
        """
        file = self._files.get(lease.key)
        gap = next((gap for gap in file.free if gap.start == lease.stop), None) if file else None
        if file and gap:
            file.free.discard(gap)
            lease.stop = gap.stop

    def drop(self, key: str, endpoint: str) -> bool:
        """`endpoint` does not serve the file any more; returns whether another one does."""
        file = self._files.get(key)
        if file is None:
            return True
        file.endpoints.discard(endpoint)
        return bool(file.endpoints)

    def readmit(self, key: str, endpoint: str) -> None:
        """`endpoint`, which was dropped, may serve the file again."""
        self._files[key].endpoints.add(endpoint)

    def is_needed(self, lease: Lease) -> bool:
        """Whether the rest of the lease is still wanted; a race may have brought it already."""
        file = self._files.get(lease.key)
        return bool(file and lease.remaining and file.done.gaps(Span(lease.first, lease.stop)))

    def beaten(self, winner: Lease, span: Span) -> list[Lease]:
        """The leases of others that are not needed any more, now that `winner` has brought `span`.

        Not one that is at its end: its lane is about to use its connection for another.
        """
        return [rival for rival in self._rivals(winner, span) if rival.remaining and not self.is_needed(rival)]

    def is_slow(self, lane: int, endpoint: str) -> bool:
        """Whether the lane was much slower than the best lane of its endpoint."""
        rate = self._rates.get((endpoint, lane))
        best = max((other for (name, _), other in self._rates.items() if name == endpoint), default=0.0)
        return rate is not None and rate * SLOW_FACTOR < best

    def leases(self) -> tuple[Lease, ...]:
        return tuple(self._leases)

    def complete(self, key: str) -> bool:
        return self._files[key].complete

    def done(self, key: str) -> SpanSet:
        """A copy of what is on disk of the file."""
        return SpanSet(self._files[key].done)

    def senders(self, key: str) -> dict[str, SpanSet]:
        """Which endpoint sent which bytes of the file in this run."""
        return dict(self._files[key].senders)

    def endpoints(self, key: str) -> frozenset[str]:
        return frozenset(self._files[key].endpoints)

    def width(self, endpoint: str, most: int) -> int:
        """How many lanes could find something to do at `endpoint`: one for every piece that is not done, and `most` at
        most.
        """
        width = 0
        for file in self._files.values():
            if width >= most:
                return most
            if endpoint in file.endpoints:
                width += -(-(file.size - len(file.done)) // PIECE)
        return min(width, most)

    def small(self, endpoint: str, most: int) -> int:
        """How many files `endpoint` has left that are one lease each; `most` at most."""
        found = (file for file in self._files.values() if file.size <= PIECE and endpoint in file.endpoints)
        return sum(1 for _ in islice(found, most))

    def __bool__(self) -> bool:
        """Whether any file is left."""
        return bool(self._files)

    def _take_free(self, lane: int, endpoint: str, now: float) -> Lease | None:
        room = WHOLE_AT_ONCE - self._whole_bytes()
        for key, file in self._files.items():
            if endpoint not in file.endpoints or room < file.size <= PIECE:
                continue
            gap = next(iter(file.free), None)
            if gap is None or (endpoint in file.rangeless and self._is_busy(key, endpoint)):
                continue
            stop = min(gap.stop, gap.start + self._lease_size(lane, endpoint, file))
            if gap.stop - stop < SMALLEST_SHARE:
                stop = gap.stop
            file.free.discard(Span(gap.start, stop))
            return Lease(key, endpoint, lane, gap.start, stop, now, whole=file.size <= PIECE)
        return None

    def _lease_size(self, lane: int, endpoint: str, file: _File) -> int:
        if endpoint in file.rangeless:
            return file.size
        rate = self._rates.get((endpoint, lane), 2.0 * PIECE / LEASE_S)
        share = len(file.free) // (2 * (len(self._leases) + 1)) + 1
        size = min(max(PIECE, int(rate * LEASE_S)), max(PIECE, share), LONGEST_LEASE)
        return -(-size // PIECE) * PIECE

    def _take_over(self, lane: int, endpoint: str, now: float) -> Lease | None:
        """Part of somebody else's lease: the back of it, or the whole rest of it in a race."""
        room = WHOLE_AT_ONCE - self._whole_bytes()
        candidates = [
            lease
            for lease in self._leases
            if self.is_needed(lease)
            and not (lease.whole and lease.remaining > room)
            and not self._rivals(lease, Span(lease.first, lease.stop))
            and endpoint in self._files[lease.key].endpoints
            and endpoint not in self._files[lease.key].rangeless
        ]
        for victim in sorted(candidates, key=lambda lease: (self._eta(lease, now), lease.remaining), reverse=True):
            eta, missing = self._eta(victim, now), self._not_begun(victim)
            if missing is None:
                continue
            if eta > STEAL_IF_LATER_THAN_S and not victim.whole and len(missing) >= 2 * SMALLEST_SHARE:
                victim.stop = missing.start + self._kept(victim, len(missing), lane, endpoint, now)
                return Lease(victim.key, endpoint, lane, victim.stop, missing.stop, now)
            if self._would_win(victim, lane, endpoint, eta):
                start, stop = missing.start, missing.stop
                return Lease(victim.key, endpoint, lane, start, stop, now, whole=victim.whole, racing=True)
        return None

    def _whole_bytes(self) -> int:
        return sum(self._files[lease.key].size for lease in self._leases if lease.whole and lease.key in self._files)

    def _eta(self, lease: Lease, now: float) -> float:
        """The lease's own, or, before anything came of it, what is to be expected of its lane."""
        eta, rate = lease.eta(now), self._rates.get((lease.endpoint, lease.lane))
        return eta if rate is None or lease.position > lease.start else max(eta, lease.remaining / rate)

    def _kept(self, victim: Lease, rest: int, lane: int, endpoint: str, now: float) -> int:
        """How much of its `rest` the victim keeps when `lane` comes to help."""
        moved, elapsed = victim.position - victim.start, now - victim.taken_at
        before = self._rates.get((victim.endpoint, victim.lane), 0.0)
        victims = max(before, moved / elapsed) if elapsed > 0 else before
        helpers = self._rates.get((endpoint, lane), victims)
        kept = int(rest * victims / (victims + helpers)) if victims + helpers else rest // 2
        return min(max(kept, SMALLEST_SHARE), rest - SMALLEST_SHARE)

    def _not_begun(self, lease: Lease) -> Span | None:
        """What of the lease somebody else could bring: not being written, and not brought by an earlier racer."""
        begin = lease.first + lease.writing
        if begin >= lease.stop:
            return None
        return next(iter(self._files[lease.key].done.gaps(Span(begin, lease.stop))), None)

    def _is_busy(self, key: str, endpoint: str) -> bool:
        return any(lease.key == key and lease.endpoint == endpoint for lease in self._leases)

    def _would_win(self, victim: Lease, lane: int, endpoint: str, eta: float) -> bool:
        """Whether a race is worth its bytes: the victim is late, and stands still or is much slower than this lane
        was.
        """
        if eta <= RACE_IF_LATER_THAN_S:
            return False
        rate = self._rates.get((endpoint, lane))
        return eta == float("inf") or (rate is not None and victim.remaining / rate < eta / 2)

    def _rivals(self, lease: Lease, span: Span) -> list[Lease]:
        """Who else holds bytes of `span`, in a race with `lease`."""
        return [
            other for other in self._leases if other is not lease and other.key == lease.key and other.overlaps(span)
        ]

    def _free_what_nobody_holds(self, key: str) -> None:
        file = self._files[key]
        file.free = file.done.gaps(file.whole)
        for lease in self._leases:
            if lease.key == key and lease.remaining:
                file.free.discard(Span(lease.first, lease.stop))
