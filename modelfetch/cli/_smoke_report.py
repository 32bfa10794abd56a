"""What `modelfetch smoke` prints of one result: readable in black and white, the verdict first.

- What a model wrote may hold anything, a terminal's commands included: control characters are shown, not sent.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from modelfetch.cli._cells import folded
from modelfetch.cli._output import format_bytes, format_duration, printable
from modelfetch.cli._waiting import line_columns
from modelfetch.redact import redact

if TYPE_CHECKING:
    from modelfetch.model.placement import DoesNotFit, Placed
    from modelfetch.smoketest import Finding, Fit, SmokeResult, Subject
    from modelfetch.smoketest.result import Facts, Spoken


def show(report: str) -> None:
    """Print a report; on a terminal its lines are broken between words, but no command that is to be copied is."""
    if sys.stdout.isatty():
        columns = line_columns()
        lines = report.split("\n")
        report = "\n".join(part for line in lines for part in ([line] if _is_command(line) else folded(line, columns)))
    click.echo(report)


def _is_command(line: str) -> bool:
    return line.lstrip().startswith("do: ")


def render(result: SmokeResult) -> str:
    """The result as lines for a person."""
    return printable("\n".join(line.rstrip() for line in _lines(result)))


def render_fit(fit: Fit) -> str:
    """Whether it fits, and the sum."""
    return printable("\n".join(line.rstrip() for line in _fit_lines(fit)))


def render_kept(name: str, kept: Mapping[str, Any]) -> str:
    """A test that was not run again."""
    day = datetime.fromisoformat(kept["tested_at"]).astimezone().strftime("%Y-%m-%d %H:%M")
    why = f"not run again: bytes, software, device and question are as on {day}; --force runs it"
    return printable(f"{kept['verdict']}  {name}\n\n  {why}\n")


def _fit_lines(fit: Fit) -> Iterator[str]:
    word = {True: "FITS", False: "DOES NOT FIT", None: "SKIP"}[fit.fits]
    commit = f" @{fit.subject.commit[:12]}" if fit.subject.commit else ""
    yield f"{word}  {fit.subject.name}{commit}" + (f"  ({fit.kind})" if fit.kind else "")
    yield ""
    if fit.not_exercised:
        yield f"  {fit.not_exercised.reason}"
        if fit.not_exercised.hint:
            yield f"  do: {fit.not_exercised.hint}"
    if fit.no_device:
        yield f"  `{fit.no_device.device}` cannot be used: {fit.no_device.reason}"
    for short in fit.short:
        yield from _table([("too small", short.device), ("type", str(short.dtype)), *_need_rows(short)])
        yield ""
    if placed := fit.placed:
        where = f"{_device(placed.device)}: {placed.device_reason} ({placed.device_name})"
        yield from _table([("device", where), ("type", f"{placed.dtype}: {placed.dtype_reason}"), *_need_rows(placed)])
    yield ""


def _need_rows(found: Placed | DoesNotFit) -> Iterator[tuple[str, str]]:
    need = found.need
    if need is None or found.available_bytes is None:
        return
    yield "weights", format_bytes(need.weights_bytes)
    if need.cache_bytes:
        yield "cache", f"{format_bytes(need.cache_bytes)}, the keys and values of {need.tokens} tokens"
    yield "overhead", f"{format_bytes(need.overhead_bytes)} for the libraries and one step"
    yield "needed", format_bytes(need.total_bytes)
    yield "free", format_bytes(found.available_bytes)


def _lines(result: SmokeResult) -> Iterator[str]:
    subject, facts = result.subject, result.facts
    commit = f" @{subject.commit[:12]}" if subject.commit else ""
    kind = f"  ({facts.kind})" if facts.kind else ""
    short = "" if facts.level == "exercise" else f"  to the level {facts.level}"
    yield f"{result.verdict.value}  {subject.name}{commit}{kind}{short}"
    if result.spoken:
        yield ""
        yield from _table(_spoken_rows(result.spoken, facts))
    if rows := list(fact_rows(facts)):
        yield ""
        yield from _table(rows)
    for finding in result.findings:
        yield ""
        yield from _finding_lines(finding)
    if result.verdict.value in {"PASS", "WARN"} and facts.bytes_known is None:
        yield ""
        yield f"  {unproven(subject)}: a model can pass with damaged weights."
    yield ""


def unproven(subject: Subject) -> str:
    """Why a pass says nothing of the bytes."""
    if subject.commit is None:
        return "The bytes of a plain folder are proven by nothing"
    return "What is known of the bytes was not asked"


def _device(device: str) -> str:
    return "CPU" if device == "cpu" else device


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


def fact_rows(facts: Facts) -> Iterator[tuple[str, str]]:
    """What was measured and where, each with its name."""
    if facts.bytes_known is not None:
        again = f", {format_bytes(facts.bytes_read)} of it read again now" if facts.bytes_read else ""
        yield "bytes", f"{format_bytes(facts.bytes_known + (facts.bytes_read or 0))}, as when verified{again}"
    if facts.device is not None:
        yield "device", f"{_device(facts.device)}: {facts.device_reason} ({facts.device_name})"
        yield "type", f"{facts.dtype}: {facts.dtype_reason}"
    if facts.import_s is not None and facts.byte_code is False:
        why = "each time: Python keeps no byte code of torch; python -m compileall writes it once"
        yield "imports", f"{format_duration(facts.import_s)} {why}"
    elif facts.import_s is not None and facts.compiled:
        where = facts.byte_code_folder or "beside the packages"
        yield "imports", f"{format_duration(facts.import_s)}, once: their byte code was compiled and is kept ({where})"
    if facts.load_s is None and facts.parameters is not None:
        yield "made for", f"{facts.parameters / 1e6:,.1f} M parameters ({facts.class_name}), by the headers alone"
    if facts.load_s is not None and facts.parameters is not None:
        attention = f", {facts.attention} attention" if facts.attention else ""
        what = f"{facts.parameters / 1e6:,.1f} M parameters ({facts.class_name}{attention})"
        yield "loaded", f"in {format_duration(facts.load_s)}, {what}"
    if facts.peak_process_bytes is not None:
        gpu = f", {format_bytes(facts.peak_gpu_bytes)} on the GPU" if facts.peak_gpu_bytes is not None else ""
        yield "memory", f"{format_bytes(facts.peak_process_bytes)} at most{gpu}"
    if facts.first_token_s is not None:
        yield "speed", ", ".join(_speeds(facts))
    if facts.loss is not None and facts.chance_loss is not None:
        yield "loss", f"{facts.loss:.2f} on plain {facts.loss_language}; {facts.chance_loss:.2f} is chance"
    if facts.versions:
        named = ("python", "torch", "transformers", "cuda")
        yield "ran with", ", ".join(f"{name} {facts.versions[name]}" for name in named if name in facts.versions)
    if facts.seconds is not None:
        yield "took", format_duration(facts.seconds)


def _speeds(facts: Facts) -> Iterator[str]:
    yield f"first token after {facts.first_token_s:.2f} s"
    if facts.prefill_tokens_per_s is not None:
        yield f"reads the prompt's {facts.prompt_tokens} tokens at {facts.prefill_tokens_per_s:.0f} tokens/s"
    if facts.decode_tokens_per_s is not None:
        yield f"writes {facts.decode_tokens_per_s:.1f} tokens/s"


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield f"  {finding.severity.value.upper()} {finding.check}: {redact(finding.title)}"
    for name, value in finding.evidence.items():
        first, *rest = redact(value).splitlines() or [""]
        yield f"       {name}: {first}"
        yield from (f"         {line}" for line in rest)
    if finding.hint:
        yield f"       do: {finding.hint}"


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, value in rows:
        first, *rest = value.splitlines() or [""]
        yield f"  {name:<9} {first}"
        yield from (f"  {'':<9} {line}" for line in rest)
