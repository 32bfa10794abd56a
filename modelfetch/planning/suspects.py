"""Who sent the wrong byte, when a file's digest does not match. First bytes are compared, then sources tried alone.

- Comparing: what a suspect sent is fetched again from the others. Bytes whose sender is unknown (from an interrupted
  run) come first, then every endpoint but the manifest's own, the one that sent least first, then the manifest's own.
- The first piece that differs shows who was wrong; whether it was all that was wrong is then tried at once, before more
  is fetched. Who was wrong twice is replaced in full: every trial hashes the whole file.
- What two have sent alike is not compared again: of two sources, each is asked only for what the other sent.
- Alone: one source after another sends what is not its own yet; whoever was found wrong comes last. One honest source
  is enough, whoever else lies.
- A source is asked again for what it sent itself only when there is no other, and only once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modelfetch.planning.spans import Span, SpanSet

UNKNOWN = ""


@dataclass(frozen=True)
class Replacement:
    """`spans` are to be fetched again, from everybody but those `benched`; `compares` tells that it matters whether
    they differ.
    """

    suspect: str
    spans: tuple[Span, ...]
    benched: frozenset[str] = frozenset()
    compares: bool = True


@dataclass
class Suspects:
    """The search for the wrong sender of one file."""

    owner: str
    current: str | None = None
    benched: frozenset[str] = frozenset()
    _compared: set[str] = field(default_factory=set)
    _found: set[str] = field(default_factory=set)
    _alone: set[str] = field(default_factory=set)
    _alike: SpanSet = field(default_factory=SpanSet)

    def next(self, whole: Span, senders: Mapping[str, SpanSet], endpoints: Iterable[str]) -> Replacement | None:
        """Whose bytes to replace now, of those that `endpoints` and the benched can send; None when all was tried."""
        here = self.benched | frozenset(endpoints)
        known = {**senders, UNKNOWN: SpanSet([whole]).without(*senders.values())}
        replacement = self._compare(known, here) or self._take_alone(whole, known, here)
        if replacement:
            self.current, self.benched = replacement.suspect, replacement.benched
        return replacement

    def alike(self, span: Span) -> None:
        """Somebody else sent the same bytes of `span` as the current suspect."""
        self._alike.add(span)

    def found(self) -> bool:
        """A piece of the current suspect differs; returns whether to try the digest before more is fetched."""
        assert self.current is not None
        if self.current in self._found:
            return False
        self._found.add(self.current)
        self._compared.discard(self.current)  # the rest of its bytes can be doubted again
        return True

    def _compare(self, known: Mapping[str, SpanSet], here: frozenset[str]) -> Replacement | None:
        suspects = sorted(known, key=lambda name: (name != UNKNOWN, name == self.owner, len(known[name])))
        for suspect in suspects:
            spans, others = known[suspect].without(self._alike), here - {suspect}
            if spans and others and suspect not in self._compared:
                self._compared.add(suspect)
                return Replacement(suspect, spans.spans, here - ((others - self._found) or others))
        return None

    def _take_alone(self, whole: Span, known: Mapping[str, SpanSet], here: frozenset[str]) -> Replacement | None:
        for name in sorted(here - self._alone, key=lambda name: (name in self._found, name != self.owner, name)):
            self._alone.add(name)
            if here == {name}:
                return Replacement(name, (whole,), compares=False)
            # Of two, both sent what was sent alike.
            missing = SpanSet([whole]).without(known.get(name, ()), self._alike if len(here) == 2 else ())
            if missing:
                suspect = max(
                    sorted(here - {name}), key=lambda other: (other in self._found, len(known.get(other, ())))
                )
                return Replacement(suspect, missing.spans, here - {name}, compares=False)
        return None
