"""`modelfetch smoke`: load models and make them work. Prints what `modelfetch.smoketest` found."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelfetch.cli._output import print_json, say
from modelfetch.cli._placing import device_option, dtype_option, trust_option
from modelfetch.config import load
from modelfetch.errors import SmokeError, StoreError, UsageError

if TYPE_CHECKING:
    from modelfetch.smoketest import SmokeOptions, SmokeResult
    from modelfetch.store import Snapshot, Store

_LEVELS = ("bytes", "headers", "structure", "load", "exercise")
_EPILOG = """\b
Examples:
  modelfetch smoke Qwen/Qwen3-0.6B
  modelfetch smoke ./my-model --prompt 'Tell me a joke.'
  modelfetch smoke Qwen/Qwen3-8B --plan
  modelfetch smoke Qwen/Qwen3-8B --level structure
  modelfetch smoke --all --report smoke.html
"""


@click.command(name="smoke", epilog=_EPILOG)
@click.argument("models", nargs=-1, metavar="[REF|FOLDER]...")
@click.option("--all", "every", is_flag=True, help="Every model in the store; what passed and is unchanged is not run.")
@click.option("--force", is_flag=True, help="With --all: run what is unchanged, too.")
@click.option(
    "--level", type=click.Choice(_LEVELS), default="exercise", show_default=True, help="Go so far and no further."
)
@click.option("--plan", is_flag=True, help="Only say whether it fits into memory, where, and in which type.")
@device_option
@dtype_option
@click.option(
    "--max-new-tokens", default=32, show_default=True, type=click.IntRange(1, 4096), help="The longest answer."
)
@click.option("--prompt", metavar="TEXT", help="Ask this instead of the built-in question.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Give up after this; by default it grows with the model.",
)
@trust_option
@click.option("--allow-random", is_flag=True, help="Do not fail a model whose weights nobody trained.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    help="Also write a page that can be sent with a bug report.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def command(  # noqa: PLR0913 - the options that are not fields of a test
    *,
    models: tuple[str, ...],
    every: bool,
    force: bool,
    level: str,
    plan: bool,
    report: Path | None,
    as_json: bool,
    **choices: Any,
) -> int:
    """Load a model in a process of its own and make it work: PASS, WARN, FAIL or SKIP, and why.

    A pass shows that this machine runs the model. Whether every byte is right, `modelfetch verify --deep` tells.
    """
    from modelfetch.smoketest import Level, SmokeOptions, Verdict
    from modelfetch.store import Store

    if bool(models) == every:
        raise UsageError("name the models to test, or say --all", hint="modelfetch smoke Qwen/Qwen3-0.6B")
    if force and not every:
        raise UsageError("--force goes with --all; a model that is named is always run", hint="leave --force away")
    if choices["trust_remote_code"] and len(models) != 1:
        raise UsageError("whose code may run is said of one model at a time", hint="name one model")
    if choices["prompt"] is not None and not choices["prompt"].strip():
        raise UsageError("there is nothing in the prompt", hint="leave --prompt away for the built-in question")
    if report and plan:
        raise UsageError("--report is about tests, and --plan runs none", hint="leave one of them away")
    if report and not report.absolute().parent.is_dir():
        raise UsageError(f"there is no folder `{report.absolute().parent}` for the report", hint="make it first")
    options = SmokeOptions(level=Level(level), **choices)
    store = Store.open(load().home, create=False)
    found = _find(models, store, every=every)
    if plan:
        return _plan(found, options, as_json=as_json)
    results, unchanged = _test(store, found, options, skip_unchanged=every and not force, as_json=as_json)
    if report:
        _write_report(report, store, results, unchanged)
    failed = any(result.verdict is Verdict.FAIL for result in results)
    if as_json:
        names = [{"model": snapshot.manifest.repo, "commit": snapshot.manifest.commit} for snapshot in unchanged]
        kept = [name | _verdict(snapshot) for name, snapshot in zip(names, unchanged, strict=True)]
        print_json({"ok": not failed, "results": [result.to_json() for result in results], "unchanged": kept})
    return SmokeError.exit_status if failed else 0


def _test(
    store: Store, models: list[Snapshot | Path], options: SmokeOptions, *, skip_unchanged: bool, as_json: bool
) -> tuple[list[SmokeResult], list[Snapshot]]:
    """The results, and the snapshots that were not run again; each is printed when it is there."""
    from modelfetch.cli._smoke_report import render, render_kept, show
    from modelfetch.cli._smoke_test import holds_still, test_model

    results: list[SmokeResult] = []
    unchanged: list[Snapshot] = []
    for model in models:
        if skip_unchanged and not isinstance(model, Path) and model.smoke and holds_still(store, model, options):
            unchanged.append(model)
            if not as_json:
                show(render_kept(model.name, model.smoke))
            continue
        results.append(test_model(store, model, options))
        if not as_json:
            show(render(results[-1]))
    return results, unchanged


def _write_report(path: Path, store: Store, results: list[SmokeResult], unchanged: list[Snapshot]) -> None:
    from modelfetch import __version__
    from modelfetch.cli._smoke_page import Author, render_page

    # A container may run as somebody who has no name.
    user = os.environ.get("USER") or os.environ.get("USERNAME") or Path.home().name
    # Errors of a child name a folder by what its links lead to.
    folders = [Path(result.subject.folder).resolve() for result in results]
    places = {str(folder): folder.name for folder in folders}
    places |= {str(Path.cwd()): ".", str(Path.home()): "~", str(store.home): "STORE"}
    author = Author(places, user, __version__)
    page = render_page(results, {each.name: each.smoke or {} for each in unchanged}, datetime.now(UTC), author)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"the report `{path}` could not be written", facts={"got": str(error)}) from error
    say(f"report: {path}")


def _verdict(snapshot: Snapshot) -> dict[str, Any]:
    """What the last test said, and when."""
    return {name: (snapshot.smoke or {}).get(name) for name in ("verdict", "tested_at")}


def _plan(models: list[Snapshot | Path], options: SmokeOptions, *, as_json: bool) -> int:
    from modelfetch.cli._smoke_report import render_fit, show
    from modelfetch.smoketest import fit

    fits = []
    for model in models:
        fits.append(fit(model, options))
        if not as_json:
            show(render_fit(fits[-1]))
    too_large = any(each.fits is False for each in fits)
    if as_json:
        print_json({"ok": not too_large, "plans": [each.to_json() for each in fits]})
    return SmokeError.exit_status if too_large else 0


def _find(models: tuple[str, ...], store: Store, *, every: bool) -> list[Snapshot | Path]:
    """Everything that is to be tested, before the first test: a name that is wrong is wrong at once."""
    from modelfetch.cli._stored import find_model

    return list(store.snapshots()) if every else [find_model(store, text) for text in models]
