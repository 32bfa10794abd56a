"""A file of a transfer that has a partial, with what is known of it besides its spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from modelfetch.hashing import Pieces
from modelfetch.planning.mending import Mending
from modelfetch.planning.spans import SpanSet
from modelfetch.planning.suspects import Suspects, Trust
from modelfetch.transfer.hashing import RunningDigest
from modelfetch.transfer.job import Job, Source
from modelfetch.transfer.partial import Partial


@dataclass(eq=False)
class ActiveFile:
    """`doubted` are bytes that are on disk and are fetched again, to be compared.

    `known` are the file's pieces, as this machine remembers them; `lists` what its sources say of them, in the order in
    which they are tried, None before the sources were asked.
    """

    job: Job
    partial: Partial
    known: Pieces | None = None
    suspects: Suspects = field(init=False)
    mending: Mending = field(init=False)
    running: RunningDigest = field(init=False)
    lists: list[Pieces] | None = None
    is_queued: bool = False
    doubted: SpanSet = field(default_factory=SpanSet)

    def __post_init__(self) -> None:
        self.suspects, self.mending = Suspects(_trust_in(self.job.sources)), Mending()
        self.running = RunningDigest(self.job.entry, self.known)

    @property
    def key(self) -> str:
        return self.job.entry.path

    @property
    def wrong_senders(self) -> tuple[str, ...]:
        """Who sent wrong bytes: of the pieces that are known, and then of the whole file."""
        return (*self.mending.wrong_senders, *([self.suspects.current] if self.suspects.current else []))


def _trust_in(sources: Sequence[Source]) -> dict[str, Trust]:
    return {
        source.endpoint: Trust(source.trusted, urlsplit(source.url).scheme == "https", source is sources[0])
        for source in sources
    }
