"""What `mirrors test` says on a terminal: a row for each endpoint, what is remarkable below, and who begins and why."""

from __future__ import annotations

import click

from modelfetch.cli._cells import shown, table
from modelfetch.cli._output import format_bytes, format_duration
from modelfetch.mirrors import Tested, Trial

_HEADINGS = ("", "first answer", "speed", "1 GB in", "ranges", "digest", "gated models", "bytes come from")


def print_report(tested: Tested) -> None:
    """Everything that was found out; the most promising endpoint first."""
    trials = {trial.endpoint.name: trial for trial in tested.trials}
    ordered = [trials[name] for name in tested.order]
    measured = [_row(trial, tested.scores[trial.endpoint.name].seconds) for trial in ordered if trial.problem is None]
    if measured:
        click.echo("\n".join(table([_HEADINGS, *measured], indent=0)))
    for trial in ordered:
        for line in _remarks(trial):
            click.echo(shown(f"{trial.endpoint.name}: {line}"))
    click.echo(f"\n{shown(tested.why)}" if tested.why else "\nnone of them could be measured")


def _row(trial: Trial, seconds: float) -> tuple[str, ...]:
    return tuple(
        shown(cell)
        for cell in (
            trial.endpoint.name,
            "-" if trial.latency_s is None else f"{trial.latency_s:.2f} s",
            "-" if trial.bytes_per_s is None else f"{format_bytes(trial.bytes_per_s)}/s",
            format_duration(seconds) if seconds < float("inf") else "-",
            _word(trial.ranges, "yes", "whole files"),
            _word(trial.digest_right, "right", "WRONG"),
            _word(trial.asks_for_terms, "asks", "served to anybody"),
            trial.served_by or "-",
        )
    )


def _remarks(trial: Trial) -> list[str]:
    lines = []
    if trial.problem:
        lines.append(f"cannot be used: {trial.problem}")
    if trial.note:
        lines.append(trial.note)
    lines += [f"counts requests: {name}: {value}" for name, value in trial.limits.items()]
    return lines


def _word(value: bool | None, yes: str, no: str) -> str:
    return "-" if value is None else yes if value else no
