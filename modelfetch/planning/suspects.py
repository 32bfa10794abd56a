"""Who sent the wrong byte, when a file's digest does not match. First bytes are compared, then sources tried alone.

- Comparing: what a suspect sent is fetched again from the others. Whoever sent wrong bytes in this pull before comes
  first, then bytes whose sender is unknown (from an interrupted run), then the others: the less an endpoint is trusted
  the sooner, and of equals the one that is compared soonest. A source that is alone is compared with itself: what went
  wrong on the way is right the second time.
- The first piece that differs shows who was wrong; whether it was all that was wrong is then tried at once, before more
  is fetched. Who was wrong twice is replaced in full: every trial hashes the whole file.
- What two have sent alike is not compared again: of two sources, each is asked only for what the other sent.
- Alone: one source after another sends what is not its own yet; whoever was found wrong comes last. One honest source
  is enough, whoever else lies.
- A source is asked again for what it sent itself only when there is no other, and only once.

With two sources that sent half each, one byte wrong: found after a quarter of the file on average where the one that is
trusted less sent it, after three quarters where the other did. Nothing that can be had says more of where it is: for
that somebody must know the pieces (`mending`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
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


@dataclass(frozen=True, order=True)
class Trust:
    """Why the bytes of an endpoint are believed; the smallest is suspected first.

    `chosen`: it is the hub's own, or its user trusts it with a token. `private`: nobody on the way can change what it
    sends. `lists`: its listing says what the bytes are.
    """

    chosen: bool = False
    private: bool = False
    lists: bool = False


@dataclass
class Suspects:
    """The search for the wrong sender of one file. Who is not in `trust` is not trusted."""

    trust: Mapping[str, Trust]
    current: str | None = None
    benched: frozenset[str] = frozenset()
    _compared: set[str] = field(default_factory=set)
    _found: set[str] = field(default_factory=set)
    _alone: set[str] = field(default_factory=set)
    _alike: SpanSet = field(default_factory=SpanSet)

    def next(
        self,
        whole: Span,
        senders: Mapping[str, SpanSet],
        endpoints: Iterable[str],
        misbehaved: Container[str] = frozenset(),
    ) -> Replacement | None:
        """Whose bytes to replace now, of those that `endpoints` and the benched can send; None when all was tried.

        The `misbehaved` sent wrong bytes of other files.
        """
        here = self.benched | frozenset(endpoints)
        known = {**senders, UNKNOWN: SpanSet([whole]).without(*senders.values())}
        replacement = self._compare(known, here, misbehaved) or self._take_alone(whole, known, here, misbehaved)
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

    def _compare(
        self, known: Mapping[str, SpanSet], here: frozenset[str], misbehaved: Container[str]
    ) -> Replacement | None:
        doubted = {name: left for name, spans in known.items() if (left := spans.without(self._alike))}

        def suspicion(name: str) -> tuple[bool, bool, Trust, int]:
            return name not in misbehaved, name != UNKNOWN, self._trust(name), len(doubted[name])

        for suspect in sorted(doubted, key=suspicion):
            others = here - {suspect} or here & {suspect}
            if others and suspect not in self._compared:
                self._compared.add(suspect)
                return Replacement(suspect, doubted[suspect].spans, here - ((others - self._found) or others))
        return None

    def _take_alone(
        self, whole: Span, known: Mapping[str, SpanSet], here: frozenset[str], misbehaved: Container[str]
    ) -> Replacement | None:
        def belief(name: str) -> tuple[bool, bool, Trust]:
            return name not in self._found, name not in misbehaved, self._trust(name)

        for name in sorted(sorted(here - self._alone), key=belief, reverse=True):
            self._alone.add(name)
            # Of two, both sent what was sent alike.
            missing = SpanSet([whole]).without(known.get(name, ()), self._alike if len(here) == 2 else ())
            if missing:
                suspect = max(
                    sorted(known.keys() - {name}), key=lambda other: (other in self._found, len(known[other]))
                )
                return Replacement(suspect, missing.spans, here - {name}, compares=False)
        return None

    def _trust(self, name: str) -> Trust:
        return self.trust.get(name, Trust())
