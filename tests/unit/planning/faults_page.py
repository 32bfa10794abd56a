"""Writes docs/faults.md from the code that decides: `python -m tests.unit.planning.faults_page`."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from modelfetch.planning.retry import (
    FIRST_WAIT_S,
    MAX_ATTEMPTS,
    MAX_WAIT_S,
    PROGRESS_BYTES,
    STALL_S,
    TRICKLE_BYTES,
    TRICKLE_S,
    Action,
    Decision,
    Fault,
    Kind,
    decide,
    throttles,
)

PAGE = Path(__file__).parents[3] / "docs" / "faults.md"
STATUSES = range(400, 600)
LONGEST_S = FIRST_WAIT_S * 2 ** (MAX_ATTEMPTS - 2)

_INTRODUCTION = f"""\
# What is done about a fault

Generated from `modelfetch/planning/retry.py` (`python -m tests.unit.planning.faults_page`); a test compares them.

Tries are counted for each endpoint and file since the last progress: a link that breaks every few megabytes is slow,
not dead. The waits grow, are spread by chance, and are never longer than {LONGEST_S:.0f} s unless the endpoint asks for
longer. A source that is not used any more for one file may still serve another, and the transfer goes on from the other
sources.

A connection is judged by what it brings, never by how long it takes in all. It is a `STALL` when nothing comes within
{STALL_S:.0f} s, and a `TRICKLE` when less than {TRICKLE_BYTES} bytes, or less than a whole head, come within
{TRICKLE_S:.0f} s. What is lost to a slow disk or to `--limit-rate` does not count. Less than {PROGRESS_BYTES >> 10} KiB
between two failures is no progress.
"""

_AFTER_KINDS = f"""
A file larger than one piece has its wrong bytes looked for instead. Its sources are asked whether they know the
digests of its pieces, which `modelfetch serve` does and no hub: then a wrong byte costs one piece, from somebody else
(`modelfetch/planning/mending.py`). Otherwise the bytes of one source after another are compared with another's, those
of the source that is trusted least first, until the file is right (`modelfetch/planning/suspects.py`).

## Statuses

An answer "after a redirect" comes from where the hub led to, such as a signed link, and not from the hub itself.
`Retry-After` (seconds or a date) and `RateLimit` lengthen a wait to what is asked for, up to {MAX_WAIT_S:.0f} s; who
asks for more is not waited for, and not used any more for this file.
"""

_AFTER_STATUSES = """
A hub's own 401 or 403 ends the whole pull: no other source is tried to get round it.
"""


def page() -> str:
    """The whole document."""
    kinds = [[f"`{kind.name}`", kind.value, *_story(Fault(kind))] for kind in Kind if kind is not Kind.STATUS]
    lines = [
        _INTRODUCTION,
        *_table(["fault", "meaning", "first time", "again, without progress", "at the latest"], kinds),
        _AFTER_KINDS,
        *_table(["status", "from", "first time", "again, without progress", "at the latest"], _status_rows()),
        _AFTER_STATUSES,
        f"All lanes of an endpoint wait after {_listed(_throttling())}, and half of them end. A handful stays,",
        "unless it answers so again within ten seconds.",
        "",
    ]
    return "\n".join(lines)


def _status_rows() -> list[list[str]]:
    rows = []
    for redirected in (False, True):
        stories: dict[tuple[str, ...], list[int]] = {}
        for status in STATUSES:
            fault = Fault(Kind.STATUS, status=status, redirected=redirected)
            stories.setdefault(_story(fault), []).append(status)
        where = "after a redirect" if redirected else "the hub"
        rows += [[_listed(statuses), where, *story] for story, statuses in stories.items()]
    return rows


def _story(fault: Fault) -> tuple[str, ...]:
    """What is done the first time, from the second on, and with the last."""
    decisions = [(decide(fault, attempt, 0.0), decide(fault, attempt, 1.0)) for attempt in range(1, MAX_ATTEMPTS + 1)]
    first, second = decisions[0], decisions[1]
    if first[0].action is Action.GIVE_UP:
        return (Action.GIVE_UP.value, "", "")
    last = next(number for number, pair in enumerate(decisions, 1) if pair[0].action is Action.GIVE_UP)
    again = _told(*second) if last > 2 else ""
    if last > 3:
        again += f", then up to {max(pair[1].wait_s for pair in decisions):.3g} s"
    return (_told(*first), again, f"the {_ordinal(last)} time: {Action.GIVE_UP.value}")


def _told(soonest: Decision, latest: Decision) -> str:
    wait = f"after {soonest.wait_s:.2g} to {latest.wait_s:.2g} s" if latest.wait_s else "at once"
    return f"{latest.action.value} {wait}"


def _throttling() -> list[int]:
    return [status for status in STATUSES if throttles(Fault(Kind.STATUS, status=status))]


def _listed(statuses: list[int]) -> str:
    """`400, 402–407`."""
    runs = groupby(enumerate(statuses), key=lambda pair: pair[1] - pair[0])
    ends = [(run[0][1], run[-1][1]) for run in (list(group) for _, group in runs)]
    return ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in ends)


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def _table(heading: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (heading, ["---"] * len(heading), *rows)]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
