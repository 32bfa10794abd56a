"""`modelfetch doctor`: what is wrong on this machine, which of it to mend first, and with which command.

- A line per group; details only of what is not well, or with -v. Readable without colour.
- It ends with one sentence, the commands that mend the cause, and the one that proves it mended.
- Exit status 0 with warnings at most, 11 with an error or a crash.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelfetch.cli._doctor_files import mend, write_report
from modelfetch.cli._output import print_json
from modelfetch.errors import DoctorError, UsageError
from modelfetch.redact import redact

if TYPE_CHECKING:
    from modelfetch.diagnosis import Finding

SCHEMA_VERSION = 1

_SIGNS = {"ok": "✓", "info": "-", "warning": "!", "error": "✗", "crashed": "☠"}
_PLAIN_SIGNS = {"ok": "+", "info": "-", "warning": "!", "error": "x", "crashed": "X"}
_GROUP_WIDTH = 9
_MOST_OF_A_NAME = 4
_LINE_WIDTH = 110


@click.command(
    name="doctor",
    epilog="Examples:  modelfetch doctor        modelfetch doctor --deep        modelfetch doctor gpu disk        "
    "modelfetch doctor --python .venv        modelfetch doctor --json --offline        "
    "modelfetch doctor --report doctor.md        modelfetch doctor --fix byte-code --dry-run",
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--offline", is_flag=True, help="Ask no endpoint.")
@click.option("--deep", is_flag=True, help="Import torch in a child, multiply on every GPU, and copy to it.")
@click.option(
    "--python",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Look at the packages of this Python, or of the environment in this folder.",
)
@click.option("--fix", metavar="NAME", help="Mend this by itself, after asking: byte-code, indexes or locks.")
@click.option("--dry-run", is_flag=True, help="With --fix: say what would be done, and do nothing.")
@click.option("-y", "--yes", is_flag=True, help="With --fix: do not ask.")
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a report that may be shown to anybody: without tokens, names, paths and hosts of yours.",
)
@click.option("--list", "as_list", is_flag=True, help="List the checks and what they can find.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
@click.option("-v", "--verbose", is_flag=True, help="Details of what is well, too, and the evidence.")
def command(
    names: tuple[str, ...], python: Path | None, fix: str | None, report_file: Path | None, **options: bool
) -> int:
    """Say what is wrong on this machine and what mends it.

    NAME is a group, a check or a finding; without one, everything is checked. Works without torch, and changes nothing
    but with --fix.
    """
    from modelfetch.diagnosis import examine
    from modelfetch.diagnosis.conclusion import with_causes
    from modelfetch.diagnosis.installing import for_indexes
    from modelfetch.diagnosis.interpreters import machine_for

    if options["as_list"]:
        _print_list()
        return 0
    if fix is None and (options["dry_run"] or options["yes"]):
        raise UsageError("doctor changes nothing without --fix", hint="modelfetch doctor --fix byte-code --dry-run")
    machine = machine_for(python, os.environ, Path.cwd())
    if fix is not None:
        return mend(fix, machine, dry_run=options["dry_run"], yes=options["yes"])
    found: list[Finding] = []
    for group, findings in examine(names=names, offline=options["offline"], deep=options["deep"], machine=machine):
        found = for_indexes(with_causes([*found, *findings]))
        if not options["as_json"] and findings:
            _print_group(group, found[-len(findings) :], verbose=options["verbose"])
    if options["as_json"]:
        _print_document(found)
    else:
        _print_conclusion(found)
    if report_file is not None:
        write_report(report_file, found, machine)
    return DoctorError.exit_status if any(finding.severity.is_error for finding in found) else 0


def _print_list() -> None:
    from modelfetch.diagnosis.checks import CHECKS

    for check in CHECKS:
        click.echo(f"{check.group:<{_GROUP_WIDTH}} {check.name:<14} {check.about}")
        for name in check.finds:
            click.echo(f"{'':<{_GROUP_WIDTH}} {'':<14}   {name}")


def _print_document(found: list[Finding]) -> None:
    from modelfetch.diagnosis import conclude

    conclusion = conclude(found)
    document = {
        "schema_version": SCHEMA_VERSION,
        "conclusion": conclusion.sentence,
        "primary": conclusion.primary.name if conclusion.primary else None,
        "findings": [_as_json(finding) for finding in found],
    }
    print_json(_redacted(document))


def _as_json(finding: Finding) -> dict[str, object]:
    fields = dataclasses.asdict(finding)
    return {**fields, "severity": finding.severity.value, "rank": finding.rank.name.lower()}


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(name): _redacted(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(member) for member in value]
    return value


def _print_group(group: str, findings: list[Finding], *, verbose: bool) -> None:
    from modelfetch.diagnosis import Severity, worst

    faults = [finding for finding in findings if finding.severity not in {Severity.OK, Severity.INFO}]
    # What is well and has no figure to show is not worth a reader's time.
    telling, untold = _few(finding for finding in findings if finding.evidence or finding.severity is Severity.INFO)
    titles = [finding.title for finding in telling] + [f"{count} more ({name}, -v)" for name, count in untold.items()]
    summary = _counts(faults) if faults else "; ".join(titles) or "well"
    _print_wrapped(f"{_sign(worst(findings))} {group:<{_GROUP_WIDTH}} ", summary)
    shown, left = (findings, {}) if verbose else _few(faults)
    for finding in shown:
        _print_wrapped(f"    {_sign(finding.severity)} {finding.name}: ", finding.title, indent=8)
        if finding.consequence_of:
            click.echo(f"        follows from {finding.consequence_of}")
            continue
        _print_remedy(finding, indent=8)
        for name, value in finding.evidence.items() if verbose else ():
            _print_wrapped(f"        {name} = ", redact(str(value)), indent=10)
    for name, count in left.items():
        click.echo(f"    {count} more of {name}: modelfetch doctor {name} -v")


def _few(findings: Iterable[Finding]) -> tuple[list[Finding], dict[str, int]]:
    """The first findings of each name, and how many more there are of it: a store may hold hundreds of models."""
    by_name: dict[str, list[Finding]] = {}
    for finding in findings:
        by_name.setdefault(finding.name, []).append(finding)
    few = [finding for same in by_name.values() for finding in same[:_MOST_OF_A_NAME]]
    more = {name: len(same) - _MOST_OF_A_NAME for name, same in by_name.items() if len(same) > _MOST_OF_A_NAME}
    return few, more


def _counts(faults: list[Finding]) -> str:
    words = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for word, severities in (("error", {"error", "crashed"}), ("warning", {"warning"}))
        if (count := sum(finding.severity.value in severities for finding in faults))
    ]
    return ", ".join(words)


def _print_remedy(finding: Finding, *, indent: int) -> None:
    margin = " " * indent
    if finding.advice:
        _print_wrapped(margin, finding.advice, indent=indent)
    for number, line in enumerate(finding.fix):
        # Never wrapped: a command is there to be copied.
        click.echo(f"{margin}{'mend:' if number == 0 else '  or:'}  {redact(line)}")


def _print_conclusion(found: list[Finding]) -> None:
    from modelfetch.diagnosis import conclude

    conclusion = conclude(found)
    click.echo()
    _print_wrapped("", conclusion.sentence)
    if conclusion.primary is None:
        return
    _print_remedy(conclusion.primary, indent=2)
    if conclusion.primary.verify:
        click.echo(f"  prove: {conclusion.primary.verify}")
    explained = [finding.name for finding in found if finding.consequence_of == conclusion.primary.name]
    if explained:
        _print_wrapped("  explains: ", ", ".join(dict.fromkeys(explained)))
    others = sum(finding.severity.is_error and finding.consequence_of is None for finding in found) - 1
    if others > 0:
        click.echo(f"  {others} more error{'' if others == 1 else 's'} above.")


def _sign(severity: str) -> str:
    signs = _SIGNS if "utf" in (sys.stdout.encoding or "").lower() else _PLAIN_SIGNS
    return f"[{signs[severity]}]"


def _print_wrapped(first: str, text: str, *, indent: int | None = None) -> None:
    width = min(shutil.get_terminal_size((_LINE_WIDTH, 24)).columns, _LINE_WIDTH)
    margin = " " * (len(first) if indent is None else indent)
    lines: Iterable[str] = textwrap.wrap(
        redact(text),
        width,
        initial_indent=first,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in lines:
        click.echo(line)
