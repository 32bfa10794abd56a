"""Sizes and times as people read them, at every place where the form changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.units import format_ago, format_bytes, format_duration


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (999.4, "999 B"),
        (999.5, "1.0 kB"),
        (1000, "1.0 kB"),
        (1049, "1.0 kB"),
        (1050, "1.1 kB"),
        (99_940, "99.9 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (1_503_300_328, "1.5 GB"),
        (140_000_000_000, "140 GB"),
        (4 << 40, "4.4 TB"),
        (999.5e12, "1000 TB"),
        (12_345e12, "12345 TB"),
        (-500_000, "-500 kB"),
        (-1, "-1 B"),
    ],
)
def test_sizes_are_powers_of_a_thousand_with_two_or_three_digits(size: float, expected: str) -> None:
    assert format_bytes(size) == expected


@given(st.integers(0, 10**15 - 1))
def test_a_size_reads_back_within_a_twentieth(size: int) -> None:
    number, unit = format_bytes(size).split(" ")
    read = float(number) * 1000 ** ("B", "kB", "MB", "GB", "TB").index(unit)
    assert abs(read - size) <= 0.05 * size + 0.5


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0 s"),
        (8.06, "8.1 s"),
        (59.94, "59.9 s"),
        (59.95, "1 min 00 s"),
        (60, "1 min 00 s"),
        (125.4, "2 min 05 s"),
        (3599.4, "59 min 59 s"),
        (3599.5, "1 h 00 min"),
        (11_220, "3 h 07 min"),
        (360_000, "100 h 00 min"),
        (864_000, "10 days"),
        (99_999_999, "1157 days"),
    ],
)
def test_times_are_seconds_then_minutes_then_hours_then_days(seconds: float, expected: str) -> None:
    assert format_duration(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "a moment ago"),
        (89, "a moment ago"),
        (120, "2 minutes ago"),
        (90 * 60 - 1, "90 minutes ago"),
        (3 * 3600, "3 hours ago"),
        (24 * 3600 - 1, "24 hours ago"),
        (24 * 3600, "yesterday"),
        (48 * 3600, "2 days ago"),
        (7 * 86400, "7 days ago"),
    ],
)
def test_how_long_ago_something_was_is_one_number(seconds: float, expected: str) -> None:
    assert format_ago(seconds) == expected
