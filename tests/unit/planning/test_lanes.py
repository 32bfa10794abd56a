"""How many lanes an endpoint gets, for links whose throughput is a function of the lanes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.planning.lanes import (
    CALM_AFTER_THROTTLE_S,
    FAST_LANE,
    FIRST_STEP,
    GLANCE_S,
    LOOK_FOR_S,
    SETTLED_WITHIN_S,
    START,
    WORTH_IT,
    LaneBudget,
)

TICK_S = 0.05


class Link:
    """An endpoint that brings `rate(lanes)` bytes a second; a lane brings something `latency_s` after its start."""

    def __init__(self, budget: LaneBudget, rate: Callable[[int], float], latency_s: float = 0.0) -> None:
        self.budget = budget
        self.limits: list[int] = []
        self._rate = rate
        self._latency_s = latency_s
        self._received = 0.0
        self._started: list[float] = []
        self._now = 0.0

    def run(self, seconds: float) -> list[int]:
        """Go on for `seconds`, with as many lanes as may run; the limits of that time."""
        begin = len(self.limits)
        for _ in range(round(seconds / TICK_S)):
            del self._started[self.budget.limit :]
            self._started += [self._now] * (self.budget.limit - len(self._started))
            bringing = sum(self._now - started >= self._latency_s for started in self._started)
            self.budget.observe(int(self._received), len(self._started), bringing, self._now)
            self.limits.append(self.budget.limit)
            self._received += self._rate(bringing) * TICK_S
            self._now += TICK_S
        return self.limits[begin:]


def driven(budget: LaneBudget, rate: Callable[[int], float], seconds: float) -> list[int]:
    """The limits over time, where every allowed lane brings bytes from its start."""
    return Link(budget, rate).run(seconds)


@pytest.mark.parametrize(("cap", "expected"), [(1, 1), (3, 3), (4, 4), (64, START)])
def test_it_begins_with_a_handful_and_never_above_the_cap(cap: int, expected: int) -> None:
    assert LaneBudget(cap).limit == expected


@pytest.mark.parametrize(("start", "cap", "lanes", "small"), [(1, 32, 1, 8), (START, 32, START, 32), (4, 3, 3, 3)])
def test_one_that_was_slower_begins_with_fewer_also_for_small_files(
    start: int, cap: int, lanes: int, small: int
) -> None:
    budget = LaneBudget(cap, start)
    assert budget.limit == lanes
    assert budget.lanes(1000, 0.0) == small


def test_one_that_began_with_few_gets_as_many_as_help() -> None:
    assert driven(LaneBudget(64, 2), lambda lanes: lanes * 8e6, 4)[-1] == 64


def test_it_doubles_while_that_helps_and_stops_at_the_cap() -> None:
    assert sorted(set(driven(LaneBudget(50), lambda lanes: lanes * 8e6, 10))) == [4, 16, 32, 50]


def test_it_is_at_the_cap_soon() -> None:
    assert driven(LaneBudget(64), lambda lanes: lanes * 8e6, 2)[-1] == 64


def test_on_a_long_way_a_step_is_not_judged_before_its_lanes_bring_something() -> None:
    link = Link(LaneBudget(64), lambda lanes: lanes * 8e6, latency_s=1.2)
    assert link.run(8)[-1] == 64
    assert link.limits == sorted(link.limits)


def test_nothing_is_added_for_a_second_time_before_there_is_something_to_compare_with() -> None:
    assert max(driven(LaneBudget(64), lambda lanes: 0.0, SETTLED_WITHIN_S)) == FIRST_STEP * START


def test_a_lane_that_never_brings_anything_is_not_waited_for_for_ever() -> None:
    budget = LaneBudget(64)
    limits = []
    for tick in range(200):
        # Few connections are served, the others hang: more of them do not help.
        budget.observe(int(tick * TICK_S * 8e6), budget.limit, min(START, budget.limit), tick * TICK_S)
        limits.append(budget.limit)
    assert max(limits) == FIRST_STEP * START
    assert limits[-1] == START


def test_lanes_that_are_as_fast_as_the_machine_get_no_company_at_once() -> None:
    fast = driven(LaneBudget(64), lambda lanes: 1.1 * START * FAST_LANE, LOOK_FOR_S)
    slow = driven(LaneBudget(64), lambda lanes: 0.9 * START * FAST_LANE, LOOK_FOR_S)
    assert set(fast) == {START}
    assert slow[-1] == FIRST_STEP * START


def test_a_step_that_did_not_help_is_taken_back_and_tried_later_each_time() -> None:
    limits = driven(LaneBudget(64), lambda lanes: START * 1e7, 60)
    assert set(limits) == {START, 2 * START, FIRST_STEP * START}
    rises = [tick for tick in range(1, len(limits)) if limits[tick] > limits[tick - 1]]
    pauses = [later - earlier for earlier, later in zip([0, *rises], rises, strict=False)]
    assert len(pauses) >= 3
    assert pauses == sorted(pauses)
    assert pauses[-1] > 2 * pauses[0]


def test_the_steps_that_helped_are_kept() -> None:
    assert driven(LaneBudget(64), lambda lanes: min(lanes, 16) * 8e6, 3)[-1] == 16


@pytest.mark.parametrize(("gain", "kept"), [(WORTH_IT + 0.01, True), (WORTH_IT - 0.01, False)])
def test_a_step_is_worth_it_from_a_tenth_on(gain: float, kept: bool) -> None:
    link = Link(LaneBudget(FIRST_STEP * START), lambda lanes: 1e7 if lanes <= START else gain * 1e7)
    assert link.run(GLANCE_S + 2 * TICK_S)[-1] == FIRST_STEP * START
    assert (link.run(LOOK_FOR_S + 2 * TICK_S)[-1] == FIRST_STEP * START) is kept


def test_an_endpoint_that_brings_nothing_gets_no_more_and_no_more() -> None:
    assert set(driven(LaneBudget(64), lambda lanes: 0.0, 60)) == {START, 2 * START, FIRST_STEP * START}


def test_nothing_is_concluded_while_lanes_are_missing() -> None:
    budget = LaneBudget(64)
    for tick in range(100):
        budget.observe(int(tick * 1e6), START - 1, START - 1, tick * TICK_S)
    assert budget.limit == START


def test_an_endpoint_that_is_asked_too_much_gets_half_and_none_is_added_for_a_while() -> None:
    link = Link(LaneBudget(64), lambda lanes: lanes * 8e6)
    link.run(2)
    link.budget.throttled(2.0)
    assert link.budget.limit == 32
    assert set(link.run(CALM_AFTER_THROTTLE_S - TICK_S)) == {32}
    assert link.run(LOOK_FOR_S + 2 * TICK_S)[-1] == 64


@pytest.mark.parametrize(("small", "expected"), [(0, START), (3, START), (20, 20), (100, 32)])
def test_small_files_have_lanes_at_once_up_to_the_cap(small: int, expected: int) -> None:
    assert LaneBudget(32).lanes(small, 0.0) == expected


def test_an_endpoint_that_is_asked_too_much_at_once_is_not_given_many_at_once_later() -> None:
    link = Link(LaneBudget(64), lambda lanes: lanes * 8e6)
    link.budget.throttled(0.0)
    assert sorted(set(link.run(CALM_AFTER_THROTTLE_S + LOOK_FOR_S + 3 * TICK_S))) == [START, 2 * START]


def test_an_endpoint_that_is_asked_too_much_gets_no_more_for_small_files_either() -> None:
    budget = LaneBudget(32)
    budget.throttled(1.0)
    assert budget.lanes(100, 1.0 + CALM_AFTER_THROTTLE_S - 0.1) == START
    assert budget.lanes(100, 1.0 + CALM_AFTER_THROTTLE_S) == 32


def test_a_handful_stays_unless_an_endpoint_is_asked_too_much_again() -> None:
    budget = LaneBudget(64)
    limits = []
    for moment in (0.0, 1.0, 2.0, 2.0 + CALM_AFTER_THROTTLE_S):
        budget.throttled(moment)
        limits.append(budget.limit)
    assert limits == [START, START // 2, START // 4, START // 4]


def test_the_last_lane_stays() -> None:
    budget = LaneBudget(3)
    for moment in range(5):
        budget.throttled(float(moment))
    assert budget.limit == 1


@given(
    st.integers(1, 40),
    st.lists(
        st.tuples(
            st.sampled_from(["observe", "throttled"]), st.integers(0, 10**9), st.integers(0, 40), st.floats(0, 30)
        ),
        max_size=60,
    ),
)
def test_the_limit_is_between_one_and_the_cap_whatever_is_seen(
    cap: int, seen: list[tuple[str, int, int, float]]
) -> None:
    budget, now, received = LaneBudget(cap), 0.0, 0
    for what, count, bringing, seconds in seen:
        now += seconds
        received += count
        if what == "observe":
            budget.observe(received, budget.limit, bringing, now)
        else:
            budget.throttled(now)
        assert 1 <= budget.limit <= cap
