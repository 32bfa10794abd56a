"""Who sent the wrong byte, when a file's digest does not match: one suspect after another is replaced.

- Bytes whose sender is unknown (from an interrupted run) are suspected first, then every endpoint but the manifest's
  own, the one that sent least first, then the manifest's own.
- A suspect's bytes are fetched again from the others; from itself only when there is no other, and only once.
- Where others send them, every piece is compared with what it replaces. The first that differs shows who was wrong;
  whether it was all that was wrong is then tried at once, before more is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modelfetch.planning.spans import Span, SpanSet

UNKNOWN = ""


@dataclass(frozen=True)
class Replacement:
    """`spans` are to be fetched again; not from `suspect`, unless `from_itself`."""

    suspect: str
    spans: tuple[Span, ...]
    from_itself: bool


@dataclass
class Suspects:
    """The search for the wrong sender of one file."""

    owner: str
    _replaced: set[str] = field(default_factory=set)
    current: str | None = None

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
        others = set(endpoints) - {suspect, UNKNOWN}
        if not others:
            # Only itself is left to ask, so all of it is fetched again.
            return Replacement(suspect, (whole,), from_itself=True)
        return Replacement(suspect, tuple(known[suspect]), from_itself=False)

    def found(self) -> None:
        """A piece of the current suspect differs. The rest of its bytes can be doubted again."""
        self._replaced.discard(self.current or UNKNOWN)
