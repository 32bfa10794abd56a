"""Whether a model fits this machine, before any weight is read: counted from headers, and from what is free now.

torch is imported by the child alone, and asked for nothing but memory.

- What is counted is what a smoke test counts before it loads: the answer and the test cannot disagree.
- What smoke does not know how to run is no answer, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelfetch.errors import SmokeError
from modelfetch.model.contents import NotExercised
from modelfetch.model.folder import read_folder
from modelfetch.model.placement import DoesNotFit, NoDevice, Placed
from modelfetch.model.stack import require_stack
from modelfetch.smoketest.observations import Ended, Observation, Raised
from modelfetch.smoketest.options import DEFAULTS, SmokeOptions
from modelfetch.smoketest.result import Subject, subject_of
from modelfetch.smoketest.running import choose_exercise, limit_s, make_request, run_request
from modelfetch.store import Snapshot


@dataclass(frozen=True)
class Fit:
    """Where a model would run, None where nowhere; what was too small before that; why it could not be told."""

    subject: Subject
    kind: str | None = None
    placed: Placed | None = None
    short: tuple[DoesNotFit, ...] = ()
    no_device: NoDevice | None = None
    not_exercised: NotExercised | None = None

    @property
    def fits(self) -> bool | None:
        """None where it could not be told."""
        return None if self.not_exercised else self.placed is not None

    def to_json(self) -> dict[str, Any]:
        """The form of `--plan --json` (docs/json.md)."""
        placed = self.placed
        return {
            "model": self.subject.name,
            "folder": self.subject.folder,
            "commit": self.subject.commit,
            "fits": self.fits,
            "kind": self.kind,
            "device": placed.device if placed else None,
            "device_name": placed.device_name if placed else None,
            "device_reason": placed.device_reason if placed else self.no_device.reason if self.no_device else None,
            "gpus": placed.gpus if placed and placed.device.startswith("cuda") else 0,
            "dtype": placed.dtype if placed else None,
            "dtype_reason": placed.dtype_reason if placed else None,
            "need": _need(placed) if placed else None,
            "too_small": [{"device": each.device, "dtype": each.dtype, **_need(each)} for each in self.short],
            "reason": self.not_exercised.reason if self.not_exercised else None,
        }


def fit(model: Snapshot | Path, options: SmokeOptions = DEFAULTS) -> Fit:
    """Count what the model of a snapshot, or in a folder, needs, and ask this machine what is free.

    Raises:
        ConfigError: torch or transformers is not installed.
        NotFoundError: the folder is not there or empty.
        SmokeError: this machine could not be asked.
    """
    subject = subject_of(model)
    transformers = require_stack("a plan")
    folder = read_folder(Path(subject.folder), subject.name, subject.quant)
    if folder.broken:
        first = folder.broken[0]
        return Fit(subject, not_exercised=NotExercised("broken-file", f"`{first.path}`: {first.problem}"))
    plan = choose_exercise(folder, transformers, trust_remote_code=options.trust_remote_code)
    if isinstance(plan, NotExercised):
        return Fit(subject, not_exercised=plan)
    request = make_request(Path(subject.folder), plan, options, options.wish, only_place=True)
    observations = run_request(request, limit_s(plan, options), lambda _: None)
    return _fit(subject, plan.kind.value, observations)


def _fit(subject: Subject, kind: str, observations: tuple[Observation, ...]) -> Fit:
    placed = next((each for each in observations if isinstance(each, Placed)), None)
    short = tuple(each for each in observations if isinstance(each, DoesNotFit))
    no_device = next((each for each in observations if isinstance(each, NoDevice)), None)
    if placed is None and not short and no_device is None:
        raise _unanswered(observations)
    return Fit(subject, kind, placed, short, no_device)


def _unanswered(observations: tuple[Observation, ...]) -> SmokeError:
    raised = next((f"{each.error}: {each.message}" for each in observations if isinstance(each, Raised)), None)
    ended = next((each for each in observations if isinstance(each, Ended)), None)
    facts = {"error": raised or (ended.log[-600:] if ended else "")}
    return SmokeError("torch could not be asked what this machine has", facts=facts, hint="modelfetch doctor")


def _need(found: Placed | DoesNotFit) -> Mapping[str, int | None]:
    need = asdict(found.need) if found.need else {}
    total = found.need.total_bytes if found.need else None
    return {**need, "total_bytes": total, "available_bytes": found.available_bytes}
