"""Judges whether the model could be run at all: its files, the machine, and the process that ran it. Decides only."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelfetch.model.contents import BrokenFile, NotExercised
from modelfetch.model.kind import TRUST, Kind
from modelfetch.model.placement import BEFORE_LOADING, DoesNotFit, NoDevice, Placed
from modelfetch.smoketest.level import Level
from modelfetch.smoketest.observations import (
    Answered,
    BytesKnown,
    Embedded,
    Ended,
    Finished,
    Garbled,
    Generated,
    HeadersRead,
    Loaded,
    Planned,
    Raised,
    Structured,
    WeightsScanned,
)
from modelfetch.smoketest.verdict import Case, Finding, Severity
from modelfetch.units import format_bytes

CHECKS = {
    "damaged-bytes": "Files of the snapshot are not as they were when they were verified.",
    "bytes-unproven": "No digest of these files is known, so nothing can be said of their bytes.",
    "broken-file": "A file is missing, cut short, empty, or something else than its name says.",
    "not-exercised": "Smoke does not know how to exercise this kind of model, or transformers does not know it.",
    "missing-files": "Files that the model cannot be loaded without are not in the folder.",
    "remote-code": "The model needs Python code that came with it, and there was no consent to run it.",
    "quantisation-unknown": "transformers does not know how the weights are quantised.",
    "quantisation-backend": "The package that reads these quantised weights is not installed.",
    "gguf": "A GGUF file that transformers cannot read here.",
    "pickled-weights": "The weights are a pickle that names only weights; it was read with code execution forbidden.",
    "bare-pickle": "The weights are a pickle of before torch 1.6, which is not scanned, and so not loaded.",
    "unsafe-pickle": "The weights are a pickle that names something else than weights, which could be code.",
    "no-device": "The device that was asked for is not there.",
    "idle-gpu": "This machine has a GPU that torch cannot use, so the model was run on the CPU.",
    "memory": "The model does not fit into memory.",
    "gpu-memory": "The model did not fit into the GPU's memory and was run on the CPU.",
    "error": "An error while loading or running the model.",
    "timeout": "The process did not end within its time.",
    "killed": "The process was killed by a signal: a crash in native code, or the kernel for want of memory.",
    "unfinished": "The process ended without having done its work.",
    "garbled": "The process wrote what is no observation.",
}

# What was not run because it must not or cannot be, and not because smoke does not know how.
_FAILS = frozenset({"missing-files", "unsafe-pickle"})
_INSTALL = re.compile(r"pip install ([\w'\"\[\],.<>=~ -]*[\w'\"\]])")
_NO_MODULE = re.compile(r"No module named '(\w+)'")
_WANTS_GPU = re.compile(r"\bGPU\b|\bmps devices\b")
_PICKLED_NAME = re.compile(r"Trying to load unsupported GLOBAL (\S+)")
_SHOWN_FILES = 10
_LINE, _LAST = 200, 1500
# The inputs that a model asks for by name, where it cannot do without a picture, a sound, or places on a page;
# and what is said where it takes no words at all.
_SENSE = re.compile(
    r"pixel_values|image_embed|flattened_patches|bbox|input_features|required positional argument|get_input_embeddings",
    re.IGNORECASE,
)
_WORDS = re.compile(r"input_ids")
_MAY_WANT_MORE = frozenset({Kind.VISION, Kind.ENCODER, Kind.CLASSIFIER, Kind.TOKENS, Kind.QUESTION, Kind.IMAGE})
_BEFORE_RUNNING = frozenset({"import", "structure", "tokenizer", "load", "weights"})
_GGUF_UNKNOWN = "GGUF model with architecture"
_GGUF_TYPE = re.compile(r"GGMLQuantizationType|[Qq]uantization for \w+ is not yet implemented")


def damaged_bytes(case: Case) -> Iterator[Finding]:
    known = case.last(BytesKnown)
    if known and known.damaged.total:
        yield Finding(
            "damaged-bytes",
            Severity.FAIL,
            f"{known.damaged.total} file{'s' if known.damaged.total > 1 else ''} not as when verified",
            {"which": "\n".join(known.damaged.examples[:_SHOWN_FILES])},
            case.repair,
        )


def broken_files(case: Case) -> Iterator[Finding]:
    for broken in case.every(BrokenFile):
        yield Finding(
            "broken-file",
            Severity.FAIL,
            f"`{broken.path}`: {broken.problem}",
            hint=case.repair,
        )


def not_exercised(case: Case) -> Iterator[Finding]:
    for skipped in case.every(NotExercised):
        severity = Severity.FAIL if skipped.check in _FAILS else Severity.SKIP
        yield Finding(skipped.check, severity, skipped.reason, skipped.evidence, skipped.hint)


def pickled(case: Case) -> Iterator[Finding]:
    planned = case.last(Planned)
    if planned and planned.pickled:
        yield Finding(
            "pickled-weights",
            Severity.NOTE,
            "the weights are a pickle, which could hold code; this one names only weights, and none was run",
            hint="prefer a revision of the model that has safetensors",
        )


def device(case: Case) -> Iterator[Finding]:
    for absent in case.every(NoDevice):
        yield Finding(
            "no-device", Severity.FAIL, f"`{absent.device}` cannot be used: {absent.reason}", hint=absent.hint
        )
    placed = case.last(Placed)
    if placed and placed.idle_gpu:
        title = f"it ran on the CPU, although this machine has a GPU ({placed.idle_gpu}): {placed.device_reason}"
        yield Finding("idle-gpu", Severity.WARN, title, hint=placed.hint)


def memory(case: Case) -> Iterator[Finding]:
    """Short memory on the GPU is a warning when the CPU did the work after it."""
    placed = case.last(Placed)
    on_cpu = placed is not None and placed.device == "cpu"
    for short in case.every(DoesNotFit):
        rescued = on_cpu and short.device != "cpu"
        yield Finding(
            "gpu-memory" if rescued else "memory",
            Severity.WARN if rescued else Severity.FAIL,
            f"not enough memory on `{short.device}`" + (", so it was run on the CPU" if rescued else ""),
            {
                "needed": f"{format_bytes(short.needed_bytes)} for the weights",
                "free": format_bytes(short.available_bytes),
                "noticed": short.phase if short.phase == BEFORE_LOADING else f"during {short.phase}",
            },
            "free memory on this device (nvidia-smi names who holds it), or take a smaller or quantised model"
            if short.device != "cpu"
            else "free memory, try --dtype bfloat16, or take a smaller or quantised model",
        )


def errors(case: Case) -> Iterator[Finding]:
    for raised in case.every(Raised):
        yield (
            _unsafe(raised)
            or _refused(raised, case.last(Planned))
            or Finding(
                "error",
                Severity.FAIL,
                f"{raised.error} during {raised.phase}: {_first_line(raised)}",
                _shown(raised),
                _mend(raised),
            )
        )


def _unsafe(raised: Raised) -> Finding | None:
    """torch's own message about this tells how to run the code all the same; ours does not."""
    named = _PICKLED_NAME.search(raised.message)
    if named is None:
        return None
    return Finding(
        "unsafe-pickle",
        Severity.FAIL,
        f"the pickled weights name `{named.group(1)}`, which is no weight: reading them could run code",
        hint="do not load this file anywhere; look for a revision of the model that has safetensors",
    )


def _refused(raised: Raised, planned: Planned | None) -> Finding | None:
    """An error by which a loader says that it will not try, which is no failure of the model."""
    if unread := _unread_gguf(raised):
        return unread
    if planned and TRUST in raised.message and raised.phase in {"tokenizer", "load", "listen"}:
        what = "what prepares sound for it" if raised.phase == "listen" else "its tokenizer"
        title = f"{what} needs Python code that came with it, which runs with your rights"
        hint = "read these files, then add --trust-remote-code"
        return Finding("remote-code", Severity.SKIP, title, planned.code, hint)
    if planned and raised.phase not in _BEFORE_RUNNING:
        return _mute(raised, planned)
    if planned is None or raised.phase not in {"tokenizer", "load"}:
        return None
    if planned.quantisation and _lacks_backend(raised):
        title = f"the weights are quantised with `{planned.quantisation}`: {_first_line(raised)}"
        return Finding("quantisation-backend", Severity.SKIP, title, _shown(raised), _mend(raised))
    return None


def _unread_gguf(raised: Raised) -> Finding | None:
    if _GGUF_UNKNOWN in raised.message:
        return Finding("gguf", Severity.SKIP, _first_line(raised), _shown(raised), "run it with llama.cpp")
    if _GGUF_TYPE.search(raised.message):
        title = "its weights are packed in a way that the installed package `gguf` does not read"
        return Finding("gguf", Severity.SKIP, title, _shown(raised), "pip install -U gguf, or run it with llama.cpp")
    return None


def _mute(raised: Raised, planned: Planned) -> Finding | None:
    """Not broken is a model that is given words and asks for a picture, a sound or a page, or the other way round."""
    given = "pictures" if planned.kind == Kind.IMAGE else "text"
    wanted = _WORDS if planned.kind == Kind.IMAGE else _SENSE
    if planned.kind not in _MAY_WANT_MORE or not wanted.search(raised.message):
        return None
    title = f"`{planned.class_name}` does nothing with {given} alone, and smoke gives it nothing else yet"
    return Finding("not-exercised", Severity.SKIP, title, _shown(raised))


def _first_line(raised: Raised) -> str:
    return raised.message.strip().partition("\n")[0][:200]


def _shown(raised: Raised) -> dict[str, str]:
    return {"error": f"{raised.error}: {' '.join(raised.message.split())[:600]}"}


def _lacks_backend(raised: Raised) -> bool:
    """What the loaders of quantised weights say when a package or a GPU is missing, before they read any."""
    missing = raised.error in {"ImportError", "ModuleNotFoundError", "PackageNotFoundError"}
    return missing or bool(_WANTS_GPU.search(raised.message))


def _mend(raised: Raised) -> str:
    if install := _INSTALL.search(raised.message):
        return install.group(0)
    if absent := _NO_MODULE.search(raised.message):
        return f"pip install {absent.group(1)}"
    if _WANTS_GPU.search(raised.message):
        return "run it on a machine with the GPU that this is made for"
    if "sentencepiece" in raised.message:
        return "pip install sentencepiece tiktoken"
    if raised.phase == "import":
        return "modelfetch doctor"
    return "pip install -U transformers"


def ending(case: Case) -> Iterator[Finding]:
    """How the process ended, where nothing it reported explains it."""
    ended = case.last(Ended)
    if ended is None:
        return
    evidence = {"last lines": _last_lines(ended.log)} if ended.log else {}
    if ended.timed_out:
        title, hint = f"not done after {ended.seconds:.0f} s, during {ended.phase}", "--timeout SECONDS gives it more"
        if ended.phase == "prompt":
            # Milliseconds are enough for any other.
            title, hint = f"{title}: its chat template does not come to an end", "report it to the model's authors"
        yield Finding("timeout", Severity.FAIL, title, evidence, hint)
    elif ended.signal is not None:
        yield _killed(ended, evidence)
    elif ended.exit_status != 0:
        yield Finding(
            "unfinished",
            Severity.FAIL,
            f"the process ended with exit status {ended.exit_status} during {ended.phase}",
            evidence,
            "modelfetch doctor",
        )


def _last_lines(log: str) -> str:
    """The end of the noise; a crash of Python's ends it with a list of every module, which explains nothing."""
    lines = [line[:_LINE] for line in log.splitlines() if line and not line.startswith("Extension modules: ")]
    return "\n".join(lines)[-_LAST:]


def _killed(ended: Ended, evidence: dict[str, str]) -> Finding:
    title = f"the process was killed by {ended.signal} during {ended.phase}"
    hint = "modelfetch doctor --deep tries torch itself"
    if ended.signal == "SIGKILL":
        title += (
            ": the kernel, for want of memory" if ended.oom_kills else ", most often the kernel's for want of memory"
        )
        hint = "free memory, try --dtype bfloat16, or take a smaller or quantised model"
    return Finding("killed", Severity.FAIL, title, evidence, hint)


def garbled(case: Case) -> Iterator[Finding]:
    lines = case.every(Garbled)
    if lines:
        yield Finding(
            "garbled",
            Severity.FAIL,
            "the process wrote what is no observation, so nothing it says is believed",
            {"first": lines[0].line},
        )


def unfinished(case: Case) -> Iterator[Finding]:
    """Asked last, of a case that nothing else was found against: a pass needs evidence of every step."""
    ended = case.last(Ended)
    ended_well = ended is not None and ended.exit_status == 0 and not ended.timed_out
    steps = (
        # Of a plain folder nothing is known, so beyond its own level the first step is not asked for.
        (Level.BYTES, "bytes known", case.last(BytesKnown) or case.level is not Level.BYTES),
        (Level.HEADERS, "headers read", case.last(HeadersRead)),
        (Level.STRUCTURE, "structure compared", case.last(Structured) or case.last(Loaded)),
        (Level.STRUCTURE, "finished", case.last(Finished)),
        (Level.STRUCTURE, "ended well", ended_well),
        (Level.LOAD, "loaded", case.last(Loaded)),
        (Level.LOAD, "weights scanned", case.last(WeightsScanned)),
        (Level.EXERCISE, "exercised", case.last(Generated) or case.last(Embedded) or case.last(Answered)),
    )
    absent = [step for level, step, evidence in steps if case.level.reaches(level) and not evidence]
    if absent:
        yield Finding(
            "unfinished",
            Severity.FAIL,
            "the process ended without having done its work",
            {"not seen": ", ".join(absent)},
            "run it again; if it stays so, report it",
        )


CRITERIA = (
    damaged_bytes,
    broken_files,
    not_exercised,
    pickled,
    device,
    memory,
    errors,
    ending,
    garbled,
)
