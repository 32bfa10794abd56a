"""A transfer as a state machine: lanes take, write, buffer, land, fail and race in any order, against a plain oracle.

The oracle keeps what is on disk byte by byte. The scheduler's own sizes are shrunk (see `SMALL`), so that every
situation fits into a few hundred bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelfetch.planning import scheduler as module
from modelfetch.planning.scheduler import Lease, Scheduler
from modelfetch.planning.spans import Span, SpanSet

SMALL = {"PIECE": 16, "LONGEST_LEASE": 64, "SMALLEST_SHARE": 8}
ENDPOINTS = ("a", "b", "c")
LANES = tuple((number, ENDPOINTS[number % 3]) for number in range(7))


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a piece be sixteen bytes."""
    for name, value in SMALL.items():
        monkeypatch.setattr(module, name, value)


def bytes_of(spans: SpanSet) -> set[int]:
    return {byte for span in spans for byte in range(span.start, span.stop)}


@dataclass
class File:
    """What the oracle knows of one file.

    `ignoring` endpoints send the whole file whatever range is asked for; of `found_out` ones that is known. `doubted`
    is what was last reopened.
    """

    size: int
    endpoints: set[str]
    ignoring: frozenset[str]
    done: set[int] = field(default_factory=set)
    found_out: set[str] = field(default_factory=set)
    doubted: Span | None = None

    @property
    def in_memory(self) -> bool:
        return self.size <= SMALL["PIECE"]


@dataclass
class Working:
    """A lane at work on a lease. `skips` tells that its answer is the whole file; `writing` bytes are on their way."""

    lease: Lease
    skips: bool = False
    writing: int = 0

    @property
    def held(self) -> set[int]:
        return set(range(self.lease.start if self.lease.whole else self.lease.position, self.lease.stop))

    @property
    def in_flight(self) -> set[int]:
        return set(range(self.lease.position, self.lease.position + self.writing))


class Transfer(RuleBasedStateMachine):
    """The rules are what a lane, a hasher and the engine may do; the invariants are the scheduler's own."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler()
        self.added = 0
        self.files: dict[str, File] = {}
        self.working: dict[int, Working] = {}
        self.now = 0.0

    # What the engine does.

    @initialize()
    def begin(self) -> None:
        self.now = 100.0

    @precondition(lambda self: len(self.files) < 2)
    @rule(
        size=st.sampled_from([5, 16, 17, 40, 64, 150]),
        endpoints=st.sampled_from([{"a"}, {"a", "b"}, {"b", "c"}, {"a", "b", "c"}]),
        ignoring=st.sets(st.sampled_from(ENDPOINTS), max_size=1),
        found=st.sets(st.integers(0, 31)),
    )
    def add(self, size: int, endpoints: set[str], ignoring: set[str], found: set[int]) -> None:
        key, file = f"file{self.added}", File(size, set(endpoints), frozenset(ignoring))
        self.added += 1
        if not file.in_memory:
            file.done = {byte for byte in range(size) if byte % 32 in found}
        self.files[key] = file
        self.scheduler.add(key, size, endpoints, SpanSet(Span(byte, byte + 1) for byte in file.done))

    @precondition(lambda self: any(len(file.endpoints) > 1 for file in self.files.values()))
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(key for key, file in self.files.items() if len(file.endpoints) > 1)))
        endpoint = data.draw(st.sampled_from(sorted(self.files[key].endpoints)))
        self.files[key].endpoints.discard(endpoint)
        assert self.scheduler.drop(key, endpoint)

    @precondition(lambda self: any(file.endpoints < set(ENDPOINTS) for file in self.files.values()))
    @rule(data=st.data())
    def readmit(self, data: st.DataObject) -> None:
        key = data.draw(
            st.sampled_from(sorted(key for key, file in self.files.items() if file.endpoints < set(ENDPOINTS)))
        )
        endpoint = data.draw(st.sampled_from(sorted(set(ENDPOINTS) - self.files[key].endpoints)))
        self.files[key].endpoints.add(endpoint)
        self.scheduler.readmit(key, endpoint)

    @precondition(lambda self: self.whole_on_disk())
    @rule(data=st.data())
    def reopen(self, data: st.DataObject) -> None:
        """The digest of a whole file is wrong: somebody's bytes are fetched again."""
        key = data.draw(st.sampled_from(self.whole_on_disk()))
        size = self.files[key].size
        start = data.draw(st.integers(0, size - 1))
        span = Span(start, data.draw(st.integers(start + 1, size)))
        self.scheduler.reopen(key, span)
        self.files[key].done -= set(range(span.start, span.stop))
        self.files[key].doubted = span
        assert not self.held(key), "a lease outlived the file's being whole"

    @precondition(lambda self: self.partly_on_disk())
    @rule(data=st.data())
    def reopen_in_the_middle(self, data: st.DataObject) -> None:
        """A piece is not as it is known to be, while others are on their way."""
        key = data.draw(st.sampled_from(self.partly_on_disk()))
        span = data.draw(st.sampled_from(self.scheduler.done(key).spans))
        start = data.draw(st.integers(span.start, span.stop - 1))
        span = Span(start, data.draw(st.integers(start + 1, span.stop)))
        self.scheduler.reopen(key, span)
        self.files[key].done -= set(range(span.start, span.stop))
        self.files[key].doubted = None
        assert self.held(key) == self.in_flight(key), "only what is being written is still held"

    @precondition(lambda self: any(file.doubted for file in self.files.values()))
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        """What was reopened is right after all, as far as nobody has fetched it again."""
        key = data.draw(st.sampled_from(sorted(key for key, file in self.files.items() if file.doubted)))
        file = self.files[key]
        assert file.doubted
        self.scheduler.restore(key, file.doubted)
        file.done |= set(range(file.doubted.start, file.doubted.stop))
        file.doubted = None

    @precondition(lambda self: any(self.scheduler.complete(key) for key in self.files))
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(key for key in self.files if self.scheduler.complete(key))))
        del self.files[key]
        self.scheduler.remove(key)

    @rule(seconds=st.sampled_from([0.1, 1.5, 20.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.files)
    @rule(stuck=st.sets(st.sampled_from([number for number, _ in LANES])), rounds=st.integers(1, 60))
    def go_on_without(self, stuck: set[int], rounds: int) -> None:
        """Some lanes stand still while the others work."""
        for _ in range(rounds):
            self.now += 0.5
            for lane in LANES:
                if lane[0] not in stuck:
                    self.step(lane)

    # What a lane does.

    @precondition(lambda self: len(self.working) < len(LANES))
    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        self.take_for(data.draw(st.sampled_from([lane for lane in LANES if lane[0] not in self.working])))

    @precondition(lambda self: self.files and len(self.working) < len(LANES))
    @rule()
    def all_idle_take(self) -> None:
        for lane in LANES:
            if lane[0] not in self.working:
                self.take_for(lane)

    @precondition(lambda self: self.busy(writing=False))
    @rule(data=st.data(), count=st.integers(1, 20), to_the_end=st.booleans())
    def begin_write(self, data: st.DataObject, count: int, to_the_end: bool) -> None:
        number = data.draw(st.sampled_from(self.busy(writing=False)))
        self.begin_write_for(number, self.working[number].lease.remaining + count - 1 if to_the_end else count)

    @precondition(lambda self: self.busy(writing=True))
    @rule(data=st.data())
    def advance(self, data: st.DataObject) -> None:
        self.advance_for(data.draw(st.sampled_from(self.busy(writing=True))))

    @precondition(lambda self: self.busy(whole=True))
    @rule(data=st.data(), count=st.integers(1, 16))
    def buffer(self, data: st.DataObject, count: int) -> None:
        lease = self.working[data.draw(st.sampled_from(self.busy(whole=True)))].lease
        self.scheduler.buffer(lease, min(count, lease.stop - lease.position), self.now)

    @precondition(lambda self: self.busy(whole=True))
    @rule(data=st.data())
    def land(self, data: st.DataObject) -> None:
        self.land_for(data.draw(st.sampled_from(self.busy(whole=True))))

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """The lane is through, or met a fault; what it was writing may have reached the disk or not."""
        self.release_for(data.draw(st.sampled_from(sorted(self.working))))

    # The steps, which `teardown` takes as well.

    def take_for(self, lane: tuple[int, str]) -> bool:
        number, endpoint = lane
        held_before = {(key, byte) for key in self.files for byte in self.held(key)}
        lease = self.scheduler.take(number, endpoint, self.now)
        if lease is None:
            return False
        file = self.files[lease.key]
        lent = set(range(lease.start, lease.stop))
        assert lent
        assert endpoint in file.endpoints
        assert lease.whole == file.in_memory
        assert not lent & file.done, "a byte that is done was lent"
        assert not lent & self.in_flight(lease.key), "a byte that is being written was lent"
        if file.in_memory:
            assert lent == set(range(file.size)), "a file of at most one piece was split"
        taken_over = {byte for key, byte in held_before if key == lease.key} & lent
        still_held = self.held(lease.key) & lent
        assert lease.racing == bool(still_held), "a byte was lent twice, and not in a race"
        assert lease.racing or taken_over <= lent - still_held
        others = [each.lease for each in self.working.values() if each.lease.key == lease.key]
        alone = all(other.endpoint != endpoint for other in others)
        assert alone or endpoint not in file.found_out, "an endpoint without ranges was asked twice at once"
        self.working[number] = Working(lease)
        if not file.in_memory and endpoint in file.ignoring and lent != set(range(file.size)):
            file.found_out.add(endpoint)
            self.working[number].skips = self.scheduler.without_ranges(lease)
            assert self.working[number].skips == (alone or lease.start == 0)
            if not self.working[number].skips:
                self.release_for(number)
        return True

    def begin_write_for(self, number: int, count: int) -> bool:
        at_work = self.working[number]
        lease, file = at_work.lease, self.files.get(at_work.lease.key)
        wanted = set(range(lease.position, lease.position + count))
        allowed = self.scheduler.begin_write(lease, count)
        if allowed:
            assert file is not None
            assert wanted <= set(range(file.size))
            assert not wanted & file.done, "a byte that is done was written again"
            assert not wanted & self.in_flight(lease.key), "two lanes write the same byte"
            assert wanted <= at_work.held, "a lane writes what it does not hold any more"
            at_work.writing = count
        return allowed

    def advance_for(self, number: int) -> None:
        at_work = self.working[number]
        lease, written = at_work.lease, at_work.in_flight
        new = self.scheduler.advance(lease, self.now)
        at_work.writing = 0
        assert lease.writing == 0
        if lease.key in self.files:
            assert new == len(written - self.files[lease.key].done)
            self.files[lease.key].done |= written
        if at_work.skips and not lease.remaining:
            self.scheduler.extend(lease)

    def land_for(self, number: int) -> None:
        lease = self.working[number].lease
        if lease.key in self.files:
            self.scheduler.land(lease, Span(0, lease.stop))
            self.files[lease.key].done |= set(range(lease.stop))
        self.release_for(number)

    def release_for(self, number: int) -> None:
        at_work = self.working.pop(number)
        needed = self.scheduler.is_needed(at_work.lease)
        file = self.files.get(at_work.lease.key)
        assert needed == bool(file and at_work.held - file.done)
        self.scheduler.release(at_work.lease, self.now)

    # What the oracle says.

    def busy(self, *, writing: bool = False, whole: bool = False) -> list[int]:
        """The lanes that write, or could; or those that fetch a whole file into memory."""
        return sorted(
            number
            for number, at_work in self.working.items()
            if at_work.lease.whole == whole and bool(at_work.writing) == writing
            if at_work.lease.stop > at_work.lease.position or writing or whole
        )

    def whole_on_disk(self) -> list[str]:
        return sorted(
            key for key, file in self.files.items() if not file.in_memory and self.scheduler.settled(key) == file.size
        )

    def partly_on_disk(self) -> list[str]:
        return sorted(key for key, file in self.files.items() if file.done and not file.in_memory)

    def held(self, key: str) -> set[int]:
        return set[int]().union(*(each.held for each in self.working.values() if each.lease.key == key))

    def in_flight(self, key: str) -> set[int]:
        return set[int]().union(*(each.in_flight for each in self.working.values() if each.lease.key == key))

    @invariant()
    def what_is_done_is_known(self) -> None:
        for key, file in self.files.items():
            assert bytes_of(self.scheduler.done(key)) == file.done
            assert self.scheduler.complete(key) == (len(file.done) == file.size)
            assert self.scheduler.endpoints(key) == file.endpoints

    @invariant()
    def no_byte_is_lent_to_two_leases_that_do_not_race(self) -> None:
        for key in self.files:
            seen: set[int] = set()
            for at_work in self.working.values():
                if at_work.lease.key == key and not at_work.lease.racing:
                    assert not seen & at_work.held
                    seen |= at_work.held

    @invariant()
    def every_byte_is_done_free_or_held(self) -> None:
        for key, file in self.files.items():
            free = bytes_of(self.scheduler._files[key].free)
            assert free | file.done | self.held(key) == set(range(file.size)), "bytes were lost"
            assert not free & (file.done | self.held(key) | self.in_flight(key)), "bytes are free that are not"

    @invariant()
    def settled_bytes_are_done_and_stay_as_they_are(self) -> None:
        for key, file in self.files.items():
            settled = set(range(self.scheduler.settled(key)))
            assert settled <= file.done
            assert not settled & self.in_flight(key)

    @invariant()
    def what_is_missing_of_a_lease_is_one_span(self) -> None:
        for at_work in self.working.values():
            if at_work.lease.key in self.files and (missing := at_work.held - self.files[at_work.lease.key].done):
                assert len(missing) == max(missing) + 1 - min(missing)

    @invariant()
    def a_lease_races_only_against_somebody(self) -> None:
        for number, at_work in self.working.items():
            if at_work.lease.racing and at_work.lease.key in self.files and at_work.held:
                others = [other for each, other in self.working.items() if each != number]
                rivals = [other for other in others if other.lease.key == at_work.lease.key]
                ended = not any(at_work.held & rival.held for rival in rivals)
                assert not ended or not self.scheduler.is_needed(at_work.lease) or self.just_ended(rivals)

    def just_ended(self, rivals: list[Working]) -> bool:
        """A rival that is through, and whose lane has not given its lease back yet."""
        return any(not rival.held for rival in rivals)

    def teardown(self) -> None:
        """Lanes that keep going bring every byte, whatever happened before."""
        for _ in range(400):
            if all(self.scheduler.complete(key) for key in self.files):
                return
            self.now += 0.5
            for lane in LANES:
                self.step(lane)
            self.what_is_done_is_known()
            self.every_byte_is_done_free_or_held()
            self.settled_bytes_are_done_and_stay_as_they_are()
        raise AssertionError(f"the lanes found nothing more to do: {self.files}")

    def step(self, lane: tuple[int, str]) -> None:
        """What a healthy lane does next."""
        number = lane[0]
        if number not in self.working:
            self.take_for(lane)
            return
        at_work = self.working[number]
        if at_work.writing:
            self.advance_for(number)
        elif not self.scheduler.is_needed(at_work.lease):
            self.release_for(number)
        elif at_work.lease.whole:
            self.land_for(number)
        elif not self.begin_write_for(number, min(3, at_work.lease.remaining)):
            self.release_for(number)
