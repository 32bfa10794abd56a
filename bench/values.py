"""The words of a benchmark: models, hubs, rows, and what was measured. Values and no doing.

- A row is data: what the hubs do, what each client is told to do, what was promised.
- A summary is right only when every run was: a client that delivers twice of three times does not deliver.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from statistics import median
from typing import Protocol

from tests.simulator import Fault

REPO = "own/name"
WEIGHTS = "model.safetensors"
MIB = 1 << 20


@dataclass(frozen=True)
class Model:
    """The files of a repository by their sizes."""

    files: Mapping[str, int]

    @property
    def label(self) -> str:
        """A name for its folder: models of one label are the same."""
        return "-".join([str(len(self.files)), *sorted({str(size) for size in self.files.values()})])

    @property
    def size_bytes(self) -> int:
        return sum(self.files.values())


@dataclass(frozen=True)
class Hub:
    """How one hub behaves. `rate` is bytes a second for each connection; `nginx` lets nginx send the large files.

    One that `knows_pieces` hands out the list of a file's pieces, as `modelfetch serve` does.
    """

    faults: tuple[Fault, ...] = ()
    rate: float | None = None
    latency_s: float = 0.0
    link_life_requests: int | None = None
    nginx: bool = False
    knows_pieces: bool = False


class Before(Enum):
    """What has happened when the measured command starts."""

    NOTHING = "nothing"
    DONE_ONCE = "the same command, to its end"
    KILLED_AT_HALF = "the same command, killed with SIGKILL when the hub had sent half of the bytes"
    COLD_PULL = "`modelfetch pull`, and the page cache of its files dropped"


class Promise(Protocol):
    """One thing that is promised, judged from medians alone."""

    def judge(self, case: Case) -> Verdict:
        """Whether it is kept in `case`."""


@dataclass(frozen=True)
class Row:
    """One row of the table.

    `commands` are command lines by client, with `$HUB`, `$SECOND`, `$SHA256` and the like; each must bring the model.
    `yardsticks` bring nothing and are only compared with.
    """

    name: str
    title: str
    model: Model
    hubs: tuple[Hub, ...]
    commands: Mapping[str, str]
    promises: tuple[Promise, ...]
    yardsticks: Mapping[str, str] = field(default_factory=dict)
    before: Before = Before.NOTHING
    least_runs: int = 1
    limit_s: float = 300.0

    @property
    def lines(self) -> Mapping[str, str]:
        """Every command line, by client or yardstick."""
        return {**self.yardsticks, **self.commands}


class State(Enum):
    """How a run ended."""

    RIGHT = "right"
    WRONG = "wrong bytes under exit status 0"
    FAILED = "fails"
    TOO_LONG = "stopped, took too long"


@dataclass(frozen=True)
class Usage:
    """What a process used. `exit_status` is None for one that had to be stopped."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    exit_status: int | None


@dataclass(frozen=True)
class Run:
    """One run of one client; the bytes and requests are those of all hubs, since before whatever came before."""

    usage: Usage
    state: State
    sent_bytes: int
    requests: int

    @property
    def ending(self) -> str:
        """`right`, `fails (22)`."""
        shows_status = self.state is State.FAILED
        return f"{self.state.value} ({self.usage.exit_status})" if shows_status else self.state.value


@dataclass(frozen=True)
class Summary:
    """The runs of one client in one row."""

    runs: Sequence[Run]

    @property
    def is_right(self) -> bool:
        return all(run.state is State.RIGHT for run in self.runs)

    @property
    def ending(self) -> str:
        """`right`, or how often it ended how."""
        counted = Counter(run.ending for run in self.runs).most_common()
        if len(counted) == 1:
            return counted[0][0]
        return ", ".join(f"{count} × {ending}" for ending, count in counted)

    @property
    def walls_s(self) -> list[float]:
        return sorted(run.usage.wall_s for run in self.runs)

    @property
    def wall_s(self) -> float:
        return median(self.walls_s)

    @property
    def cpu_s(self) -> float:
        return median(run.usage.cpu_s for run in self.runs)

    @property
    def sent_bytes(self) -> int:
        return round(median(run.sent_bytes for run in self.runs))

    @property
    def requests(self) -> int:
        return round(median(run.requests for run in self.runs))

    @property
    def peak_bytes(self) -> int:
        """The highest of all runs: a limit is not kept by keeping it mostly."""
        return max(run.usage.peak_bytes for run in self.runs)


@dataclass(frozen=True)
class Case:
    """What was measured in one row, by client."""

    model: Model
    summaries: Mapping[str, Summary]

    def right(self, clients: Sequence[str]) -> dict[str, Summary]:
        """Those of `clients` that took part and delivered."""
        found = {client: self.summaries[client] for client in clients if client in self.summaries}
        return {client: summary for client, summary in found.items() if summary.is_right}


@dataclass(frozen=True)
class Verdict:
    """A promise, what was measured of it, and whether it is met; None where nobody was there to compare with."""

    promise: str
    measured: str
    met: bool | None = None
