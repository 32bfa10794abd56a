"""The benchmark's judgement: what is compared with what, and that every row of its table can be run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest

from bench.clients import Place
from bench.promises import (
    OURS,
    CpuAtMost,
    Finishes,
    Notices,
    OneRequestAFile,
    PeakAtMost,
    RateAtLeast,
    SentAtMost,
    WallAtMost,
)
from bench.report import document, measured, promise_table
from bench.rows import only_with, quick
from bench.table import ROWS
from bench.values import Case, Model, Promise, Row, Run, State, Summary, Usage

MODEL = Model({"model.safetensors": 1000})
NAMES = {"HUB": "http://hub", "SECOND": "http://second", "SHA256": "ab", "MODEL": "/model", "CORES": "2"}


def a_run(
    wall_s: float = 1.0, *, cpu_s: float = 1.0, peak: int = 0, sent: int = 1000, state: State = State.RIGHT
) -> Run:
    return Run(Usage(wall_s, cpu_s, peak, 1 if state is State.FAILED else 0), state, sent, requests=2)


def case(**runs: Run | Sequence[Run]) -> Case:
    listed = {client: [given] if isinstance(given, Run) else given for client, given in runs.items()}
    return Case(MODEL, {client: Summary(given) for client, given in listed.items()})


def is_met(promise: Promise, given: Case) -> bool | None:
    return promise.judge(given).met


def test_a_time_is_compared_with_the_fastest_rival() -> None:
    promise = WallAtMost(1.1, ("curl", "hf"))
    assert is_met(promise, case(modelfetch=a_run(2.2), curl=a_run(2.0), hf=a_run(9.0))) is True
    assert is_met(promise, case(modelfetch=a_run(2.3), curl=a_run(2.0), hf=a_run(9.0))) is False


def test_a_rival_that_did_not_deliver_is_not_compared_with() -> None:
    failed = a_run(0.1, state=State.FAILED)
    assert is_met(WallAtMost(1.0, ("curl", "hf")), case(modelfetch=a_run(2.0), curl=failed, hf=a_run(3.0))) is True
    assert is_met(WallAtMost(1.0, ("curl",)), case(modelfetch=a_run(2.0), curl=failed)) is None
    assert is_met(WallAtMost(1.0, ("curl",)), case(modelfetch=a_run(2.0))) is None


@pytest.mark.parametrize(
    "promise", [Finishes(), WallAtMost(1.1, ("curl",)), SentAtMost(2.0), PeakAtMost(10), RateAtLeast(0.1, 1.0)]
)
def test_whoever_does_not_deliver_every_time_keeps_no_promise(promise: Promise) -> None:
    runs = [a_run(0.1), a_run(0.1, state=State.FAILED), a_run(0.1)]
    assert is_met(promise, case(modelfetch=runs, curl=a_run())) is False


def test_a_median_forgives_one_slow_run_and_a_peak_forgives_none() -> None:
    runs = [a_run(1.0, peak=5), a_run(9.0, peak=50), a_run(1.1, peak=6)]
    assert is_met(WallAtMost(1.1, ("curl",)), case(modelfetch=runs, curl=a_run(1.0))) is True
    assert is_met(PeakAtMost(49), case(modelfetch=runs)) is False


def test_the_cpu_may_be_spent_on_the_rivals_work_and_on_hashing() -> None:
    promise = CpuAtMost(1.5, "curl", "hash")
    assert is_met(promise, case(modelfetch=a_run(cpu_s=4.0), curl=a_run(cpu_s=2.0), hash=a_run(cpu_s=1.0))) is True
    assert is_met(promise, case(modelfetch=a_run(cpu_s=4.1), curl=a_run(cpu_s=2.0), hash=a_run(cpu_s=1.0))) is False


def test_a_rate_is_that_of_the_whole_command() -> None:
    assert is_met(RateAtLeast(0.9, 500.0), case(modelfetch=a_run(2.2))) is True
    assert is_met(RateAtLeast(0.9, 500.0), case(modelfetch=a_run(2.3))) is False


def test_bytes_may_be_sent_twice_only_as_often_as_promised() -> None:
    assert is_met(SentAtMost(1.1), case(modelfetch=a_run(sent=1100))) is True
    assert is_met(SentAtMost(1.1), case(modelfetch=a_run(sent=1101))) is False
    assert is_met(SentAtMost(extra_bytes=50), case(modelfetch=a_run(sent=1050))) is True
    assert is_met(SentAtMost(extra_bytes=50), case(modelfetch=a_run(sent=1051))) is False


def test_a_listing_and_one_request_a_file_are_enough() -> None:
    assert is_met(OneRequestAFile(), case(modelfetch=a_run())) is True
    assert is_met(OneRequestAFile(), Case(Model({}), {OURS: Summary([a_run()])})) is False


def test_a_wrong_byte_may_end_in_a_failure_but_not_under_status_0() -> None:
    assert is_met(Notices(), case(modelfetch=a_run(state=State.FAILED))) is True
    assert is_met(Notices(), case(modelfetch=[a_run(), a_run(state=State.WRONG)])) is False


def test_a_client_that_fails_is_shown_with_its_status_and_how_often() -> None:
    failed = a_run(state=State.FAILED)
    assert Summary([failed, failed]).ending == "fails (1)"
    assert Summary([a_run(), failed, a_run()]).ending == "2 × right, 1 × fails (1)"


def test_a_client_that_is_not_installed_is_left_out_of_its_rows() -> None:
    row = only_with(_row("free-link"), lambda program: program not in {"hf", "python"})
    assert "hf" not in row.lines
    assert "modelfetch" in row.commands
    assert row.yardsticks == {}


def test_quick_makes_large_files_smaller_and_many_files_fewer() -> None:
    assert quick(_row("free-link")).model.size_bytes == _row("free-link").model.size_bytes // 8
    assert quick(_row("small-files")).model.files == dict(list(_row("small-files").model.files.items())[:25])


def test_no_two_rows_share_a_name() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_runs_modelfetch_and_promises_something_about_it(row: Row) -> None:
    assert OURS in row.commands
    assert row.promises


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_command_line_names_only_what_it_is_given(row: Row, tmp_path: Path) -> None:
    without = ["HUB", "SECOND"][len(row.hubs) :]
    given = {name: NAMES[name] for name in NAMES if name not in without}
    for line in row.lines.values():
        assert len(Place(tmp_path, given, 1.0).words(line)) == len(shlex.split(line))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_promise_compares_with_somebody_in_its_row(row: Row) -> None:
    named: set[str] = set()
    for promise in row.promises:
        values = {field.name: getattr(promise, field.name) for field in fields(promise)}  # type: ignore[arg-type]  # every promise is a dataclass
        named |= {*values.get("rivals", ()), *(values[each] for each in ("rival", "extra") if each in values)}
    assert named - {"aria2c"} <= row.lines.keys()


def test_the_page_has_every_promise_and_the_exact_commands() -> None:
    row = _row("small-files")
    result = measured(row, case(modelfetch=a_run(2.0), aria2c=a_run(1.0), hf=a_run(state=State.WRONG)))
    page = document([result], {"processor": "one"}, ["a note"])
    assert "**not met**" in "\n".join(promise_table([result]))
    for text in ("- processor: one", "- a note", "wrong bytes under exit status 0", *row.lines.values()):
        assert text in page


def _row(name: str) -> Row:
    return next(row for row in ROWS if row.name == name)
