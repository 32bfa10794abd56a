"""`modelfetch smoke`: load models and make them work. Prints what `modelfetch.smoke` found."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from modelfetch.cli._output import format_bytes, format_duration, print_json, say
from modelfetch.config import load
from modelfetch.errors import NotFoundError, SmokeError, StoreError, UsageError
from modelfetch.reference import parse

if TYPE_CHECKING:
    from modelfetch.smoke import Finding, SmokeResult
    from modelfetch.smoke.observations import Observation
    from modelfetch.smoke.result import Facts, Spoken
    from modelfetch.store import Snapshot, Store

_DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,3})?")
_PATH = re.compile(r"[./~]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
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
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]", help="Where to run.")
@click.option(
    "--dtype", default="auto", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), help="In which type."
)
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
@click.option("--trust-remote-code", is_flag=True, help="Run Python code that comes with the model. Read it first.")
@click.option("--allow-random", is_flag=True, help="Do not fail a model whose weights nobody trained.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def command(*, models: tuple[str, ...], every: bool, as_json: bool, timeout: float | None, **choices: Any) -> int:
    """Load a model in a process of its own and make it work: PASS, WARN, FAIL or SKIP, and why.

    A pass shows that this machine runs the model. Whether every byte is right, `modelfetch verify` tells.
    """
    from modelfetch.smoke import SmokeOptions, Verdict, smoke
    from modelfetch.store import Snapshot, Store

    if bool(models) == every:
        raise UsageError("name the models to test, or say --all", hint="modelfetch smoke Qwen/Qwen3-0.6B")
    if not _DEVICE.fullmatch(choices["device"]):
        raise UsageError(f"`{choices['device']}` is no device", facts={"expected": "auto, cpu, cuda or cuda:N"})
    options = SmokeOptions(timeout_s=timeout, **choices)
    store = Store.open(load().home)
    results = []
    for model in _find(models, store, every=every):
        with _Progress(str(model) if isinstance(model, Path) else model.manifest.repo) as progress:
            result = smoke(model, options, listener=progress)
        results.append(result)
        if isinstance(model, Snapshot):
            _keep(store, model, result)
        if not as_json:
            click.echo(_printable("\n".join(_lines(result))))
    failed = any(result.verdict is Verdict.FAIL for result in results)
    if as_json:
        print_json({"ok": not failed, "results": [result.to_json() for result in results]})
    return SmokeError.exit_status if failed else 0


def _find(models: tuple[str, ...], store: Store, *, every: bool) -> list[Snapshot | Path]:
    """Everything that is to be tested, before the first test: a name that is wrong is wrong at once."""
    return list(store.snapshots()) if every else [_find_one(text, store) for text in models]


def _find_one(text: str, store: Store) -> Snapshot | Path:
    """A model by its name, or a folder by its path; a name that the store does not have may still be a folder."""
    if _PATH.match(text):
        return Path(text).expanduser()
    if Path(text).is_dir() and text.count("/") != 1:
        return Path(text)
    reference = parse(text)
    snapshot = store.lookup(reference)
    if snapshot is not None:
        return snapshot
    if Path(text).is_dir():
        return Path(text)
    raise NotFoundError(f"`{reference}` is not in the store", hint=f"modelfetch pull {reference}")


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


def _printable(text: str) -> str:
    """What a model wrote may hold anything, a terminal's commands included."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def _lines(result: SmokeResult) -> Iterator[str]:
    subject, facts = result.subject, result.facts
    commit = f" @{subject.commit[:12]}" if subject.commit else ""
    kind = f"  ({facts.kind})" if facts.kind else ""
    yield f"{result.verdict.value}  {subject.name}{commit}{kind}"
    if result.spoken:
        yield ""
        yield from _table(_spoken_rows(result.spoken, facts))
    if rows := list(_fact_rows(facts)):
        yield ""
        yield from _table(rows)
    for finding in result.findings:
        yield ""
        yield from _finding_lines(finding)
    if result.verdict.value in {"PASS", "WARN"} and subject.commit is None:
        yield ""
        yield "  The bytes of a plain folder are proven by nothing: a model can pass with damaged weights."
    yield ""


def _spoken_rows(spoken: Spoken, facts: Facts) -> Iterator[tuple[str, str]]:
    yield "prompt", spoken.prompt
    if spoken.thinking is not None:
        yield "thinking", spoken.thinking
    if spoken.complete:
        yield "answer", spoken.answer or "(empty)"
    else:
        yield "answer", "(still thinking when the tokens ran out; try --max-new-tokens 512)"
    if spoken.ended is not None:
        yield "ended by", f"{spoken.ended}, after {facts.new_tokens} tokens"


def _fact_rows(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.device is not None:
        name = "CPU" if facts.device == "cpu" else facts.device
        yield "device", f"{name}: {facts.device_reason} ({facts.device_name})"
        yield "type", f"{facts.dtype}: {facts.dtype_reason}"
    if facts.load_s is not None and facts.parameters is not None:
        yield (
            "loaded",
            f"in {format_duration(facts.load_s)}, {facts.parameters / 1e6:,.1f} M parameters ({facts.class_name})",
        )
    if facts.peak_process_bytes is not None:
        gpu = f", {format_bytes(facts.peak_gpu_bytes)} on the GPU" if facts.peak_gpu_bytes is not None else ""
        yield "memory", f"{format_bytes(facts.peak_process_bytes)} at most{gpu}"
    if facts.first_token_s is not None:
        yield "speed", ", ".join(_speeds(facts))
    if facts.loss is not None and facts.chance_loss is not None:
        yield "loss", f"{facts.loss:.2f} on plain English; {facts.chance_loss:.2f} is chance"
    if facts.versions:
        named = ("python", "torch", "transformers", "cuda")
        yield "ran with", ", ".join(f"{name} {facts.versions[name]}" for name in named if name in facts.versions)
    if facts.seconds is not None:
        yield "took", format_duration(facts.seconds)


def _speeds(facts: Facts) -> Iterator[str]:
    yield f"first token after {facts.first_token_s:.2f} s"
    if facts.prefill_tokens_per_s is not None:
        yield f"reads {facts.prefill_tokens_per_s:.0f} tokens/s"
    if facts.decode_tokens_per_s is not None:
        yield f"writes {facts.decode_tokens_per_s:.1f} tokens/s"


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield f"  {finding.severity.value.upper()} {finding.check}: {finding.title}"
    for name, value in finding.evidence.items():
        first, *rest = value.splitlines() or [""]
        yield f"       {name}: {first}"
        yield from (f"         {line}" for line in rest)
    if finding.hint:
        yield f"       do: {finding.hint}"


def _table(rows: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> Iterator[str]:
    for name, value in rows:
        first, *rest = value.splitlines() or [""]
        yield f"  {name:<9} {first}"
        yield from (f"  {'':<9} {line}" for line in rest)
