"""Arithmetic on byte ranges. A span is half open: `[start, stop)`.

- A `SpanSet` is always sorted, disjoint and coalesced, so that equality means the same bytes.
- No operation is worse than linear in the number of spans, of which a transfer keeps a few dozen; `add`, `discard` and
  `gaps` look only at those that the bytes in question touch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Span:
    """The bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"no span: {self.start}..{self.stop}")

    def __len__(self) -> int:
        return self.stop - self.start


class SpanSet:
    """A set of bytes, as spans."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans: list[Span] = []
        for span in spans:
            self.add(span)

    def __iter__(self) -> Iterator[Span]:
        return iter(self.spans)

    def __len__(self) -> int:
        """The number of bytes, not of spans."""
        return sum(len(span) for span in self._spans)

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans. `tuple()` and `list()` of the set itself would first take room for as many as it has bytes."""
        return tuple(self._spans)

    def __bool__(self) -> bool:
        return bool(self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpanSet) and self._spans == other._spans

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"SpanSet({self._spans!r})"

    def add(self, span: Span) -> int:
        """Add `span`; returns how many of its bytes were new."""
        first, last = self._touching(span)
        touched = self._spans[first:last]
        overlap = sum(max(0, min(span.stop, old.stop) - max(span.start, old.start)) for old in touched)
        start = min([span.start, *(old.start for old in touched)])
        stop = max([span.stop, *(old.stop for old in touched)])
        self._spans[first:last] = [Span(start, stop)]
        return len(span) - overlap

    def discard(self, span: Span) -> None:
        """Take `span`'s bytes out, those that are in."""
        first, last = self._touching(span)
        kept: list[Span] = []
        for old in self._spans[first:last]:
            if old.start < span.start:
                kept.append(Span(old.start, min(old.stop, span.start)))
            if old.stop > span.stop:
                kept.append(Span(max(old.start, span.stop), old.stop))
        self._spans[first:last] = kept

    def without(self, *others: Iterable[Span]) -> SpanSet:
        """The bytes that are in none of `others`; this set stays as it is."""
        left = SpanSet(self._spans)
        for spans in others:
            for span in spans:
                left.discard(span)
        return left

    def gaps(self, whole: Span) -> SpanSet:
        """The bytes of `whole` that are not in this set."""
        missing, position = SpanSet(), whole.start
        first, last = self._touching(whole)
        for span in self._spans[first:last]:
            if span.start > position:
                missing._spans.append(Span(position, span.start))
            position = max(position, span.stop)
        if position < whole.stop:
            missing._spans.append(Span(position, whole.stop))
        return missing

    def common(self, whole: Span) -> SpanSet:
        """The bytes of `whole` that are in this set."""
        return self.gaps(whole).gaps(whole)

    def frontier(self) -> int:
        """Where the unbroken run from byte 0 ends; 0 when byte 0 is not in."""
        return self._spans[0].stop if self._spans and self._spans[0].start == 0 else 0

    def _touching(self, span: Span) -> tuple[int, int]:
        """The slice of spans that overlap `span` or lie directly beside it."""
        first = bisect_left(self._spans, span.start, key=lambda old: old.stop)
        last = first
        while last < len(self._spans) and self._spans[last].start <= span.stop:
            last += 1
        return first, last
