"""Loads a model in a child process, makes it work, and says PASS, WARN, FAIL or SKIP, and why.

Proves that this stack on this machine can run the model. It proves nothing of the bytes: most damaged bits change no
word of an answer, which is what `verify` is for; what it knows is passed in, and said.

- The levels are gone through in their order (`level`), and one that finds damage in the files ends the test.
- The files are looked at first (`folder`), then the kind is chosen from them (`kind`), then a child runs it (`runner`).
- The verdict is a pure function of what was observed (`criteria`), so it can be judged again without running anything.
- torch and transformers are imported by the child alone.
"""

from __future__ import annotations

from pathlib import Path

from modelfetch.model.contents import ModelFolder, NotExercised
from modelfetch.model.folder import read_folder
from modelfetch.model.kind import Exercise
from modelfetch.model.placement import DoesNotFit, next_wish
from modelfetch.model.stack import require_stack
from modelfetch.smoketest.fit import Fit, fit
from modelfetch.smoketest.level import Level
from modelfetch.smoketest.observations import BytesKnown, HeadersRead, Observation, Planned
from modelfetch.smoketest.options import DEFAULTS, SmokeOptions
from modelfetch.smoketest.result import SmokeResult, Subject, make_result, subject_of
from modelfetch.smoketest.runner import Listener
from modelfetch.smoketest.running import choose_exercise, limit_s, make_request, run_request
from modelfetch.smoketest.verdict import Finding, Severity, Verdict
from modelfetch.store import Snapshot

__all__ = [
    "BytesKnown",
    "Finding",
    "Fit",
    "Level",
    "Severity",
    "SmokeOptions",
    "SmokeResult",
    "Subject",
    "Verdict",
    "fit",
    "smoke",
]

_UNPROVEN = NotExercised(
    "bytes-unproven",
    "no digest of these files is known, so nothing can be said of their bytes",
    "modelfetch pull OWNER/NAME --local-dir DIR brings files with their digests",
)
_PACKED = NotExercised(
    "not-exercised",
    "its weights are packed, so their names and shapes show only when they are loaded",
    "--level load",
)


def smoke(
    model: Snapshot | Path,
    options: SmokeOptions = DEFAULTS,
    *,
    known: BytesKnown | None = None,
    listener: Listener | None = None,
) -> SmokeResult:
    """Run the model of a snapshot, or in a folder, in a process of its own, and judge it. Waits until that has ended.

    What is wrong with the model is the result and no exception. `known` is what `verify` knows of the snapshot's bytes.
    `listener` is given each observation as it comes.

    Raises:
        ConfigError: torch or transformers is not installed.
        NotFoundError: the folder is not there or empty, or has no file of the quantisation that is meant.
    """
    subject, level = subject_of(model), options.level
    seen = _Seen(listener or _nobody)
    if level.reaches(Level.STRUCTURE):
        require_stack("a smoke test")
    if known is not None or level is Level.BYTES:
        seen.add(known or _UNPROVEN)
    if level.reaches(Level.HEADERS) and not (known and known.damaged.total):
        _look(subject, options, seen)
    return make_result(subject, seen.observations, allow_random=options.allow_random, level=level)


class _Seen:
    """What was observed so far; the listener is told at once."""

    def __init__(self, listener: Listener) -> None:
        self.observations: list[Observation] = []
        self.listener = listener

    def add(self, *observations: Observation) -> None:
        for observation in observations:
            self.observations.append(observation)
            self.listener(observation)


def _look(subject: Subject, options: SmokeOptions, seen: _Seen) -> None:
    """Everything from the headers on."""
    folder = read_folder(Path(subject.folder), subject.name, subject.quant)
    headers = [*folder.safetensors.values(), *(gguf.tensors for gguf in folder.ggufs.values())]
    seen.add(*folder.broken, HeadersRead(len(folder.files), sum(map(len, headers))))
    if not options.level.reaches(Level.STRUCTURE):
        return
    plan = choose_exercise(folder, require_stack("a smoke test"), trust_remote_code=options.trust_remote_code)
    if isinstance(plan, Exercise) and options.level is Level.STRUCTURE and not plan.has_structure:
        plan = _PACKED
    if isinstance(plan, Exercise):
        seen.add(_planned(plan, folder))
        if not folder.broken:
            _exercise(subject, plan, options, seen)
    elif not folder.broken:
        # A broken file explains more than the kind that was guessed from the rest.
        seen.add(plan)


def _planned(plan: Exercise, folder: ModelFolder) -> Planned:
    return Planned(
        kind=plan.kind.value,
        class_name=plan.class_name,
        stored_bytes=plan.stored_bytes,
        pickled=plan.weights == "pickle",
        instruct_name=plan.instruct_name,
        quantisation=plan.quantisation,
        type_doubt=plan.type_doubt,
        code=folder.code_listing,
    )


def _exercise(subject: Subject, plan: Exercise, options: SmokeOptions, seen: _Seen) -> None:
    wish, timeout_s, folder = options.wish, limit_s(plan, options), Path(subject.folder)
    observations = run_request(make_request(folder, plan, options, wish), timeout_s, seen.listener)
    if (again := next_wish(wish, observations)) is not None:
        # In a child of its own: one that ran out of memory on the GPU is in no state to go on. Only why is kept.
        seen.observations += [each for each in observations if isinstance(each, DoesNotFit)]
        observations = run_request(make_request(folder, plan, options, again), timeout_s, seen.listener)
    seen.observations += observations


def _nobody(observation: Observation) -> None:
    """The listener of somebody who does not want to know."""
