"""Writes what was measured: the promises first, then every row with its numbers and the exact commands. Pure text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.promises import OURS
from bench.values import Before, Case, Hub, Row, Summary, Verdict
from modelfetch.units import format_bytes

_MET = {True: "met", False: "**not met**", None: "nothing to compare with"}
_HEAD = """\
# Benchmarks

Written by `make bench`; do not edit. The promises are those of design.md, "Speed". Nothing here is a test: times depend
on the machine, ratios within one run much less.
"""
_METHOD = """\
## How it was measured

- Every client is a process of its own, in an empty folder that is also its home, with nothing set but what stands here:
  `HF_ENDPOINT` and `MODELSCOPE_ENDPOINT` are the hub, the vendors' telemetry and update checks are off, and a proxy
  that is not there ends every way beyond loopback at once.
- Times are of the whole process, from its start to its end. The clients take turns (A B C A B C); shown is the median,
  in brackets the fastest and the slowest run.
- The hub is the project's simulator (`tests/simulator`), with one process for all its connections; where it says so,
  nginx sends the large files. Sent are the bytes of files that left the hubs, also those that nobody read any more.
- A client delivered when it ended with status 0 and every file is there with its sha256. curl and hf check no digest
  themselves; aria2c checks the one that it is given; ms-hub and modelfetch check those of the listing.
- modelfetch puts what it fetched on the disk before it gives it a name (fsync); the others leave that to the system.
"""


@dataclass(frozen=True)
class Measured:
    """One row with what was measured and how it was judged."""

    row: Row
    case: Case
    verdicts: tuple[Verdict, ...]


def measured(row: Row, case: Case) -> Measured:
    """Judge the row's promises."""
    return Measured(row, case, tuple(promise.judge(case) for promise in row.promises))


def document(results: Sequence[Measured], facts: Mapping[str, str], notes: Sequence[str]) -> str:
    """The whole page, in Markdown."""
    lines = [_HEAD, *(f"- {name}: {fact}" for name, fact in facts.items()), *(f"- {note}" for note in notes), ""]
    lines += ["## Promises", "", *promise_table(results), "", _METHOD]
    for result in results:
        lines += [*_section(result), ""]
    return "\n".join(lines).rstrip() + "\n"


def promise_table(results: Sequence[Measured]) -> list[str]:
    """One line for each promise."""
    rows = [
        (result.row.name, verdict.promise, verdict.measured, _MET[verdict.met])
        for result in results
        for verdict in result.verdicts
    ]
    return _table(("row", "promise", "measured", ""), rows)


def row_table(result: Measured) -> list[str]:
    """One line for each client."""
    ours = result.case.summaries.get(OURS)
    size = result.case.model.size_bytes
    rows = [
        (client, *_numbers(summary, ours, size if client in result.row.commands else 0))
        for client, summary in result.case.summaries.items()
    ]
    return _table(("client", "wall", "÷ modelfetch", "CPU", "sent", "hub requests", "peak memory", "result"), rows)


def _section(result: Measured) -> Iterator[str]:
    row = result.row
    yield f"## {row.name}: {row.title}"
    yield ""
    for name, hub in zip(("$HUB", "$SECOND"), row.hubs, strict=False):
        yield f"- {name}: {_told(hub)}"
    if row.before is not Before.NOTHING:
        yield f"- before the measured command: {row.before.value}"
    runs = max(len(summary.runs) for summary in result.case.summaries.values())
    yield f"- runs: {runs}"
    yield ""
    yield from row_table(result)
    yield ""
    yield "```sh"
    yield from row.lines.values()
    yield "```"


def _numbers(summary: Summary, ours: Summary | None, size: int) -> tuple[str, ...]:
    fastest, *_, slowest = [*summary.walls_s, summary.walls_s[-1]]
    return (
        f"{summary.wall_s:.2f} s ({fastest:.2f}–{slowest:.2f})",
        f"{summary.wall_s / ours.wall_s:.2f}" if ours else "",
        f"{summary.cpu_s:.2f} s",
        f"{summary.sent_bytes / size:.2f} ×" if size else "",
        str(summary.requests) if size else "",
        format_bytes(summary.peak_bytes),
        summary.ending,
    )


def _told(hub: Hub) -> str:
    parts = [repr(fault) for fault in hub.faults]
    if hub.nginx:
        parts.append("nginx sends the large files")
    if hub.knows_pieces:
        parts.append("hands out the list of a file's pieces")
    if hub.rate:
        parts.append(f"{format_bytes(hub.rate)}/s for each connection")
    if hub.latency_s:
        parts.append(f"{hub.latency_s * 1000:.0f} ms before every connection and every answer")
    if hub.link_life_requests:
        parts.append(f"a signed link is good for {hub.link_life_requests} request")
    return "; ".join(parts) or "no limit, no fault"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table whose source lines up."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    return [line(head), line(["-" * width for width in widths]), *map(line, rows)]
