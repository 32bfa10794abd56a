"""`--limit-rate`: never more bytes than the rate allows, and not much fewer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.planning.pace import Pace

RATE = 1_000_000


@given(st.lists(st.tuples(st.integers(0, 3 * RATE), st.floats(0, 2)), max_size=60))
def test_over_time_no_more_comes_than_the_rate_and_one_burst(reads: list[tuple[int, float]]) -> None:
    pace, now, taken = Pace(RATE, 0.0), 0.0, 0
    for count, idle_s in reads:
        now += idle_s
        taken += count
        now += pace.take(count, now)
        assert taken <= RATE * now + RATE / 4 + 1


@given(st.lists(st.integers(1, RATE), min_size=20, max_size=60))
def test_whoever_always_reads_gets_the_whole_rate(counts: list[int]) -> None:
    pace, now = Pace(RATE, 0.0), 0.0
    for count in counts:
        now += pace.take(count, now)
    assert now <= sum(counts) / RATE + 1e-6


def test_a_burst_is_free_and_the_rest_waits() -> None:
    pace = Pace(RATE, 10.0)
    assert pace.take(RATE // 4, 10.0) == 0.0
    assert pace.take(RATE // 2, 10.0) == pytest.approx(0.5)


def test_debts_are_paid_by_waiting() -> None:
    pace = Pace(RATE, 0.0)
    assert pace.take(RATE + RATE // 4, 0.0) == pytest.approx(1.0)
    assert pace.take(0, 0.4) == pytest.approx(0.6)
    assert pace.take(0, 1.5) == 0.0


def test_idle_time_is_not_saved_up() -> None:
    pace = Pace(RATE, 0.0)
    assert pace.take(RATE // 4, 3600.0) == 0.0
    assert pace.take(RATE // 4, 3600.0) == pytest.approx(0.25)


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_is_positive(rate: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        Pace(rate, 0.0)
