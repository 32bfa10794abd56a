"""`modelfetch smoke`: load models and make them work. Prints what `modelfetch.smoke` found."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from modelfetch.cli._output import print_json, say
from modelfetch.cli._placing import device_option, dtype_option, trust_option
from modelfetch.cli._smoke_report import render
from modelfetch.config import load
from modelfetch.errors import SmokeError, StoreError, UsageError

if TYPE_CHECKING:
    from modelfetch.smoke import SmokeOptions, SmokeResult
    from modelfetch.smoke.observations import Observation
    from modelfetch.store import Snapshot, Store

_PHASES = {
    "import": "importing torch and transformers",
    "tokenizer": "loading the tokenizer",
    "load": "loading the weights",
    "weights": "looking at every weight",
    "loss": "reading plain English",
    "generate": "writing",
}


@click.command(
    name="smoke",
    epilog="Examples:  modelfetch smoke Qwen/Qwen3-0.6B       modelfetch smoke ./my-model --prompt 'Tell me a joke.'",
)
@click.argument("models", nargs=-1, metavar="[REF|FOLDER]...")
@click.option("--all", "every", is_flag=True, help="Every model in the store.")
@device_option
@dtype_option
@click.option(
    "--max-new-tokens", default=32, show_default=True, type=click.IntRange(1, 4096), help="The longest answer."
)
@click.option("--prompt", metavar="TEXT", help="Ask this instead of the built-in question.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Give up after this; by default it grows with the model.",
)
@trust_option
@click.option("--allow-random", is_flag=True, help="Do not fail a model whose weights nobody trained.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def command(*, models: tuple[str, ...], every: bool, as_json: bool, timeout: float | None, **choices: Any) -> int:
    """Load a model in a process of its own and make it work: PASS, WARN, FAIL or SKIP, and why.

    A pass shows that this machine runs the model. Whether every byte is right, `modelfetch verify --deep` tells.
    """
    from modelfetch.smoke import SmokeOptions, Verdict
    from modelfetch.store import Store

    if bool(models) == every:
        raise UsageError("name the models to test, or say --all", hint="modelfetch smoke Qwen/Qwen3-0.6B")
    options = SmokeOptions(timeout_s=timeout, **choices)
    store = Store.open(load().home, create=False)
    results = []
    for model in _find(models, store, every=every):
        result = test_model(store, model, options)
        results.append(result)
        if not as_json:
            click.echo(render(result))
    failed = any(result.verdict is Verdict.FAIL for result in results)
    if as_json:
        print_json({"ok": not failed, "results": [result.to_json() for result in results]})
    return SmokeError.exit_status if failed else 0


def test_model(store: Store, model: Snapshot | Path, options: SmokeOptions) -> SmokeResult:
    """Test one model, with a line of progress, and keep what a snapshot's test said. Prints no result."""
    from modelfetch.smoke import smoke

    with _Progress(str(model) if isinstance(model, Path) else model.manifest.repo) as progress:
        result = smoke(model, options, listener=progress)
    if not isinstance(model, Path):
        _keep(store, model, result)
    return result


def _find(models: tuple[str, ...], store: Store, *, every: bool) -> list[Snapshot | Path]:
    """Everything that is to be tested, before the first test: a name that is wrong is wrong at once."""
    from modelfetch.cli._stored import find_model

    return list(store.snapshots()) if every else [find_model(store, text) for text in models]


def _keep(store: Store, snapshot: Snapshot, result: SmokeResult) -> None:
    """`ls` shows what the last test said. That it cannot be kept is no failure of the model."""
    tested_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        store.note_smoke(snapshot, {"tested_at": tested_at, **result.to_json()})
    except StoreError as error:
        say(f"warning: the result was not kept: {error.message}")


class _Progress:
    """What is being waited for, in one line on a terminal that is gone at the end; nothing anywhere else."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)

    def __call__(self, observation: Observation) -> None:
        phase = getattr(observation, "phase", None)
        if self._shown and phase in _PHASES:
            click.echo(f"\r\x1b[K{self._name}: {_PHASES[phase]}", nl=False, err=True)
