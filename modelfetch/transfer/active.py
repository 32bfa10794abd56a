"""A file of a transfer that has a partial, with what is known of it besides its spans."""

from __future__ import annotations

from dataclasses import dataclass, field

from modelfetch.hashing import Pieces
from modelfetch.planning.mending import Mending
from modelfetch.planning.spans import SpanSet
from modelfetch.planning.suspects import Suspects
from modelfetch.transfer.hashing import RunningDigest
from modelfetch.transfer.job import Job
from modelfetch.transfer.partial import Partial


@dataclass(eq=False)
class ActiveFile:
    """`doubted` are bytes that are on disk and are fetched again, to be compared. `known` are the file's pieces."""

    job: Job
    partial: Partial
    known: Pieces | None = None
    suspects: Suspects = field(init=False)
    mending: Mending = field(init=False)
    running: RunningDigest = field(init=False)
    is_queued: bool = False
    doubted: SpanSet = field(default_factory=SpanSet)

    def __post_init__(self) -> None:
        owner = self.job.sources[0].endpoint
        self.suspects, self.mending = Suspects(owner), Mending()
        self.running = RunningDigest(self.job.entry, self.known)

    @property
    def key(self) -> str:
        return self.job.entry.path

    @property
    def wrong_senders(self) -> tuple[str, ...]:
        """Who sent wrong bytes: of the pieces that are known, and then of the whole file."""
        return (*self.mending.wrong_senders, *([self.suspects.current] if self.suspects.current else []))
