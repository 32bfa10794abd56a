"""Loads a model in a child process, makes it work, and says PASS, WARN, FAIL or SKIP, and why.

Proves that this stack on this machine can run the model. It proves nothing of the bytes: most damaged bits change no
word of an answer, which is what `verify` is for.

- The files are looked at first (`folder`), then the kind is chosen from them (`kind`), then a child runs it (`runner`).
- The verdict is a pure function of what was observed (`criteria`), so it can be judged again without running anything.
- torch and transformers are imported by the child alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from modelfetch.model.contents import ModelFolder, NotExercised
from modelfetch.model.folder import read_folder
from modelfetch.model.isolation import child_command, child_environment
from modelfetch.model.kind import Exercise, choose
from modelfetch.model.placement import DoesNotFit, Wish, next_wish, time_limit_s
from modelfetch.model.quantisation import MODULES
from modelfetch.model.stack import require_stack
from modelfetch.model.tables import read_tables
from modelfetch.smoke.observations import Observation, Planned
from modelfetch.smoke.request import Request
from modelfetch.smoke.result import SmokeResult, Subject, make_result
from modelfetch.smoke.runner import Listener, run_child
from modelfetch.smoke.verdict import Finding, Severity, Verdict
from modelfetch.store import Snapshot

__all__ = ["Finding", "Severity", "SmokeOptions", "SmokeResult", "Subject", "Verdict", "smoke"]

CHILD = "modelfetch.smoke.child"
# A generation may take this part of the time limit; what it wrote until then is judged.
GENERATION_SHARE = 0.25


@dataclass(frozen=True)
class SmokeOptions:
    """How to run a smoke test. `timeout_s` None: a limit that grows with the model."""

    device: str = "auto"
    dtype: str = "auto"
    max_new_tokens: int = 32
    prompt: str | None = None
    timeout_s: float | None = None
    trust_remote_code: bool = False
    allow_random: bool = False


def smoke(
    model: Snapshot | Path, options: SmokeOptions = SmokeOptions(), *, listener: Listener | None = None
) -> SmokeResult:
    """Run the model of a snapshot, or in a folder, and judge it. `listener` is given each observation as it comes.

    Raises:
        ConfigError: torch or transformers is not installed.
        NotFoundError: the folder is not there or empty.
    """
    subject = _subject(model)
    tell = listener or _nobody
    transformers = require_stack("a smoke test")
    folder = read_folder(Path(subject.folder), subject.name)
    packages = frozenset(module for module in MODULES if find_spec(module))
    plan = choose(folder, read_tables(transformers), packages, trust_remote_code=options.trust_remote_code)
    observations: list[Observation] = [*folder.broken, *_planned(plan, folder)]
    for observation in observations:
        tell(observation)
    if isinstance(plan, Exercise) and not folder.broken:
        observations += _exercise(subject, plan, options, tell)
    return make_result(subject, observations, allow_random=options.allow_random)


def _subject(model: Snapshot | Path) -> Subject:
    if isinstance(model, Path):
        return Subject(str(model), str(model))
    return Subject(model.manifest.repo, str(model.folder), model.manifest.commit)


def _planned(plan: Exercise | NotExercised, folder: ModelFolder) -> list[Observation]:
    if isinstance(plan, NotExercised):
        # A broken file explains more than the kind that was guessed from the rest.
        return [] if folder.broken else [plan]
    return [
        Planned(
            kind=plan.kind.value,
            class_name=plan.class_name,
            stored_bytes=plan.stored_bytes,
            pickled=plan.weights == "pickle",
            instruct_name=plan.instruct_name,
            quantisation=plan.quantisation,
            code=folder.code_listing,
        )
    ]


def _exercise(subject: Subject, plan: Exercise, options: SmokeOptions, tell: Listener) -> Sequence[Observation]:
    wish = Wish(options.device, options.dtype)
    observations = _run(subject, plan, options, wish, tell)
    if (again := next_wish(wish, observations)) is not None:
        # In a child of its own: one that ran out of memory on the GPU is in no state to go on. Only why is kept.
        short = [each for each in observations if isinstance(each, DoesNotFit)]
        observations = (*short, *_run(subject, plan, options, again, tell))
    return observations


def _run(
    subject: Subject, plan: Exercise, options: SmokeOptions, wish: Wish, tell: Listener
) -> tuple[Observation, ...]:
    timeout_s = options.timeout_s or time_limit_s(plan, options.max_new_tokens)
    with TemporaryDirectory(prefix="modelfetch-smoke-") as name:
        scratch = Path(name)
        request = Request(
            folder=str(Path(subject.folder).resolve()),
            exercise=plan,
            wish=wish,
            max_new_tokens=options.max_new_tokens,
            prompt=options.prompt,
            generation_limit_s=timeout_s * GENERATION_SHARE,
            trust_remote_code=options.trust_remote_code,
        )
        request.write(scratch / "request.json")
        environment = child_environment(os.environ, scratch)
        if wish.on_cpu:
            # CUDA reserves memory in every process that only asks for it.
            environment["CUDA_VISIBLE_DEVICES"] = ""
        return run_child(
            child_command(CHILD, str(scratch / "request.json")),
            environment=environment,
            scratch=scratch,
            timeout_s=timeout_s,
            listener=tell,
        )


def _nobody(observation: Observation) -> None:
    """The listener of somebody who does not want to know."""
