"""A file of a transfer that has a partial, with what is known of it besides its spans."""

from __future__ import annotations

from dataclasses import dataclass, field

from modelfetch.planning.spans import SpanSet
from modelfetch.planning.suspects import Suspects
from modelfetch.transfer.hashing import RunningDigest
from modelfetch.transfer.job import Job
from modelfetch.transfer.partial import Partial


@dataclass(eq=False)
class ActiveFile:
    """`doubted` are bytes that are on disk and are fetched again, to be compared."""

    job: Job
    partial: Partial
    suspects: Suspects
    running: RunningDigest = field(init=False)
    is_queued: bool = False
    doubted: SpanSet = field(default_factory=SpanSet)

    def __post_init__(self) -> None:
        self.running = RunningDigest(self.job.entry)

    @property
    def key(self) -> str:
        return self.job.entry.path
