"""What `modelfetch doctor` writes: the report, and what it mends after showing it."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelfetch import __version__
from modelfetch.cli._output import printable, say
from modelfetch.errors import ConfigError, DoctorError, UsageError
from modelfetch.redact import redact

if TYPE_CHECKING:
    from modelfetch.config import Settings
    from modelfetch.diagnosis import Finding, Machine


def write_report(file: Path, found: list[Finding], machine: Machine) -> None:
    """Write what was found into `file`, without what tells whose machine it is.

    Raises:
        ConfigError: the file cannot be written.
    """
    from modelfetch.diagnosis.report import report

    versions = (
        f"modelfetch {__version__}, python {machine.interpreter.release}",
        f"{platform.system()} {platform.release()}, {machine.architecture}, {' '.join(platform.libc_ver())}".rstrip(
            ", "
        ),
    )
    try:
        file.write_text(report(found, machine, _settings(machine), versions), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"`{file}` cannot be written", facts={"why": error.strerror}) from error
    say(f"the report is in {file}; read it before you show it to anybody", style="green")


def mend(name: str, machine: Machine, *, dry_run: bool, yes: bool) -> int:
    """Show what mending `name` does, ask, and do it.

    Raises:
        UsageError: nothing of this name can be mended, or there is nobody to ask.
        ConfigError: it cannot be mended from here.
        DoctorError: it was tried, and did not help.
    """
    from modelfetch.diagnosis.mending import plan

    settings = _settings(machine)
    steps = plan(name, machine, settings)
    if not steps:
        say("there is nothing to mend")
        return 0
    for step in steps:
        click.echo(printable(redact(step.does)))
        click.echo(printable(f"  to undo it: {step.undo}"))
    if dry_run:
        return 0
    if not yes and not sys.stdin.isatty():
        raise UsageError("nothing was done: there is nobody to ask", hint=f"modelfetch doctor --fix {name} --yes")
    if not yes:
        click.confirm("Do this?", abort=True, err=True)
    for step in steps:
        step.carry_out()
    if plan(name, machine, settings):
        raise DoctorError(f"`{name}` is still not mended", hint=f"modelfetch doctor --fix {name} --dry-run")
    say("done", style="green")
    return 0


def _settings(machine: Machine) -> Settings:
    from modelfetch.config.load import load, load_built_in

    try:
        return load(machine.environment)
    except ConfigError:
        # A report is wanted most where something is wrong.
        return load_built_in(machine.environment)
