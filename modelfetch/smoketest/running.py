"""From a folder to the child that runs it: the exercise for its files, a request, an environment, a time limit."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from modelfetch.model.contents import ModelFolder, NotExercised
from modelfetch.model.isolation import child_command, child_environment
from modelfetch.model.kind import POOLINGS, Exercise, Kind, choose
from modelfetch.model.placement import Wish, time_limit_s
from modelfetch.model.stack import usable_modules
from modelfetch.model.tables import read_tables
from modelfetch.smoketest.observations import Observation
from modelfetch.smoketest.options import SmokeOptions
from modelfetch.smoketest.request import Request
from modelfetch.smoketest.runner import Listener, run_child

CHILD = "modelfetch.smoketest.child"
# A generation may take this part of the time limit; what it wrote until then is judged.
GENERATION_SHARE = 0.25


def choose_exercise(folder: ModelFolder, transformers: Path, *, trust_remote_code: bool) -> Exercise | NotExercised:
    """How to exercise the model with what is installed here, or why not."""
    plan = choose(folder, read_tables(transformers), usable_modules(), trust_remote_code=trust_remote_code)
    if isinstance(plan, Exercise) and plan.kind is Kind.EMBEDDING and plan.pooling not in POOLINGS:
        reason = f"it pools by `{plan.pooling}`, which smoke does not know"
        return NotExercised("not-exercised", reason, "ask sentence-transformers itself")
    return plan


def make_request(
    folder: Path, exercise: Exercise, options: SmokeOptions, wish: Wish, *, only_place: bool = False
) -> Request:
    """What the child is asked."""
    return Request(
        folder=str(folder.resolve()),
        exercise=exercise,
        wish=wish,
        max_new_tokens=options.max_new_tokens,
        prompt=options.prompt,
        generation_limit_s=limit_s(exercise, options) * GENERATION_SHARE,
        trust_remote_code=options.trust_remote_code,
        level=options.level,
        only_place=only_place,
    )


def limit_s(exercise: Exercise, options: SmokeOptions) -> float:
    """How long the child may take."""
    return options.timeout_s or time_limit_s(exercise, options.max_new_tokens)


def run_request(request: Request, timeout_s: float, listener: Listener) -> tuple[Observation, ...]:
    """Start a child, hear it out, and leave nothing behind."""
    with TemporaryDirectory(prefix="modelfetch-smoke-") as name:
        scratch = Path(name)
        request.write(scratch / "request.json")
        environment = child_environment(os.environ, scratch, runs_foreign_code=request.trust_remote_code)
        if request.wish.on_cpu:
            # CUDA reserves memory in every process that only asks for it.
            environment["CUDA_VISIBLE_DEVICES"] = ""
        return run_child(
            child_command(CHILD, str(scratch / "request.json")),
            environment=environment,
            scratch=scratch,
            timeout_s=timeout_s,
            listener=listener,
        )
