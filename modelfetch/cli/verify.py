"""`modelfetch verify`: says what is damaged or not as it is locked, mends it when asked to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelfetch.cli._output import format_bytes, print_json, say
from modelfetch.errors import DigestMismatchError, UsageError

if TYPE_CHECKING:
    from modelfetch.store import Snapshot, Store
    from modelfetch.verification import Finding, VerifyReport
    from modelfetch.verification.run import Repair

_EPILOG = """\b
Examples:
  modelfetch verify
  modelfetch verify Qwen/Qwen3-0.6B --repair
  modelfetch verify --deep
  modelfetch verify --locked models.lock
"""
_COLOURS = {"error": "red", "warning": "yellow", "info": None}


@click.command(epilog=_EPILOG)
@click.argument("references", metavar="[REF...]", nargs=-1)
@click.option("--repair", is_flag=True, help="Fetch again what is damaged, from any source that has its digest.")
@click.option(
    "--endpoint", "endpoints", metavar="NAME|URL", multiple=True, help="With --repair: only from here; may be repeated."
)
@click.option("--deep", is_flag=True, help="Read every byte again, also of files that did not change since.")
@click.option(
    "--locked",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also find what this lock file names and is not here; of REF or of all its models.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/json.md).")
@click.option("-q", "--quiet", is_flag=True, help="No progress; findings only.")
@click.pass_context
def command(  # noqa: PLR0913 - one parameter for each option
    context: click.Context,
    *,
    references: tuple[str, ...],
    repair: bool,
    endpoints: tuple[str, ...],
    deep: bool,
    locked: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check every file of what was pulled, of everything or of REF, without a network; open it as a loader would.

    A file whose size, time and inode are as they were when it was last read is known: only --deep reads it again.

    Ends with exit status 8 when something is damaged, or not as it is locked, and was not repaired.
    """
    from modelfetch.cli._bar import ReadingBar
    from modelfetch.config import load, with_endpoints
    from modelfetch.store import Store
    from modelfetch.verification import verify

    if endpoints and not repair:
        raise UsageError("--endpoint says where to fetch from, and nothing is to be fetched", hint="add --repair")
    settings = load()
    with_endpoints(settings, endpoints)  # what is wrong with them is said before anything is read
    store = Store.open(settings.home, create=False)
    snapshots, differing = _chosen(store, references, locked)
    with ReadingBar("verifying", shown=not quiet and sys.stderr.isatty()) as bar:
        report = verify(store, snapshots, repair=_repair(endpoints) if repair else None, deep=deep, listener=bar)
    report = report.with_findings(differing)
    if as_json:
        print_json(report.to_json())
    else:
        _tell(report, "locked" if locked else "pulled")
    for error in report.repair_errors:
        say(f"not repaired: {error.render()}", style="red")
    if not report.ok:
        if not repair and any(finding.can_be_repaired for finding in report.findings):
            say("hint: modelfetch verify --repair")
        context.exit(DigestMismatchError.exit_status)


def _chosen(
    store: Store, references: tuple[str, ...], locked: Path | None
) -> tuple[Sequence[Snapshot] | None, Sequence[Finding]]:
    """What is to be verified, None for everything; and where that is not what the lock file names."""
    if locked is None:
        from modelfetch.cli._stored import matching

        return (matching(store, references) if references else None), ()
    from modelfetch import lock
    from modelfetch.reference import parse
    from modelfetch.verification import hold_to_lock

    models = lock.read(locked).meant_by(tuple(map(parse, references)), where=str(locked))
    held = hold_to_lock(models, store.snapshots(), where=str(locked))
    return held.snapshots, held.findings


def _repair(endpoints: tuple[str, ...]) -> Repair:
    from modelfetch.pulling.repair import repair

    return partial(repair, endpoints=endpoints)


def _tell(report: VerifyReport, meant: str) -> None:
    # A blob that several snapshots share is a finding of each; a person reads it once.
    for line, severity in {_line(finding): finding.severity for finding in report.findings}.items():
        click.echo(click.style(line, fg=_COLOURS[severity.value]))
    read = f"read {format_bytes(report.checked_bytes)}"
    if report.known_bytes:
        read += f", {format_bytes(report.known_bytes)} unchanged since they were read"
    if report.ok:
        say(f"{read}: every file is as it was {meant}", style="green")
    else:
        damaged = {(finding.repo, finding.path) for finding in report.findings if finding.remains}
        say(f"{read}: {len(damaged)} file(s) damaged or missing", style="red")


def _line(finding: Finding) -> str:
    line = f"{finding.severity.value}: {finding.repo} {finding.path}: {finding.problem.value}"
    if finding.expected:
        line += f" (expected {finding.expected}, got {finding.got})"
    elif finding.got:
        line += f" ({finding.got})"
    line += f", {finding.where}" if finding.where else ""
    line += "; repaired" if finding.repaired else ""
    return f"{line}\n  hint: {finding.hint}" if finding.hint else line
