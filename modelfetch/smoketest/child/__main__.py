"""`child REQUEST.json FD`: do what the request asks and write observations to the descriptor, one line of JSON each."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from modelfetch.model import bytecode
from modelfetch.model.child import memory
from modelfetch.model.kind import Kind
from modelfetch.model.placement import DoesNotFit, needed_bytes
from modelfetch.processes import die_with_parent
from modelfetch.smoketest.child.report import Report
from modelfetch.smoketest.level import Level
from modelfetch.smoketest.observations import Finished, Memory, Raised, Stack, Started
from modelfetch.smoketest.request import Request, read_request


def main() -> None:
    """Run one request to its end. What a model raises is an observation; the exit status is for what nobody foresaw."""
    die_with_parent()
    request = read_request(Path(sys.argv[1]))
    with os.fdopen(int(sys.argv[2]), "w", encoding="ascii") as channel:
        report = Report(channel)
        started = time.perf_counter()
        try:
            if _work(request, report):
                report(Finished(time.perf_counter() - started))
        except Exception as error:
            report(_explain(error, request, report))
    # All is said. Tearing torch down takes a second, and a crash in it would be none of the model's.
    os._exit(0)


def _work(request: Request, report: Report) -> bool:
    """Load and exercise; False where there was no place to do it, which is reported already."""
    report(Started("import"))
    had_byte_code, started = bytecode.is_kept(), time.perf_counter()
    # Here and not above: when the import itself fails or is slow, that is an observation.
    from modelfetch.model.child import loading, machine
    from modelfetch.smoketest.child import exercises, loaded, weights

    threads = machine.prepare()
    import_s, kept = time.perf_counter() - started, bytecode.is_kept()
    report(Stack(machine.versions(), threads, import_s, kept, kept and not had_byte_code, sys.pycache_prefix))
    level, exercise = request.level, request.exercise
    if not request.only_place and exercise.has_structure:
        # Before memory is looked at: what the class lacks shows where the weights do not fit, too.
        report(Started("structure"))
        report(loaded.observe_structure(loading.load_structure(request.folder, exercise)))
    if level is Level.STRUCTURE:
        return True
    for outcome in machine.settle(request.wish, request.exercise):
        report(outcome)
    placed = report.placed
    if placed is None:
        return False
    if request.only_place:
        return True
    report(Started("tokenizer"))
    tokenizer = None
    # Nothing is read aloud to a model that only sees.
    if exercise.kind is not Kind.IMAGE:
        tokenizer = loading.load_tokenizer(
            request.folder,
            exercise.gguf_file,
            remote_code=exercise.remote_code,
            trust_remote_code=request.trust_remote_code,
        )
    report(Started("load"))
    model_loaded = loading.load_model(request.folder, exercise, placed)
    model = model_loaded.model
    report(loaded.observe(model_loaded))
    report(Started("weights"))
    report(weights.scan(model))
    if level.reaches(Level.EXERCISE):
        exercises.exercise(model, tokenizer, request, report)
    report(Memory(memory.peak_process_bytes(), machine.peak_gpu_bytes(placed)))
    return True


def _explain(error: Exception, request: Request, report: Report) -> DoesNotFit | Raised:
    placed = report.placed
    device, dtype = (placed.device, placed.dtype) if placed else ("cpu", "float32")
    shortage = memory.shortage(error, device, needed_bytes(request.exercise, dtype), report.phase)
    return shortage or Raised(report.phase, type(error).__name__, str(error)[:2000])


if __name__ == "__main__":
    main()
