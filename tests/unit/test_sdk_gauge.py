"""Progress as it is read off a folder's size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modelfetch.sdk.gauge import Gauge, patience_s

SIZES = st.lists(st.integers(0, 1000), max_size=30)


@given(first=st.integers(0, 1000), wanted=st.integers(0, 1000), sizes=SIZES)
def test_each_byte_counts_once_and_no_more_than_are_wanted(first: int, wanted: int, sizes: list[int]) -> None:
    gauge = Gauge(first, wanted, 0.0)
    counted = [gauge.observe(size, float(moment)) for moment, size in enumerate(sizes, 1)]
    assert all(count >= 0 for count in counted)
    most = max([first, *sizes]) - first
    assert sum(counted) == min(most, wanted)
    assert gauge.uncounted == wanted - sum(counted)


@given(stall_s=st.floats(0, 1000), size=st.integers(0, 10**12))
def test_a_client_gets_the_time_to_read_what_it_goes_on_with(stall_s: float, size: int) -> None:
    assert patience_s(stall_s, 0) == stall_s
    assert patience_s(stall_s, size) >= stall_s + size / 100e6


@given(first=st.integers(0, 1000), sizes=SIZES)
def test_it_stands_still_since_it_last_grew(first: int, sizes: list[int]) -> None:
    gauge = Gauge(first, 1000, 0.0)
    grew_at, last = 0, first
    for moment, size in enumerate(sizes, 1):
        gauge.observe(size, float(moment))
        grew_at, last = (moment if size > last else grew_at), size
        assert gauge.still_for(moment) == moment - grew_at
