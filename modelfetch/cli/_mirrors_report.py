"""What `mirrors test` says on a terminal: a row for each place, what is remarkable below, and who begins and why.

- A row fits in 80 columns. What may be longer, such as a host, is a line of its own.
- What is as it should be is not remarkable: bytes from the endpoint's own host, a clock that is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import click

from modelfetch.cli._cells import shortened, shown, table
from modelfetch.cli._output import format_bytes, format_duration
from modelfetch.mirrors import IndexTrial, Tested, TestedIndexes, Trial
from modelfetch.mirrors.trial import Shown

_ENDPOINT_HEADINGS = ("", "answers", "speed", "1 GB in", "ranges", "digest", "gated")
_INDEX_HEADINGS = ("", "kind", "answers", "speed", "digest", "newest")
_ENDPOINT_COLUMNS, _INDEX_COLUMNS = 25, 16
# From five minutes on TLS and signed addresses begin to fail.
_SKEW_S = 300.0


def print_endpoints(tested: Tested) -> None:
    """Everything that was found out of endpoints; the most promising one first."""
    trials = {trial.endpoint.name: trial for trial in tested.trials}
    ordered = [trials[name] for name in tested.order]
    rows = [_row(trial, tested.scores[trial.endpoint.name].seconds) for trial in ordered if trial.problem is None]
    _print_table(_ENDPOINT_HEADINGS, rows)
    for trial in ordered:
        _print_remarks(trial.endpoint.name, _remarks(trial, trial.endpoint.url))
    click.echo(shown(tested.why) if tested.why else "none of them could be measured")


def print_indexes(tested: TestedIndexes) -> None:
    """Everything that was found out of package indexes; of each kind the most promising one first."""
    _print_table(_INDEX_HEADINGS, [_index_row(trial) for trial in tested.trials if trial.problem is None])
    for trial in tested.trials:
        newer = tested.behind.get(trial.index.name)
        late = [f"is behind: it lists {trial.newest}, and there is {newer}"] if newer else []
        _print_remarks(trial.index.name, [*late, *_remarks(trial, trial.index.url)])


def _print_table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    if rows:
        click.echo("\n".join(table([headings, *rows], indent=0)))


def _print_remarks(name: str, remarks: Iterable[str]) -> None:
    for line in remarks:
        click.echo(shown(f"{name}: {line}"))


def _row(trial: Trial, seconds: float) -> tuple[str, ...]:
    return (
        shortened(shown(trial.endpoint.name), _ENDPOINT_COLUMNS),
        *_pace(trial),
        format_duration(seconds) if seconds < float("inf") else "-",
        _word(trial.ranges, "yes", "no"),
        _word(trial.digest_right, "right", "WRONG"),
        _word(trial.asks_for_terms, "asks", "OPEN"),
    )


def _index_row(trial: IndexTrial) -> tuple[str, ...]:
    name = shortened(shown(trial.index.name), _INDEX_COLUMNS)
    digest = _word(trial.digest_right, "right", "WRONG")
    return (name, trial.index.kind, *_pace(trial), digest, shown(trial.newest or "-"))


def _pace(trial: Shown) -> tuple[str, str]:
    latency = "-" if trial.latency_s is None else f"{trial.latency_s:.2f} s"
    return latency, "-" if trial.bytes_per_s is None else f"{format_bytes(trial.bytes_per_s)}/s"


def _remarks(trial: Shown, url: str) -> Iterator[str]:
    if trial.problem:
        yield f"cannot be used: {trial.problem}"
    if trial.note:
        yield trial.note
    if isinstance(trial, Trial) and trial.asks_for_terms is False:
        yield "serves a gated model's files to anybody"
    if trial.served_by and trial.served_by != urlsplit(url).hostname:
        yield f"bytes come from {trial.served_by}"
    if trial.skew_s is not None and abs(trial.skew_s) >= _SKEW_S:
        direction = "ahead of" if trial.skew_s > 0 else "behind"
        yield f"its clock is {format_duration(abs(trial.skew_s))} {direction} this machine's"
    yield from (f"counts requests: {name}: {value}" for name, value in trial.limits.items())


def _word(value: bool | None, yes: str, no: str) -> str:
    return "-" if value is None else yes if value else no
