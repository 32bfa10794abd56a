"""The models that are here, against what is installed and what the machine has: told by their files, none is loaded.

- Those of other tools' caches are told as the store's are, and where they are.
- A model that cannot be loaded here is a warning with the command that changes it; others may still be loaded.
- Code that comes with a model is information: running it is the user's to decide.
- What fits nowhere is a warning; what fits the CPU and not the GPU is information.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelfetch.diagnosis.checks.check import Check, note, well
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes.hardware import HardwareFacts
from modelfetch.diagnosis.probes.limits import LimitFacts
from modelfetch.diagnosis.probes.models import ModelFacts, StoredModel
from modelfetch.diagnosis.probes.native import CudaFacts, NvmlFacts
from modelfetch.diagnosis.probes.torch_files import TorchFacts
from modelfetch.diagnosis.visibility import numbers

if TYPE_CHECKING:
    from modelfetch.model.placement import Gpu
    from modelfetch.model.placement import Machine as Room

_PROVE = "modelfetch doctor models"
_PACKAGES = {"PIL": "pillow"}

# Why a model is not exercised, as `model.kind` names it, and what doctor calls that.
_UNLOADABLE = {
    "quantisation-backend": "quant.backend",
    "quantisation-unknown": "quant.unknown",
    "gguf": "model.gguf",
}


def check_models(facts: Facts) -> list[Finding]:
    stored = facts[ModelFacts]
    if not stored.models:
        return [well("models", "no model is in the store or in another tool's cache")]
    if not stored.has_transformers:
        title = f"{_counted(stored)}, and no transformers here that would run any"
        return [
            *_damaged(stored),
            note("models", title, advice="`pip install modelfetch[smoke]` brings what runs models."),
        ]
    room = _room(facts)
    findings = [*_damaged(stored)]
    fine = 0
    for model in stored.models:
        told = [] if model.broken else [*_unloadable(model), *_lacking(model), *_short(model, room)]
        findings += told
        fine += not told and not model.broken
    if stored.unread:
        findings.append(note("models", f"{stored.unread} more models were not looked at, to save time"))
    title = f"{_counted(stored)}; {fine} of {len(stored.models)} can be run as they are"
    return [well("models", title, models=len(stored.models), fine=fine), *findings]


def _counted(stored: ModelFacts) -> str:
    cached = sum(bool(model.cache) for model in stored.models)
    ours = len(stored.models) - cached
    counts = [f"{ours} model{'' if ours == 1 else 's'} in the store"] if ours or not cached else []
    if cached:
        noun = "" if counts else f" model{'' if cached == 1 else 's'}"
        counts.append(f"{cached}{noun} in other tools' caches")
    return " and ".join(counts)


def _called(model: StoredModel) -> str:
    return f"`{model.name}`" + (f" (in {model.cache})" if model.cache else "")


def _room(facts: Facts) -> Room:
    """What this machine has for a model, without asking torch."""
    # Imported here, as in the probe: the first lines do not wait for it.
    from modelfetch.model.placement import Machine as Room

    torch, limits = facts[TorchFacts], facts[LimitFacts]
    gpus = _gpus(facts) if torch.cuda and facts[HardwareFacts].has_gpu else []
    sizes = (limits.memory_available_bytes, limits.memory_limit_bytes)
    available = min((size for size in sizes if size is not None), default=1 << 62)
    first, others = (gpus[0], tuple(gpus[1:])) if gpus else (None, ())
    return Room(torch.cuda, len(gpus), first, None, None, "the CPU", available, others)


def _gpus(facts: Facts) -> list[Gpu]:
    """The GPUs that torch would see, each with what others leave of it."""
    from modelfetch.model.placement import Gpu

    devices = facts[NvmlFacts].devices
    variable = facts[Machine].environment.get("CUDA_VISIBLE_DEVICES")
    behind = dict(enumerate(numbers(variable, [device.uuid for device in devices])))
    gpus = []
    for index, device in enumerate(facts[CudaFacts].devices):
        number = behind.get(index)
        held = 0 if number is None else devices[number].memory_used_bytes
        gpus.append(Gpu(device.name, device.memory_bytes - held))
    return gpus


def _damaged(stored: ModelFacts) -> list[Finding]:
    return [
        Finding(
            "model.broken",
            Severity.WARNING,
            f"{_called(model)} is damaged, in `{model.broken[0].path}`: {model.broken[0].problem}",
            {"model": model.name, "files": [broken.path for broken in model.broken]},
            rank=Rank.PACKAGES,
            fix=(f"modelfetch pull {model.name}" if model.cache else f"modelfetch verify {model.name} --repair",),
            verify=f"modelfetch verify {model.name}",
        )
        for model in stored.models
        if model.broken
    ]


def _unloadable(model: StoredModel) -> list[Finding]:
    plan = model.refusal
    if plan is None:
        return []
    title = f"{_called(model)} cannot be run: {plan.reason}"
    evidence = {"model": model.name, **plan.evidence}
    if plan.check == "remote-code":
        return [note("tf.remote-code", title, advice=plan.hint or "", **evidence)]
    is_command = (plan.hint or "").startswith("pip install")
    fix = (f"python -m {plan.hint}",) if is_command else ()
    name = _UNLOADABLE.get(plan.check) or ("tf.old" if is_command else "")
    if not name:
        return [note("model.other", f"{_called(model)}: {plan.reason}", advice=plan.hint or "", **evidence)]
    return [
        Finding(
            name,
            Severity.WARNING,
            title,
            evidence,
            rank=Rank.PACKAGES,
            advice="" if is_command else plan.hint or "",
            fix=fix,
            verify=_PROVE,
        )
    ]


def _lacking(model: StoredModel) -> list[Finding]:
    if not model.lacks:
        return []
    packages = [_PACKAGES.get(module, module) for module in model.lacks]
    is_tokenizer = "sentencepiece" in model.lacks
    what = "its tokenizer" if is_tokenizer else "looking at pictures with it"
    return [
        Finding(
            "sp.absent" if is_tokenizer else "vlm.deps",
            Severity.WARNING,
            f"{_called(model)} cannot be run in full: {what} needs {' and '.join(packages)}",
            {"model": model.name, "lacks": list(model.lacks)},
            rank=Rank.PACKAGES,
            fix=(f"python -m pip install {' '.join(packages)}",),
            verify=_PROVE,
        )
    ]


def _short(model: StoredModel, room: Room) -> list[Finding]:
    from modelfetch.model.placement import DoesNotFit, Placed, Wish, place

    if model.plan is None:
        return []
    *tried, last = place(Wish(), model.plan, room)
    if isinstance(last, DoesNotFit):
        sizes = f"{last.needed_bytes / 1e9:.1f} GB, and {last.available_bytes / 1e9:.1f} GB are free"
        return [
            Finding(
                "model.memory",
                Severity.WARNING,
                f"{_called(model)} does not fit into memory: it needs {sizes}",
                {"model": model.name, "needed_bytes": last.needed_bytes, "available_bytes": last.available_bytes},
                rank=Rank.PACKAGES,
                advice="A smaller or a quantised one of the same family does, or a machine with more memory.",
                verify=_PROVE,
            )
        ]
    short = next((each for each in tried if isinstance(each, DoesNotFit)), None)
    if short is not None and isinstance(last, Placed):
        needed, free = short.needed_bytes / 1e9, short.available_bytes / 1e9
        have = "GPUs have" if room.others else "GPU has"
        title = f"{_called(model)} needs {needed:.1f} GB, the {have} {free:.1f} GB free, so it runs on the CPU"
        return [note("model.memory", f"{title} in {last.dtype}", model=model.name)]
    if isinstance(last, Placed) and last.gpus > 1:
        title = f"{_called(model)} fits into no GPU alone, so it is spread over {last.gpus}"
        return [note("model.memory", title, model=model.name)]
    return []


CHECKS = (
    Check(
        "models",
        "models",
        "whether each model in the store and in other tools' caches can be loaded here, and where it fits",
        (ModelFacts, CudaFacts, NvmlFacts, TorchFacts, LimitFacts, HardwareFacts),
        (
            "model.broken",
            "model.memory",
            "model.gguf",
            "model.other",
            "quant.backend",
            "quant.unknown",
            "sp.absent",
            "tf.old",
            "tf.remote-code",
            "vlm.deps",
        ),
        check_models,
    ),
)
