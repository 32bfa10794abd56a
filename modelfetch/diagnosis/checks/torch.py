"""torch: what it was built for, against the driver and the GPUs. Read from files, or tried in a child with --deep.

- A build without CUDA is an error where an NVIDIA GPU is, and information where none is.
- A driver that does not serve the build's CUDA is named with what it does serve, and with a torch that it would serve.
- No torch is information: pulling and checking need none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelfetch.diagnosis.checks.check import Check, well
from modelfetch.diagnosis.checks.cuda import driver_release
from modelfetch.diagnosis.checks.gpu import DATA_CENTRE, NO_CUDA, PROVE_CUDA
from modelfetch.diagnosis.checks.interpreter import NO_MODELS
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes.hardware import HardwareFacts
from modelfetch.diagnosis.probes.native import CudaDevice, CudaFacts, NvmlFacts, TrialFacts
from modelfetch.diagnosis.probes.packages import PackageFacts
from modelfetch.diagnosis.probes.torch_files import TorchFacts
from modelfetch.diagnosis.probes.wholeness import WholenessFacts
from modelfetch.diagnosis.tables import (
    Version,
    cuda_of,
    holds_portable_code,
    installable,
    is_jetsons,
    minimum_driver,
    runs_on,
    served_cuda,
    serves,
    version,
    written,
)

# A product of 32-bit numbers differs by rounding; a tensor core that rounds its inputs differs this much at most.
_LARGEST_DIFFERENCE = 0.01

# What four lanes of PCIe 3.0 carry, a quarter of what a GPU that computes should have at the least.
_SLOWEST_LINK = 3.0e9

_BUILT_FOR_ONE_TORCH = ("torchvision", "torchaudio")
_REINSTALL = "--force-reinstall"

# The oldest driver branch that NVIDIA's compatibility package for this CUDA works with, and one that there is not.
_OLDEST_WITH_COMPAT: Mapping[int, Version] = {12: (450,), 13: (535,)}
_NO_DRIVER: Version = (9999,)

# The CUDA that conda installs unless it is told otherwise, and the first capability that it still compiles for.
_LATEST_CUDA = 13
_OLDEST_OF_LATEST_CUDA = 75

_HINTS = {
    "undefined symbol": "Its parts are of different builds.",
    "libcudnn": "A package of CUDA libraries is missing or of another version.",
    "GLIBC_": "It was built for a newer system than this one.",
    "CXXABI": "An older libstdc++ stands before the system's own.",
    "PTX": "The GPU is newer than the build, and the driver too old to translate for it: a newer driver does.",
}


def check_torch(facts: Facts) -> list[Finding]:
    torch, hardware = facts[TorchFacts], facts[HardwareFacts]
    if torch.folder is None:
        # One that is there in parts is told as such.
        return [] if "torch" in facts[WholenessFacts].broken else [_absent(facts)]
    built = f"torch {torch.release} was built"
    if torch.cuda is not None and not torch.has_cuda_library:
        title = f"{built} for CUDA {torch.cuda}, and its `libtorch_cuda.so` is not there"
        return [_wrong_build("torch.broken", title, facts)]
    if torch.cuda is not None:
        return [well("torch", f"{built} for CUDA {torch.cuda}", **_evidence(torch))]
    if torch.hip or torch.xpu:
        title = f"{built} for " + (f"ROCm {torch.hip}" if torch.hip else f"Intel GPUs ({torch.xpu})")
        return [
            _wrong_build("torch.rocm", title, facts) if hardware.has_gpu else well("torch", title, **_evidence(torch))
        ]
    if hardware.has_gpu:
        return [_wrong_build("torch.cpu-build", f"{built} without CUDA", facts)]
    return [Finding("torch.cpu-build-nogpu", Severity.INFO, f"{built} for the CPU", _evidence(torch))]


def _absent(facts: Facts) -> Finding:
    title = "torch is not installed, which only running models needs"
    torches = [line.replace(f"{_REINSTALL} ", "") for line in _torches(facts)] if facts[HardwareFacts].has_gpu else []
    advice = "Then `pip install modelfetch[smoke]`." if torches else "`pip install modelfetch[smoke]` brings it."
    return Finding("torch.absent", Severity.INFO, title, rank=Rank.TORCH, advice=advice, fix=tuple(torches))


def _evidence(torch: TorchFacts) -> dict[str, object]:
    return {"release": torch.release, "cuda": torch.cuda, "folder": str(torch.folder)}


def _wrong_build(name: str, title: str, facts: Facts) -> Finding:
    torches = _torches(facts)
    return Finding(
        name,
        Severity.ERROR,
        title,
        _evidence(facts[TorchFacts]),
        effect=NO_CUDA,
        rank=Rank.TORCH,
        advice="" if torches else _advice_of(facts[CudaFacts].devices),
        fix=torches,
        verify=PROVE_CUDA,
    )


def _torches(facts: Facts) -> tuple[str, ...]:
    cuda = facts[CudaFacts]
    devices = [device.capability for device in cuda.devices]
    if "torch" in facts[PackageFacts].of_conda:
        return (_from_conda(facts, devices),)
    torches = installable(version(driver_release(facts)), cuda.driver_api, devices, facts[Machine].architecture)
    # Each of these is made for one torch: left behind, they cannot be imported beside the new one.
    beside = " ".join(name for name in _BUILT_FOR_ONE_TORCH if name in facts[PackageFacts].versions)
    return tuple(line.replace(_REINSTALL, f"{_REINSTALL} {beside}") if beside else line for line in torches)


def _from_conda(facts: Facts, devices: Iterable[int]) -> str:
    """The command for a torch that conda installed: pip's would leave halves of both behind."""
    driver_api = facts[CudaFacts].driver_api
    is_limited = (driver_api and cuda_of(driver_api)[0] < _LATEST_CUDA) or any(
        device < _OLDEST_OF_LATEST_CUDA for device in devices
    )
    limit = f' "cuda-version<{_LATEST_CUDA}"' if is_limited else ""
    return f'conda install -p "{facts[Machine].interpreter.prefix}" -c conda-forge pytorch-gpu{limit}'


def _advice_of(devices: Iterable[CudaDevice]) -> str:
    """What to do where PyTorch offers no build."""
    if any(is_jetsons(device.capability) for device in devices):
        return (
            "NVIDIA makes the builds for Jetson: pip install torch --index-url https://pypi.jetson-ai-lab.io/jp6/cu126"
        )
    return "PyTorch offers no build any more that this driver serves and that runs on it."


def check_build(facts: Facts) -> list[Finding]:
    torch, cuda = facts[TorchFacts], facts[CudaFacts]
    if not torch.cuda or not facts[HardwareFacts].has_gpu:
        return []
    release = driver_release(facts)
    if serves(version(release), cuda.driver_api, torch.cuda_version) is False:
        return [_too_old(release, facts)]
    lacking = [device for device in cuda.devices if not _has_code(torch.capabilities, device.capability)]
    if lacking:
        return [_no_code(lacking[0], facts)]
    return [well("build", f"driver and GPUs go with torch's CUDA {torch.cuda}", capabilities=list(torch.capabilities))]


def _too_old(release: str, facts: Facts) -> Finding:
    torch, cuda = facts[TorchFacts], facts[CudaFacts]
    known = cuda_of(cuda.driver_api) if cuda.driver_api else served_cuda(version(release))
    served = f"CUDA {written(known)}" if known else "an older one"
    needed = minimum_driver(torch.cuda_version)
    advice = f"Or a driver of branch {needed[0]} or newer, on the host." if needed else ""
    of_data_centre = bool(cuda.devices) and all(DATA_CENTRE.search(device.name) for device in cuda.devices)
    if of_data_centre and version(release) >= _OLDEST_WITH_COMPAT.get(torch.cuda_version[0], _NO_DRIVER):
        package = "-".join(map(str, ("cuda-compat", *torch.cuda_version[:2])))
        advice += f" Or, as these are data-centre GPUs, NVIDIA's package {package}."
    driver = f"the driver {release}".rstrip()
    return Finding(
        "drv.too-old",
        Severity.ERROR,
        f"torch {torch.release} was built for CUDA {torch.cuda} and {driver} serves {served}",
        {"driver": release, "driver_api": cuda.driver_api, "needed_driver": written(needed or ())},
        effect=NO_CUDA,
        rank=Rank.TORCH,
        advice=advice,
        fix=_torches(facts),
        verify=PROVE_CUDA,
    )


def _has_code(codes: tuple[int, ...], device: int) -> bool:
    return not codes or any(runs_on(code, device) for code in codes)


def _no_code(device: CudaDevice, facts: Facts) -> Finding:
    torch, torches = facts[TorchFacts], _torches(facts)
    # The driver translates portable code for a GPU that is newer than the build: slowly, and it usually works.
    is_newer = device.capability > max(torch.capabilities) and holds_portable_code(torch.cuda_version)
    capability = f"{device.capability // 10}.{device.capability % 10}"
    return Finding(
        "gpu.capability",
        Severity.WARNING if is_newer else Severity.ERROR,
        f"torch {torch.release} holds no code for the {device.name}, which has compute capability {capability}",
        {"capability": device.capability, "capabilities": list(torch.capabilities)},
        effect="" if is_newer else NO_CUDA,
        rank=Rank.TORCH,
        advice="" if torches else _advice_of([device]),
        fix=torches,
        verify=PROVE_CUDA,
    )


def check_trial(facts: Facts) -> list[Finding]:
    torch, trial, hardware = facts[TorchFacts], facts[TrialFacts], facts[HardwareFacts]
    # A Python that does not start was not tried.
    if torch.folder is None or trial == TrialFacts():
        return []
    if trial.import_error or trial.version is None:
        return [_not_importable(trial)]
    if trial.ended != "well":
        how = "hangs" if trial.ended == "hung" else f"dies with {trial.ended}"
        return [_trial_fault("torch.trial", f"torch {how} when it uses the GPU", trial, Severity.CRASHED)]
    if trial.cuda_available:
        wrong = [_trial_fault("torch.trial", title, trial) for title in map(_wrong_product, trial.trials) if title]
        return wrong or [_rightly(trial), *(_slow(each) for each in trial.trials if _speed(each) < _SLOWEST_LINK)]
    if torch.cuda and hardware.has_gpu:
        why = trial.warnings[0].splitlines()[0] if trial.warnings else "torch does not say why"
        return [_trial_fault("torch.cuda", f"`torch.cuda.is_available()` is false ({why})", trial)]
    title = f"torch {trial.version} is imported in {trial.import_s} s and runs on the CPU"
    return [well("trial", title, import_s=trial.import_s)]


def _rightly(trial: TrialFacts) -> Finding:
    count = len(trial.trials)
    slowest = min(map(_speed, trial.trials), default=float("inf"))
    copies = (
        f" and copies {slowest / 1e9:.1f} GB/s to {'it' if count == 1 else 'each'}" if slowest < float("inf") else ""
    )
    title = f"torch {trial.version} multiplies rightly on {count} GPU{'' if count == 1 else 's'}{copies}"
    return well("trial", title, import_s=trial.import_s, gpus=count, trials=[dict(each) for each in trial.trials])


def _speed(trial: Mapping[str, Any]) -> float:
    """Bytes in a second to a GPU, at their fastest; endless where it was not measured."""
    return float(trial.get("pinned_bytes_per_s", "inf"))


def _slow(trial: Mapping[str, Any]) -> Finding:
    return Finding(
        "gpu.bandwidth",
        Severity.WARNING,
        f"{trial['device']} is reached with {_speed(trial) / 1e9:.1f} GB/s, so models load slowly",
        dict(trial),
        rank=Rank.TRIAL,
        advice="Its slot has few lanes, others copy too, or a virtual machine stands between; this shows its link.",
        fix=("nvidia-smi --query-gpu=index,pcie.link.gen.current,pcie.link.width.current --format=csv",),
        verify=PROVE_CUDA,
    )


def _wrong_product(trial: Mapping[str, Any]) -> str | None:
    """What is wrong with the product that a device made."""
    if "error" in trial:
        return f"torch cannot multiply on {trial['device']} ({trial['error']})"
    # Written so that not-a-number is wrong, too.
    return None if trial["difference"] <= _LARGEST_DIFFERENCE else f"{trial['device']} multiplies wrongly"


def _not_importable(trial: TrialFacts) -> Finding:
    error = trial.import_error or trial.last_words or trial.ended
    hint = next((text for sign, text in _HINTS.items() if sign in error), "")
    if trial.ended == "SIGILL":
        hint = "It was built for a newer processor than this one."
    release = version(trial.version or "")
    return Finding(
        "torch.import",
        Severity.ERROR if trial.ended == "well" else Severity.CRASHED,
        f"torch cannot be imported ({error})",
        {"ended": trial.ended, "error": error},
        effect=NO_MODELS,
        rank=Rank.TORCH,
        advice=hint,
        fix=(f'python -m pip install --force-reinstall "torch{"==" + written(release) if release else ""}"',),
        verify=PROVE_CUDA,
    )


def _trial_fault(name: str, title: str, trial: TrialFacts, severity: Severity = Severity.ERROR) -> Finding:
    return Finding(
        name,
        severity,
        title,
        {"ended": trial.ended, "warnings": list(trial.warnings), "trials": [dict(result) for result in trial.trials]},
        effect=NO_CUDA,
        rank=Rank.TRIAL,
        advice=next((hint for sign, hint in _HINTS.items() if sign in title), ""),
        verify=PROVE_CUDA,
    )


CHECKS = (
    Check(
        "torch",
        "python",
        "which torch is installed, and what it was built for",
        (TorchFacts, WholenessFacts, HardwareFacts, CudaFacts, NvmlFacts, PackageFacts),
        ("torch.absent", "torch.cpu-build", "torch.cpu-build-nogpu", "torch.rocm", "torch.broken"),
        check_torch,
    ),
    Check(
        "build",
        "python",
        "torch's CUDA build against the driver and the GPUs",
        (TorchFacts, HardwareFacts, CudaFacts, NvmlFacts, PackageFacts),
        ("drv.too-old", "gpu.capability"),
        check_build,
    ),
)

DEEP_CHECKS = (
    Check(
        "trial",
        "trial",
        "imports torch, multiplies on every GPU and copies to it (--deep)",
        (TorchFacts, TrialFacts, HardwareFacts),
        ("torch.import", "torch.cuda", "torch.trial", "gpu.bandwidth"),
        check_trial,
    ),
)
