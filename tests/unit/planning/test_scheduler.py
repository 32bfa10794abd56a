"""Which bytes a lane fetches next: the rules one by one, and all of them over any interleaving."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from modelfetch.planning.scheduler import LONGEST_LEASE, PIECE, SMALLEST_SHARE, WHOLE_AT_ONCE, Lease, Scheduler
from modelfetch.planning.spans import Span, SpanSet
from tests.unit.planning.scheduler_machine import Transfer, shrink

KEY = "model.safetensors"
LARGE = 64 * PIECE
LATE = 1000.0


def holding(size: int, *endpoints: str, done: tuple[Span, ...] = ()) -> Scheduler:
    scheduler = Scheduler()
    scheduler.add(KEY, size, endpoints or ("a",), SpanSet(done))
    return scheduler


def take(scheduler: Scheduler, lane: int, now: float = 0.0, endpoint: str = "a") -> Lease:
    lease = scheduler.take(lane, endpoint, now)
    assert lease is not None
    return lease


def write(scheduler: Scheduler, lease: Lease, count: int, now: float = 0.0) -> int:
    """Write as a lane does; returns how many bytes were new, -1 where it was not allowed."""
    return scheduler.advance(lease, now) if scheduler.begin_write(lease, count) else -1


def with_rates(size: int, *bytes_per_s: float) -> Scheduler:
    """A file of which nothing is lent, and lanes 0, 1, … that brought another one before, each at its rate."""
    scheduler = Scheduler()
    for lane, rate in enumerate(bytes_per_s):
        scheduler.add("earlier", PIECE, ["a"])
        lease = take(scheduler, lane, -PIECE / rate)
        scheduler.buffer(lease, PIECE, 0.0)
        scheduler.release(lease, 0.0)
        scheduler.remove("earlier")
    scheduler.add(KEY, size, ["a"])
    return scheduler


def span_of(lease: Lease) -> Span:
    return Span(lease.start, lease.stop)


def test_the_rules_hold_whatever_lanes_do_in_whatever_order(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)
    run_state_machine_as_test(
        Transfer,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def test_lowest_bytes_are_lent_first() -> None:
    scheduler = holding(LARGE, done=(Span(0, 10), Span(30, 40)))
    assert take(scheduler, 0).start == 10
    assert take(scheduler, 1).start == 40


def test_files_are_begun_in_the_order_in_which_they_came() -> None:
    scheduler = holding(100)
    scheduler.add("later", 100, ["a"])
    assert [take(scheduler, lane).key for lane in (0, 1)] == [KEY, "later"]


def test_an_endpoint_is_not_asked_for_a_file_that_it_does_not_serve() -> None:
    scheduler = holding(100, "a")
    scheduler.add("elsewhere", 100, ["b"])
    assert take(scheduler, 0, endpoint="b").key == "elsewhere"
    assert scheduler.take(1, "c", 0.0) is None


def test_a_file_of_one_piece_is_one_lease() -> None:
    scheduler = holding(PIECE)
    assert span_of(take(scheduler, 0)) == Span(0, PIECE)
    assert scheduler.take(1, "a", 0.1) is None


def test_a_file_of_one_piece_is_raced_as_a_whole() -> None:
    scheduler = holding(PIECE)
    scheduler.buffer(take(scheduler, 0), PIECE - 1, 0.0)
    racer = take(scheduler, 1, LATE)
    assert racer.racing
    assert span_of(racer) == Span(0, PIECE)


def test_only_so_much_of_files_in_memory_is_lent_at_once() -> None:
    scheduler = Scheduler()
    most = WHOLE_AT_ONCE // PIECE
    for number in range(most + 1):
        scheduler.add(f"{number}", PIECE, ["a"])
    leases = [take(scheduler, lane) for lane in range(most)]
    assert scheduler.take(most, "a", 0.0) is None
    assert scheduler.take(most, "a", LATE) is None  # nor for a race
    scheduler.add("large", 9 * PIECE, ["a"])
    assert take(scheduler, most).key == "large"
    scheduler.land(leases[0], Span(0, PIECE))
    scheduler.remove(leases[0].key)
    assert take(scheduler, most + 1).key == f"{most}"


def test_a_file_in_memory_is_needed_until_it_has_landed() -> None:
    scheduler = holding(100)
    lease = take(scheduler, 0)
    scheduler.buffer(lease, 100, 0.0)
    assert scheduler.is_needed(lease)
    assert scheduler.land(lease, Span(0, 100)) == 100
    assert not scheduler.is_needed(lease)


def test_a_file_in_memory_is_not_lent_in_parts_when_one_of_two_racers_gives_up() -> None:
    scheduler = holding(PIECE)
    late = take(scheduler, 0)
    racer = take(scheduler, 1, LATE)
    scheduler.buffer(racer, PIECE // 2, LATE)
    scheduler.release(late, LATE)
    assert scheduler.take(2, "a", LATE) is None


@pytest.mark.parametrize(
    ("bytes_per_s", "expected"),
    [
        (PIECE / 8, PIECE),
        (3 * PIECE, 6 * PIECE),
        (PIECE * 1.2, 3 * PIECE),
        (100 * LONGEST_LEASE, LONGEST_LEASE),
    ],
)
def test_a_lease_is_as_long_as_its_lane_needs_for_two_seconds(bytes_per_s: float, expected: int) -> None:
    scheduler = holding(1000 * PIECE)
    first = take(scheduler, 0)
    write(scheduler, first, PIECE // 2)
    scheduler.release(first, PIECE / 2 / bytes_per_s)
    lease = take(scheduler, 0, 100.0)
    assert lease.stop - lease.start == expected


def test_a_lease_is_never_more_than_its_share_of_what_is_left() -> None:
    scheduler = holding(16 * PIECE)
    first = take(scheduler, 0)
    write(scheduler, first, PIECE)
    scheduler.release(first, 0.0001)
    left = 15 * PIECE
    lease = take(scheduler, 0)
    assert lease.stop - lease.start <= left // 2 + PIECE


def test_a_rest_that_is_too_small_for_a_request_of_its_own_goes_with_the_lease() -> None:
    scheduler = holding(PIECE + SMALLEST_SHARE - 1)
    assert span_of(take(scheduler, 0)) == Span(0, PIECE + SMALLEST_SHARE - 1)


def test_an_idle_lane_takes_half_of_the_lease_that_would_end_last_where_nothing_is_known_of_it() -> None:
    scheduler = holding(3 * PIECE)
    slow, fast = take(scheduler, 0), take(scheduler, 1)
    assert (slow.stop, fast.stop) == (2 * PIECE, 3 * PIECE)
    write(scheduler, slow, PIECE // 8, 1.5)
    write(scheduler, fast, PIECE // 4, 1.5)
    taken = take(scheduler, 2, 1.5)
    assert not taken.racing
    middle = PIECE // 8 + (2 * PIECE - PIECE // 8) // 2
    assert (slow.stop, span_of(taken)) == (middle, Span(middle, 2 * PIECE))


@pytest.mark.parametrize(("times_as_fast", "kept"), [(1, PIECE), (3, PIECE // 2), (1000, SMALLEST_SHARE)])
def test_an_idle_lane_takes_so_much_that_both_end_together(times_as_fast: int, kept: int) -> None:
    scheduler = with_rates(2 * PIECE, PIECE, times_as_fast * PIECE)
    slow, helper = take(scheduler, 0), take(scheduler, 1)
    assert (span_of(slow), span_of(helper)) == (Span(0, kept), Span(kept, 2 * PIECE))


def test_a_lane_that_became_faster_keeps_more() -> None:
    scheduler = with_rates(2 * PIECE, PIECE, PIECE)
    victim = take(scheduler, 0)
    write(scheduler, victim, PIECE // 4, 1 / 6)
    take(scheduler, 1, 1 / 6)
    rest = 2 * PIECE - PIECE // 4
    assert victim.stop - PIECE // 4 == pytest.approx(rest * 1.5 / 2.5)


def test_what_a_slow_lane_has_just_begun_is_helped_at_once() -> None:
    scheduler = with_rates(PIECE + 1, PIECE / 2)
    take(scheduler, 0)
    assert scheduler.take(1, "a", 0.0) is not None


def test_a_lease_that_ends_soon_is_left_alone() -> None:
    scheduler = holding(2 * PIECE)
    write(scheduler, take(scheduler, 0), PIECE + PIECE // 2, 1.5)
    assert scheduler.take(1, "a", 1.5) is None


def test_a_lease_that_nothing_came_of_yet_is_left_alone_for_a_second() -> None:
    scheduler = holding(2 * PIECE)
    take(scheduler, 0)
    assert scheduler.take(1, "a", 0.9) is None
    assert scheduler.take(1, "a", 1.1) is not None


def test_bytes_that_are_being_written_are_not_taken_over() -> None:
    scheduler = holding(2 * PIECE)
    victim = take(scheduler, 0)
    assert scheduler.begin_write(victim, PIECE + PIECE // 2)
    taken = take(scheduler, 1, LATE)
    assert taken.start >= PIECE + PIECE // 2
    assert scheduler.advance(victim, LATE) == PIECE + PIECE // 2


def test_a_late_lease_too_small_to_share_is_raced() -> None:
    scheduler = holding(2 * PIECE)
    victim = take(scheduler, 0)
    write(scheduler, victim, 2 * PIECE - 2 * SMALLEST_SHARE + 1)
    racer = take(scheduler, 1, LATE)
    assert racer.racing
    assert span_of(racer) == Span(victim.position, victim.stop)
    assert scheduler.take(2, "a", LATE) is None, "one racer is enough"


def test_a_lease_that_moves_is_raced_only_by_a_lane_that_was_twice_as_fast_and_not_when_it_ends_soon() -> None:
    def with_rate(bytes_per_s: float, now: float = 100.0) -> Lease | None:
        scheduler = holding(2 * PIECE)
        scheduler.add("small", SMALLEST_SHARE, ["b"])
        known = take(scheduler, 1, endpoint="b")
        scheduler.buffer(known, SMALLEST_SHARE, 0.0)
        scheduler.release(known, SMALLEST_SHARE / bytes_per_s)
        scheduler.remove("small")
        scheduler.readmit(KEY, "b")
        victim = take(scheduler, 0)
        done = 2 * PIECE - SMALLEST_SHARE
        write(scheduler, victim, done, now)
        assert victim.eta(now) == pytest.approx(now * SMALLEST_SHARE / done)
        return scheduler.take(1, "b", now)

    would_take_14_s = SMALLEST_SHARE * (2 * PIECE - SMALLEST_SHARE) / (100.0 * SMALLEST_SHARE)
    assert with_rate(1.5 * would_take_14_s) is None
    racer = with_rate(2.5 * would_take_14_s)
    assert racer is not None
    assert racer.racing
    assert with_rate(1e12, 10.0) is None


def test_the_late_lane_may_give_up_before_the_winner_of_the_race_is_through() -> None:
    scheduler = holding(PIECE + SMALLEST_SHARE, done=(Span(0, PIECE),))
    late = take(scheduler, 0)
    racer = take(scheduler, 1, LATE)
    assert write(scheduler, racer, racer.remaining, LATE) == SMALLEST_SHARE
    scheduler.release(late, LATE)
    scheduler.release(racer, LATE)
    assert scheduler.complete(KEY)


def test_what_arrives_first_in_a_race_counts_and_is_not_written_again() -> None:
    scheduler = holding(PIECE + SMALLEST_SHARE, "a", "b", done=(Span(0, PIECE),))
    late = take(scheduler, 0)
    racer = take(scheduler, 1, LATE, "b")
    assert write(scheduler, racer, 1000, LATE) == 1000
    assert write(scheduler, late, 1000, LATE) == -1
    assert write(scheduler, late, 1, LATE) == -1
    assert write(scheduler, racer, SMALLEST_SHARE - 1000, LATE) == SMALLEST_SHARE - 1000
    assert not scheduler.is_needed(late)
    assert scheduler.complete(KEY)
    assert scheduler.senders(KEY) == {"b": SpanSet([Span(PIECE, PIECE + SMALLEST_SHARE)])}


def test_two_racers_do_not_write_the_same_bytes_at_once() -> None:
    scheduler = holding(PIECE + SMALLEST_SHARE, done=(Span(0, PIECE),))
    late = take(scheduler, 0)
    racer = take(scheduler, 1, LATE)
    assert scheduler.begin_write(late, 1000)
    assert not scheduler.begin_write(racer, 10)
    assert scheduler.advance(late, LATE) == 1000
    assert not scheduler.begin_write(racer, 10)


def test_who_is_beaten_is_whoever_holds_nothing_any_more_that_is_not_done() -> None:
    scheduler = holding(PIECE + SMALLEST_SHARE, done=(Span(0, PIECE),))
    late = take(scheduler, 0)
    racer = take(scheduler, 1, LATE)
    write(scheduler, racer, SMALLEST_SHARE - 1, LATE)
    assert scheduler.beaten(racer, Span(PIECE, late.stop - 1)) == []
    write(scheduler, racer, 1, LATE)
    last = Span(late.stop - 1, late.stop)
    assert scheduler.beaten(racer, last) == [late]
    assert scheduler.beaten(late, last) == []
    assert scheduler.beaten(racer, Span(0, PIECE)) == []


def test_who_is_at_the_end_of_his_lease_is_not_beaten() -> None:
    scheduler = holding(2 * PIECE)
    at_end, winner = take(scheduler, 0), take(scheduler, 1, LATE)
    write(scheduler, at_end, at_end.remaining, LATE)
    write(scheduler, winner, 1000, LATE)
    assert scheduler.beaten(winner, Span(0, 2 * PIECE)) == []


def test_a_lane_does_not_write_what_was_taken_from_it() -> None:
    scheduler = holding(2 * PIECE)
    victim = take(scheduler, 0)
    take(scheduler, 1, LATE)
    assert victim.stop == PIECE
    assert not scheduler.begin_write(victim, PIECE + 1)
    assert scheduler.begin_write(victim, PIECE)


def test_a_racer_whose_rival_gave_up_is_helped_like_any_other_lane() -> None:
    scheduler = holding(2 * PIECE, "a", "b")
    scheduler.without_ranges(take(scheduler, 9, endpoint="b"))
    scheduler.release(scheduler.leases()[0], 0.0)
    late = take(scheduler, 0, endpoint="b")
    write(scheduler, late, 2 * PIECE - SMALLEST_SHARE)
    racer = take(scheduler, 1, LATE)
    raced = racer.racing
    scheduler.release(late, LATE)
    assert (raced, racer.racing) == (True, False)
    helper = take(scheduler, 2, 2 * LATE)
    assert helper.racing
    assert span_of(helper) == span_of(racer)


def test_a_race_begins_behind_what_an_earlier_racer_brought() -> None:
    scheduler = holding(PIECE + SMALLEST_SHARE, done=(Span(0, PIECE),))
    late = take(scheduler, 0)
    earlier = take(scheduler, 1, LATE)
    write(scheduler, earlier, 1000, LATE)
    scheduler.release(earlier, LATE)
    assert span_of(take(scheduler, 2, 2 * LATE)) == Span(PIECE + 1000, late.stop)


def test_what_a_lane_gives_back_is_free_at_once() -> None:
    scheduler = holding(2 * PIECE)
    lease = take(scheduler, 0)
    write(scheduler, lease, 1000)
    scheduler.release(lease, 0.0)
    assert scheduler.take(1, "a", 0.0) is not None
    assert scheduler.leases()[0].start == 1000


def test_the_front_is_settled_only_where_nobody_writes() -> None:
    scheduler = holding(2 * PIECE)
    lease = take(scheduler, 0)
    write(scheduler, lease, 2 * PIECE)
    scheduler.reopen(KEY, Span(0, 100))
    again = take(scheduler, 1)
    assert scheduler.begin_write(again, 60)
    scheduler.restore(KEY, Span(0, 100))
    assert scheduler.complete(KEY)
    assert scheduler.settled(KEY) == 0
    scheduler.advance(again, 0.0)
    assert scheduler.settled(KEY) == 2 * PIECE


def test_wrong_bytes_are_fetched_again_and_not_by_who_lost_the_race_for_them() -> None:
    scheduler = holding(PIECE + SMALLEST_SHARE, "a", "b", done=(Span(0, PIECE),))
    loser = take(scheduler, 0)
    winner = take(scheduler, 1, LATE, "b")
    write(scheduler, winner, SMALLEST_SHARE, LATE)
    scheduler.release(winner, LATE)
    scheduler.reopen(KEY, Span(PIECE, PIECE + 10))
    assert not scheduler.is_needed(loser)
    assert not scheduler.begin_write(loser, 1)
    assert span_of(take(scheduler, 2, LATE)) == Span(PIECE, PIECE + 10)


def test_an_endpoint_without_ranges_has_one_lane_for_the_file_and_that_takes_all_it_can() -> None:
    scheduler = holding(LARGE, "a", "b")
    first, second = take(scheduler, 0), take(scheduler, 1)
    assert scheduler.without_ranges(first)
    assert not scheduler.without_ranges(second), "its answer would begin at 0 as well"
    scheduler.release(second, 0.0)
    assert scheduler.take(1, "a", 0.0) is None
    scheduler.release(first, 0.0)
    assert span_of(take(scheduler, 1)) == Span(0, LARGE)


def test_an_endpoint_without_ranges_does_not_take_over() -> None:
    scheduler = holding(LARGE, "a", "b")
    first = take(scheduler, 0)
    scheduler.without_ranges(first)
    scheduler.release(first, 0.0)
    while scheduler.take(1, "b", 0.0):
        pass
    assert scheduler.take(0, "a", LATE) is None
    assert scheduler.take(1, "b", LATE) is not None


def test_an_answer_that_is_the_whole_file_goes_on_into_what_is_free() -> None:
    scheduler = holding(LARGE, "a", "b")
    lease = take(scheduler, 0)
    scheduler.without_ranges(lease)
    write(scheduler, lease, lease.remaining)
    scheduler.extend(lease)
    assert lease.stop == LARGE
    assert scheduler.take(1, "b", 0.0) is None


def test_an_answer_that_is_the_whole_file_stops_where_somebody_else_is_at_work() -> None:
    scheduler = holding(LARGE, "a", "b")
    lease, other = take(scheduler, 0), take(scheduler, 1, endpoint="b")
    write(scheduler, lease, lease.remaining)
    scheduler.extend(lease)
    assert lease.stop == other.start


def test_a_dropped_endpoint_is_not_asked_any_more_until_it_is_readmitted() -> None:
    scheduler = holding(LARGE, "a", "b")
    assert scheduler.drop(KEY, "a")
    assert scheduler.take(0, "a", 0.0) is None
    assert not scheduler.drop(KEY, "b")
    scheduler.readmit(KEY, "a")
    assert scheduler.endpoints(KEY) == {"a"}
    assert scheduler.take(0, "a", 0.0) is not None


def test_dropping_from_a_file_that_is_through_changes_nothing() -> None:
    scheduler = holding(100)
    scheduler.remove(KEY)
    assert scheduler.drop(KEY, "a")


def test_bytes_belong_to_whoever_sent_them_last() -> None:
    scheduler = holding(2 * PIECE, "a", "b")
    write(scheduler, take(scheduler, 0), 2 * PIECE)
    scheduler.reopen(KEY, Span(0, 100))
    write(scheduler, take(scheduler, 1, endpoint="b"), 100)
    assert scheduler.senders(KEY) == {"a": SpanSet([Span(100, 2 * PIECE)]), "b": SpanSet([Span(0, 100)])}


def test_a_lane_much_slower_than_its_endpoints_best_is_slow() -> None:
    scheduler = holding(LARGE, "a", "b")
    for lane, endpoint, seconds in ((0, "a", 1.0), (1, "a", 3.9), (2, "a", 4.1), (3, "b", 40.0)):
        lease = take(scheduler, lane, endpoint=endpoint)
        write(scheduler, lease, 1000)
        scheduler.release(lease, seconds)
    slow = [scheduler.is_slow(lane, endpoint) for lane, endpoint in ((0, "a"), (1, "a"), (2, "a"), (3, "b"), (4, "a"))]
    assert slow == [False, False, True, False, False]


def test_as_many_lanes_find_work_as_pieces_are_missing() -> None:
    scheduler = holding(10 * PIECE + 1, "a", done=(Span(0, 3 * PIECE),))
    scheduler.add("small", 1, ["a", "b"])
    assert [scheduler.width(endpoint, 100) for endpoint in "abc"] == [9, 1, 0]
    assert [scheduler.width(endpoint, 5) for endpoint in "abc"] == [5, 1, 0]


def test_small_are_the_files_that_are_one_lease_each() -> None:
    scheduler = holding(PIECE + 1, "a")
    for number in range(3):
        scheduler.add(f"small {number}", PIECE, ["a"])
    assert [scheduler.small("a", most) for most in (100, 2)] == [3, 2]
    assert scheduler.small("b", 100) == 0


def test_the_leases_of_a_removed_file_end() -> None:
    scheduler = holding(LARGE)
    lease = take(scheduler, 0)
    assert scheduler.begin_write(lease, 10)
    scheduler.remove(KEY)
    assert not scheduler
    assert (lease.remaining, scheduler.is_needed(lease)) == (0, False)
    assert scheduler.advance(lease, 0.0) == 0
    assert not scheduler.begin_write(lease, 10)
    scheduler.release(lease, 0.0)
    scheduler.extend(lease)
    assert scheduler.leases() == ()


@pytest.mark.parametrize("size", [0, -1])
def test_a_file_without_bytes_is_not_scheduled(size: int) -> None:
    with pytest.raises(ValueError, match="without bytes"):
        Scheduler().add(KEY, size, ["a"])
