"""What `modelfetch smoke` prints of one result: readable in black and white, the verdict first.

- What a model wrote may hold anything, a terminal's commands included: control characters are shown, not sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from modelfetch.cli._output import format_bytes, format_duration, printable
from modelfetch.redact import redact

if TYPE_CHECKING:
    from modelfetch.smoke import Finding, SmokeResult
    from modelfetch.smoke.result import Facts, Spoken


def render(result: SmokeResult) -> str:
    """The result as lines for a person."""
    return printable("\n".join(line.rstrip() for line in _lines(result)))


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
