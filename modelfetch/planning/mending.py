"""Which bytes to fetch again when a piece of a file is not as it is known to be.

- What was found on the disk is suspected first, and anybody may send it again. A wrong piece costs no byte of the
  others: those before it are proven, and of those behind it nothing is known yet.
- Damage comes in stretches. Of found pieces that are wrong one after another, as many again are fetched at once, and so
  of the pieces that one source sent, whoever sent those between: a file that is all wrong costs a few steps and not one
  for each piece, and a stretch is at most twice as long as the one before it.
- Of a piece that several sent, what one of them sent is kept, and the rest comes from anybody but the others. If it is
  right then, that shows who was wrong; if not, the others are asked again, and what the next one sent is kept.
- Whoever sent a wrong piece is not asked for the file any more, unless there is nobody else: then everybody, once more.
- Where that does not help either, it is what is known of the pieces that is wrong: nobody is accused then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modelfetch.planning.spans import Span, SpanSet
from modelfetch.planning.suspects import UNKNOWN


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
    _kept: dict[int, set[str]] = field(default_factory=dict)
    _on_trial: dict[int, frozenset[str]] = field(default_factory=dict)
    _asked_again: set[int] = field(default_factory=set)
    _stretches: dict[str, Span] = field(default_factory=dict)

    def next(
        self, piece: Span, done: SpanSet, senders: Mapping[str, SpanSet], endpoints: Iterable[str]
    ) -> Refetch | None:
        """What to fetch again for `piece`, all of which is `done`; None when nothing helped.

        `senders` say who sent what in this run, `endpoints` who can be asked besides the benched.
        """
        if found_bytes(piece, done, senders):
            return Refetch(self._stretch(UNKNOWN, piece, done.without(*senders.values())).spans)
        acquitted = self._on_trial.pop(piece.start, frozenset()).difference(*self._senders.values())
        self.benched -= acquitted
        here = acquitted | frozenset(endpoints)
        parts = {name: part for name, spans in senders.items() if (part := spans.common(piece))}
        return self._keep_one(piece, parts, here) or self._blame_all(piece, parts, senders, here)

    def _keep_one(self, piece: Span, parts: Mapping[str, SpanSet], here: frozenset[str]) -> Refetch | None:
        """Replace what all but one sent of `piece`; None when it is one who sent it, or each was kept already."""
        kept = self._kept.setdefault(piece.start, set())
        candidates = [name for name in sorted(parts.keys() - kept - self.benched) if here - (parts.keys() - {name})]
        if len(parts) < 2 or not candidates:
            return None
        one = max(candidates, key=lambda name: len(parts[name]))
        others = frozenset(parts.keys() - {one})
        kept.add(one)
        self._on_trial[piece.start] = others
        self.benched |= others
        return Refetch(SpanSet([piece]).without(parts[one]).spans, others)

    def _blame_all(
        self, piece: Span, parts: Mapping[str, SpanSet], senders: Mapping[str, SpanSet], here: frozenset[str]
    ) -> Refetch | None:
        """Replace all of `piece`; None when nobody helped."""
        blamed = self._senders.setdefault(piece.start, set())
        blamed.update(parts)
        if here - blamed:
            self.benched |= blamed
            if len(blamed) == 1:
                (name,) = blamed
                return Refetch(self._stretch(name, piece, senders[name]).spans, frozenset(blamed))
        elif piece.start not in self._asked_again:
            self._asked_again.add(piece.start)
            self.benched = frozenset()
        else:
            self.benched, self._senders, self._on_trial = frozenset(), {}, {}
            return None
        return Refetch((piece,), frozenset(blamed))

    def _stretch(self, origin: str, piece: Span, theirs: SpanSet) -> SpanSet:
        """Those of `theirs`, the bytes of one origin, that are suspected together with those in `piece`."""
        before, length = self._stretches.get(origin), len(piece)
        behind = theirs.without([Span(0, before.stop)]).spans if before else ()
        if before and behind and behind[0].start >= piece.start:
            length = 2 * len(before)
        self._stretches[origin] = Span(piece.start, piece.start + length)
        return theirs.common(self._stretches[origin])

    @property
    def wrong_senders(self) -> tuple[str, ...]:
        """Who alone sent a piece that was wrong, or those bytes of one that made it right when they were replaced."""
        accused = (*self._senders.values(), *self._on_trial.values())
        alone = (next(iter(names)) for names in accused if len(names) == 1)
        return tuple(dict.fromkeys(alone))


def found_bytes(span: Span, done: SpanSet, senders: Mapping[str, SpanSet]) -> SpanSet:
    """The bytes of `span` that were there before this run."""
    return done.common(span).without(*senders.values())
