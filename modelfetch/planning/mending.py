"""Which bytes to fetch again when a piece of a file is not as it is known to be.

- What was found on the disk is suspected first, and anybody may send it again. A wrong piece costs no byte of the
  others: those before it are proven, and of those behind it nothing is known yet.
- Damage comes in stretches. Of found pieces that are wrong one after another, as many again are fetched at once: a file
  that is all wrong costs a few steps and not one for each piece, and never more than as much again as was wrong.
- Whoever sent a wrong piece is not asked for the file any more, unless there is nobody else: then everybody, once more.
- Where that does not help either, it is what is known of the pieces that is wrong: nobody is accused then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modelfetch.planning.spans import Span, SpanSet


@dataclass(frozen=True)
class Refetch:
    """`spans` are to be fetched again. The `blamed` sent them; nobody did where they were found on the disk."""

    spans: tuple[Span, ...]
    blamed: frozenset[str] = frozenset()


@dataclass
class Mending:
    """The search for the wrong bytes of one file whose pieces are known. The `benched` are not asked for it."""

    benched: frozenset[str] = frozenset()
    _senders: dict[int, set[str]] = field(default_factory=dict)
    _asked_again: set[int] = field(default_factory=set)
    _stretch: Span | None = None

    def next(
        self, piece: Span, done: SpanSet, senders: Mapping[str, SpanSet], endpoints: Iterable[str]
    ) -> Refetch | None:
        """What to fetch again for `piece`, all of which is `done`; None when nothing helped.

        `senders` say who sent what in this run, `endpoints` who can be asked besides the benched.
        """
        if found_bytes(piece, done, senders):
            before = self._stretch
            length = 2 * len(before) if before and before.stop == piece.start else len(piece)
            self._stretch = Span(piece.start, piece.start + length)
            return Refetch(found_bytes(self._stretch, done, senders).spans)
        blamed = self._senders.setdefault(piece.start, set())
        blamed |= {name for name, spans in senders.items() if spans.common(piece)}
        if set(endpoints) - blamed:
            self.benched |= blamed
        elif piece.start not in self._asked_again:
            self._asked_again.add(piece.start)
            self.benched = frozenset()
        else:
            self.benched, self._senders = frozenset(), {}
            return None
        return Refetch((piece,), frozenset(blamed))

    @property
    def wrong_senders(self) -> tuple[str, ...]:
        """Who alone sent a piece that was wrong."""
        alone = (next(iter(names)) for names in self._senders.values() if len(names) == 1)
        return tuple(dict.fromkeys(alone))


def found_bytes(span: Span, done: SpanSet, senders: Mapping[str, SpanSet]) -> SpanSet:
    """The bytes of `span` that were there before this run."""
    return done.common(span).without(*senders.values())
