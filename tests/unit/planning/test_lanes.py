"""How many lanes an endpoint gets, for links whose throughput is a function of the lanes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.planning.lanes import CALM_AFTER_THROTTLE_S, LOOK_EVERY_S, START, WORTH_IT, LaneBudget


def driven(budget: LaneBudget, rate: Callable[[int], float], seconds: float, *, begin: float = 0.0) -> list[int]:
    """The limits over time, where the endpoint brings `rate(lanes)` and every allowed lane is at work."""
    limits = []
    for tick in range(int(seconds / 0.1)):
        budget.observe(rate(budget.limit), budget.limit, begin + tick * 0.1)
        limits.append(budget.limit)
    return limits


@pytest.mark.parametrize(("cap", "expected"), [(1, 1), (4, 4), (8, 8), (64, START)])
def test_it_begins_with_a_handful_and_never_above_the_cap(cap: int, expected: int) -> None:
    assert LaneBudget(cap).limit == expected


@pytest.mark.parametrize(("start", "cap", "lanes", "small"), [(2, 32, 2, 8), (START, 32, START, 32), (4, 3, 3, 3)])
def test_one_that_was_slower_begins_with_fewer_also_for_small_files(
    start: int, cap: int, lanes: int, small: int
) -> None:
    budget = LaneBudget(cap, start)
    assert budget.limit == lanes
    assert budget.lanes(1000, 0.0) == small


def test_one_that_began_with_few_gets_as_many_as_help() -> None:
    assert driven(LaneBudget(64, 2), lambda lanes: lanes * 8e6, 4)[-1] == 64


def test_it_doubles_while_that_helps_and_stops_at_the_cap() -> None:
    assert sorted(set(driven(LaneBudget(50), lambda lanes: lanes * 8e6, 10))) == [16, 32, 50]


def test_it_is_at_the_cap_soon() -> None:
    assert driven(LaneBudget(64), lambda lanes: lanes * 8e6, 2)[-1] == 64


def test_a_step_that_did_not_help_is_taken_back_and_tried_later_each_time() -> None:
    limits = driven(LaneBudget(64), lambda lanes: 1e8, 60)
    assert set(limits) == {START, 2 * START}
    rises = [tick for tick in range(1, len(limits)) if limits[tick] > limits[tick - 1]]
    pauses = [later - earlier for earlier, later in zip([0, *rises], rises, strict=False)]
    assert len(pauses) >= 3
    assert pauses == sorted(pauses)
    assert pauses[-1] > 2 * pauses[0]


def test_the_steps_that_helped_are_kept() -> None:
    assert driven(LaneBudget(64), lambda lanes: min(lanes, 16) * 8e6, 4)[-1] == 16


@pytest.mark.parametrize(("gain", "kept"), [(WORTH_IT + 0.01, True), (WORTH_IT - 0.01, False)])
def test_a_step_is_worth_it_from_a_tenth_on(gain: float, kept: bool) -> None:
    limits = driven(LaneBudget(2 * START), lambda lanes: 1e8 if lanes == START else gain * 1e8, LOOK_EVERY_S + 0.2)
    assert (limits[-1] == 2 * START) is kept


def test_an_endpoint_that_brings_nothing_gets_no_more_and_no_more() -> None:
    assert set(driven(LaneBudget(64), lambda lanes: 0.0, 60)) == {START, 2 * START}


def test_nothing_is_concluded_while_lanes_are_missing_or_the_last_look_is_fresh() -> None:
    budget = LaneBudget(64)
    budget.observe(1e8, START - 1, 0.0)
    assert budget.limit == START
    budget.observe(1e8, START, 0.0)
    budget.observe(1.0, 2 * START, LOOK_EVERY_S - 0.1)
    assert budget.limit == 2 * START


def test_an_endpoint_that_is_asked_too_much_gets_half_and_none_is_added_for_a_while() -> None:
    budget = LaneBudget(64)
    driven(budget, lambda lanes: lanes * 8e6, 2)
    budget.throttled(2.0)
    assert budget.limit == 32
    limits = driven(budget, lambda lanes: lanes * 8e6, CALM_AFTER_THROTTLE_S + 0.3, begin=2.0)
    calm = int(CALM_AFTER_THROTTLE_S / 0.1) - 1
    assert set(limits[:calm]) == {32}
    assert limits[-1] == 64


@pytest.mark.parametrize(("small", "expected"), [(0, START), (5, START), (20, 20), (100, 32)])
def test_small_files_have_lanes_at_once_up_to_the_cap(small: int, expected: int) -> None:
    assert LaneBudget(32).lanes(small, 0.0) == expected


def test_an_endpoint_that_is_asked_too_much_gets_no_more_for_small_files_either() -> None:
    budget = LaneBudget(32)
    budget.throttled(1.0)
    assert budget.lanes(100, 1.0 + CALM_AFTER_THROTTLE_S - 0.1) == START // 2
    assert budget.lanes(100, 1.0 + CALM_AFTER_THROTTLE_S) == 32


def test_the_last_lane_stays() -> None:
    budget = LaneBudget(3)
    for moment in range(5):
        budget.throttled(float(moment))
    assert budget.limit == 1


@given(
    st.integers(1, 40),
    st.lists(st.tuples(st.sampled_from(["observe", "throttled"]), st.floats(0, 1e9), st.floats(0, 30)), max_size=60),
)
def test_the_limit_is_between_one_and_the_cap_whatever_is_seen(cap: int, seen: list[tuple[str, float, float]]) -> None:
    budget, now = LaneBudget(cap), 0.0
    for what, rate, seconds in seen:
        now += seconds
        if what == "observe":
            budget.observe(rate, budget.limit, now)
        else:
            budget.throttled(now)
        assert 1 <= budget.limit <= cap
