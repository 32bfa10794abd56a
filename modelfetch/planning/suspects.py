"""Who sent the wrong byte, when a file's digest does not match: one suspect after another is replaced.

- Bytes whose sender is unknown (from an interrupted run) are suspected first, then every endpoint but the manifest's
  own, the one that sent least first, then the manifest's own.
- A suspect's bytes are fetched again from the others, and the suspect is not asked any more.
- Where others send them, every piece is compared with what it replaces. The first that differs shows who was wrong;
  whether it was all that was wrong is then tried at once, before more is fetched. Who was wrong twice is replaced in
  full: every trial hashes the whole file.
- When one suspect is left who sent everything, and it is wrong, that one is proven wrong: it is out for good, and those
  that were replaced before are asked again.
- A suspect is asked again itself only when there never was another, or others sent other wrong bytes, and only once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modelfetch.planning.spans import Span, SpanSet

UNKNOWN = ""


@dataclass(frozen=True)
class Replacement:
    """`spans` are to be fetched again, not from `suspect` unless `from_itself`; those `readmitted` may send again."""

    suspect: str
    spans: tuple[Span, ...]
    from_itself: bool = False
    readmitted: frozenset[str] = frozenset()


@dataclass
class Suspects:
    """The search for the wrong sender of one file."""

    owner: str
    current: str | None = None
    _replaced: set[str] = field(default_factory=set)
    _benched: set[str] = field(default_factory=set)
    _found: set[str] = field(default_factory=set)
    _proven: set[str] = field(default_factory=set)
    _differed: bool = False

    def next(self, whole: Span, senders: Mapping[str, SpanSet], endpoints: Iterable[str]) -> Replacement | None:
        """Whose bytes to replace now; None when everybody's were, and the digest still does not match."""
        known = dict(senders)
        unknown = SpanSet([whole])
        for spans in known.values():
            for span in spans:
                unknown.discard(span)
        if unknown:
            known[UNKNOWN] = unknown
        untried = [name for name, spans in known.items() if spans and name not in self._replaced]
        if not untried:
            return None
        suspect = min(untried, key=lambda name: (name != UNKNOWN, name == self.owner, len(known[name])))
        self._replaced.add(suspect)
        self.current = suspect
        if set(endpoints) - {suspect}:
            self._benched |= {suspect} - {UNKNOWN}
            return Replacement(suspect, known[suspect].spans)
        return self._replace_the_last(suspect, whole, sent_all=len(known[suspect]) == len(whole))

    def found(self) -> bool:
        """A piece of the current suspect differs; returns whether to try the digest before more is fetched."""
        assert self.current is not None
        self._differed = True
        if self.current in self._found | self._proven:
            return False
        self._found.add(self.current)
        self._replaced.discard(self.current)  # the rest of its bytes can be doubted again
        return True

    def _replace_the_last(self, suspect: str, whole: Span, *, sent_all: bool) -> Replacement | None:
        readmitted = frozenset(self._benched - {suspect})
        if readmitted and sent_all:
            self._proven.add(suspect)
            self._replaced = self._proven | {UNKNOWN}
            self._benched = set()
            self._differed = False
            return Replacement(suspect, (whole,), readmitted=readmitted)
        if self._proven and not self._differed:
            return None  # the others sent the very same bytes: it is the listing that is wrong
        return Replacement(suspect, (whole,), from_itself=True)
