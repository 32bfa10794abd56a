"""`modelfetch verify`: reads every byte again, says what is damaged, mends it when asked to."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from modelfetch.cli._output import format_bytes, print_json, say
from modelfetch.errors import DigestMismatchError

if TYPE_CHECKING:
    from modelfetch.verify import Checked, Finding, VerifyReport

_EPILOG = """\b
Examples:
  modelfetch verify
  modelfetch verify Qwen/Qwen3-0.6B --repair
"""
_COLOURS = {"error": "red", "warning": "yellow", "info": None}


@click.command(epilog=_EPILOG)
@click.argument("references", metavar="[REF...]", nargs=-1)
@click.option("--repair", is_flag=True, help="Fetch again what is damaged, from any source that has its digest.")
@click.option("--deep/--quick", default=True, help="Read every byte (default), or only files that changed since.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/json.md).")
@click.option("-q", "--quiet", is_flag=True, help="No progress; findings only.")
@click.pass_context
def command(
    context: click.Context, *, references: tuple[str, ...], repair: bool, deep: bool, as_json: bool, quiet: bool
) -> None:
    """Check every byte of what was pulled, of everything or of REF, without a network.

    Ends with exit status 8 when something is damaged and was not repaired.
    """
    from modelfetch.cli._stored import matching
    from modelfetch.config import load
    from modelfetch.store import Store
    from modelfetch.verify import verify

    store = Store.open(load().home, create=False)
    snapshots = matching(store, references) if references else None
    with _Bar(shown=not quiet and sys.stderr.isatty()) as bar:
        report = verify(store, snapshots, repair=_repair if repair else None, deep=deep, listener=bar)
    if as_json:
        print_json(report.to_json())
    else:
        _tell(report)
    for error in report.repair_errors:
        say(f"not repaired: {error.render()}", style="red")
    if not report.ok:
        if not repair and any(finding.can_be_repaired for finding in report.findings):
            say("hint: modelfetch verify --repair")
        context.exit(DigestMismatchError.exit_status)


def _repair(snapshot: Any, paths: frozenset[str]) -> None:
    from modelfetch.pull.repair import repair

    repair(snapshot, paths)


def _tell(report: VerifyReport) -> None:
    # A blob that several snapshots share is a finding of each; a person reads it once.
    for line, severity in {_line(finding): finding.severity for finding in report.findings}.items():
        click.echo(click.style(line, fg=_COLOURS[severity.value]))
    read = f"read {format_bytes(report.checked_bytes)}"
    if report.ok:
        say(f"{read}: every file is as it was pulled", style="green")
    else:
        damaged = {(finding.repo, finding.path) for finding in report.findings if finding.remains}
        say(f"{read}: {len(damaged)} file(s) damaged", style="red")


def _line(finding: Finding) -> str:
    line = f"{finding.severity.value}: {finding.repo} {finding.path}: {finding.problem.value}"
    if finding.expected:
        line += f" (expected {finding.expected}, got {finding.got})"
    elif finding.got:
        line += f" ({finding.got})"
    line += f", {finding.where}" if finding.where else ""
    line += "; repaired" if finding.repaired else ""
    return f"{line}\n  hint: {finding.hint}" if finding.hint else line


class _Bar:
    """One line of progress on a terminal; a listener of `verify`."""

    def __init__(self, *, shown: bool) -> None:
        from tqdm import tqdm

        self._lock = threading.Lock()
        self._bar = tqdm(
            total=0, unit="B", unit_scale=True, desc="verifying", disable=not shown, leave=False, dynamic_ncols=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def __call__(self, checked: Checked) -> None:
        with self._lock:
            self._bar.total = checked.total_bytes
            self._bar.update(checked.advanced)
