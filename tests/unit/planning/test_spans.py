"""Arithmetic on byte ranges, held against sets of integers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.planning.spans import Span, SpanSet

SPANS = st.tuples(st.integers(0, 40), st.integers(1, 12)).map(lambda pair: Span(pair[0], sum(pair)))
OPERATIONS = st.lists(st.tuples(st.sampled_from(["add", "discard"]), SPANS), max_size=20)


def as_set(spans: SpanSet | Span) -> set[int]:
    each = [spans] if isinstance(spans, Span) else list(spans)
    return {byte for span in each for byte in range(span.start, span.stop)}


def built(operations: list[tuple[str, Span]]) -> tuple[SpanSet, set[int]]:
    """The same operations on a SpanSet and on a set of integers, which is the oracle."""
    spans, oracle = SpanSet(), set[int]()
    for name, span in operations:
        if name == "add":
            assert spans.add(span) == len(as_set(span) - oracle)
            oracle |= as_set(span)
        else:
            spans.discard(span)
            oracle -= as_set(span)
    return spans, oracle


@given(OPERATIONS)
def test_adding_and_discarding_are_union_and_difference(operations: list[tuple[str, Span]]) -> None:
    spans, oracle = built(operations)
    assert as_set(spans) == oracle
    assert len(spans) == len(oracle)
    assert bool(spans) == bool(oracle)


@given(OPERATIONS)
def test_spans_are_sorted_disjoint_and_never_touch(operations: list[tuple[str, Span]]) -> None:
    spans = list(built(operations)[0])
    assert all(before.stop < after.start for before, after in pairwise(spans))


@given(OPERATIONS, OPERATIONS)
def test_equality_means_the_same_bytes(one: list[tuple[str, Span]], other: list[tuple[str, Span]]) -> None:
    (left, left_bytes), (right, right_bytes) = built(one), built(other)
    assert (left == right) == (left_bytes == right_bytes)
    assert SpanSet(reversed(list(left))) == left


@given(OPERATIONS, SPANS)
def test_gaps_are_what_is_missing(operations: list[tuple[str, Span]], whole: Span) -> None:
    spans, oracle = built(operations)
    gaps = spans.gaps(whole)
    assert as_set(gaps) == as_set(whole) - oracle
    assert as_set(spans) == oracle, "asking changes nothing"


@given(OPERATIONS)
def test_the_frontier_is_the_first_byte_that_is_missing(operations: list[tuple[str, Span]]) -> None:
    spans, oracle = built(operations)
    assert spans.frontier() == next(byte for byte in range(100) if byte not in oracle)


def test_a_set_may_change_while_its_spans_are_walked() -> None:
    spans = SpanSet([Span(0, 1), Span(2, 3), Span(4, 5)])
    for span in spans:
        spans.discard(span)
    assert not spans


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (5, 5), (5, 4), (-1, 5)])
def test_a_span_has_at_least_one_byte_and_begins_in_the_file(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="no span"):
        Span(start, stop)


def test_the_length_of_a_span_is_its_bytes() -> None:
    assert len(Span(3, 10)) == 7


def test_a_set_of_spans_is_no_key_and_nothing_else() -> None:
    with pytest.raises(TypeError):
        hash(SpanSet())
    assert SpanSet() != []


def test_a_set_shows_its_spans() -> None:
    assert repr(SpanSet([Span(1, 2)])) == "SpanSet([Span(start=1, stop=2)])"
