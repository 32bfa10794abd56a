"""The result of a smoke test: verdict, findings, and the facts that a report shows. Made of observations only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modelfetch.model.placement import Placed
from modelfetch.model.thinking import split
from modelfetch.redact import redact
from modelfetch.smoketest.criteria import judge
from modelfetch.smoketest.level import Level
from modelfetch.smoketest.observations import (
    Answered,
    BytesKnown,
    Embedded,
    Ended,
    Filled,
    Generated,
    Loaded,
    Memory,
    Observation,
    Planned,
    Predicted,
    Prompted,
    Ranked,
    Stack,
    Structured,
)
from modelfetch.smoketest.prompts import QUERY
from modelfetch.smoketest.verdict import Case, Finding, Verdict, decide
from modelfetch.store import Snapshot


@dataclass(frozen=True)
class Subject:
    """Which model it was. `commit` is None for a plain folder: its bytes were never proven by a digest.

    `quant` is which of its GGUF files is meant.
    """

    name: str
    folder: str
    commit: str | None = None
    quant: str | None = None

    @property
    def repair(self) -> str:
        """What mends damaged files: a snapshot's digests are known, a plain folder's are not."""
        if self.commit is None:
            return "pull it again: modelfetch pull OWNER/NAME --local-dir DIR"
        return f"modelfetch verify {self.name} --deep --repair"


def subject_of(model: Snapshot | Path) -> Subject:
    """The model in a folder, or of a snapshot."""
    if isinstance(model, Path):
        return Subject(str(model), str(model))
    return Subject(model.model, str(model.folder), model.manifest.commit, model.quant)


@dataclass(frozen=True)
class Spoken:
    """What was asked and what came back. `thinking` is None where the model does not think aloud.

    `complete` is false where the tokens ran out while the model was still thinking.
    """

    prompt: str
    rendered: str | None
    thinking: str | None
    answer: str
    complete: bool
    ended: str | None


@dataclass(frozen=True)
class Facts:
    """Measurements and circumstances; None where it did not come to that."""

    level: str = Level.EXERCISE.value
    bytes_known: int | None = None
    bytes_read: int | None = None
    kind: str | None = None
    class_name: str | None = None
    parameters: int | None = None
    device: str | None = None
    device_name: str | None = None
    device_reason: str | None = None
    dtype: str | None = None
    dtype_reason: str | None = None
    attention: str | None = None
    threads: int | None = None
    import_s: float | None = None
    byte_code: bool | None = None
    compiled: bool | None = None
    byte_code_folder: str | None = None
    load_s: float | None = None
    first_token_s: float | None = None
    prefill_tokens_per_s: float | None = None
    decode_tokens_per_s: float | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    loss: float | None = None
    loss_language: str | None = None
    chance_loss: float | None = None
    peak_process_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    seconds: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SmokeResult:
    """What a smoke test says of one model."""

    subject: Subject
    verdict: Verdict
    findings: tuple[Finding, ...]
    spoken: Spoken | None
    facts: Facts
    observations: tuple[Observation, ...] = field(repr=False, default=())

    def to_json(self) -> dict[str, Any]:
        """The form of `--json` (docs/json.md) and of what is kept with the snapshot."""
        return {
            "model": self.subject.name,
            "folder": self.subject.folder,
            "commit": self.subject.commit,
            "verdict": self.verdict.value,
            "findings": [
                {
                    "check": finding.check,
                    "severity": finding.severity.value,
                    "title": redact(finding.title),
                    "evidence": {name: redact(value) for name, value in finding.evidence.items()},
                    "hint": finding.hint,
                }
                for finding in self.findings
            ],
            "spoken": asdict(self.spoken) if self.spoken else None,
            "facts": {name: _number(value) for name, value in asdict(self.facts).items()},
        }


def make_result(
    subject: Subject, observations: Sequence[Observation], *, allow_random: bool = False, level: Level = Level.EXERCISE
) -> SmokeResult:
    """Judge what was observed and gather what a reader wants to know. A pure function."""
    case = Case(tuple(observations), allow_random, subject.repair, level)
    findings = judge(case)
    return SmokeResult(subject, decide(findings), findings, _spoken(case), _facts(case), case.observations)


def _spoken(case: Case) -> Spoken | None:
    """Words, for models that write; the nearest thing to words for the others."""
    prompted, generated = case.last(Prompted), case.last(Generated)
    if prompted and generated:
        reply = generated.parted or split(generated.text, prompted.rendered or "", generated.special_tokens)
        return Spoken(prompted.text, prompted.rendered, reply.thinking, reply.answer, reply.finished, generated.ended)
    if filled := case.last(Filled):
        return Spoken(filled.sentence, None, None, ", ".join(filled.candidates), True, None)
    if embedded := case.last(Embedded):
        first, second, foreign = embedded.sentences
        answer = f"cosine {embedded.related:.3f} with “{second}”, {embedded.unrelated:.3f} with “{foreign}”"
        return Spoken(first, None, None, answer, True, None)
    if ranked := case.last(Ranked):
        what = "log-odds of yes over no: " if ranked.rendered else ""
        answer = f"{what}{ranked.relevant:.3f} for an answer, {ranked.irrelevant:.3f} for a foreign text"
        return Spoken(QUERY, ranked.rendered, None, answer, True, None)
    if answered := case.last(Answered):
        return Spoken(answered.head, None, None, answered.detail or f"shape {list(answered.shape)}", True, None)
    return None


def _facts(case: Case) -> Facts:
    planned, placed, loaded = case.last(Planned), case.last(Placed), case.last(Loaded)
    fitted, proof = loaded or case.last(Structured), case.last(BytesKnown)
    stack, memory, ended = case.last(Stack), case.last(Memory), case.last(Ended)
    generated, predicted = case.last(Generated), case.last(Predicted)
    return Facts(
        level=case.level.value,
        bytes_known=proof.known_bytes if proof else None,
        bytes_read=proof.read_bytes if proof else None,
        kind=planned.kind if planned else None,
        class_name=fitted.class_name if fitted else planned.class_name if planned else None,
        parameters=fitted.parameters if fitted else None,
        device=placed.device if placed else None,
        device_name=placed.device_name if placed else None,
        device_reason=placed.device_reason if placed else None,
        dtype=placed.dtype if placed else None,
        dtype_reason=placed.dtype_reason if placed else None,
        attention=loaded.attention if loaded else None,
        threads=stack.threads if stack else None,
        import_s=stack.import_s if stack else None,
        byte_code=stack.byte_code if stack else None,
        compiled=stack.compiled if stack else None,
        byte_code_folder=stack.byte_code_folder if stack else None,
        load_s=loaded.seconds if loaded else None,
        first_token_s=generated.first_token_s if generated else None,
        prefill_tokens_per_s=_speed(generated.prompt_tokens, generated.first_token_s) if generated else None,
        decode_tokens_per_s=_speed(len(generated.new_ids) - 1, generated.decode_s) if generated else None,
        prompt_tokens=generated.prompt_tokens if generated else None,
        new_tokens=len(generated.new_ids) if generated else None,
        loss=predicted.loss if predicted else None,
        loss_language=predicted.language if predicted else None,
        chance_loss=math.log(predicted.vocabulary) if predicted else None,
        peak_process_bytes=memory.process_bytes if memory else None,
        peak_gpu_bytes=memory.gpu_bytes if memory else None,
        seconds=ended.seconds if ended else None,
        versions=stack.versions if stack else {},
    )


def _speed(tokens: int, seconds: float) -> float | None:
    return tokens / seconds if tokens > 0 and seconds > 0 else None


def _number(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
