"""GPUs that answer and are not well: errors of their memory, of their link and of the driver, heat, licences, parts.

- A number that a GPU or its driver does not have is no finding.
- What the hardware must be repaired for is an error; what slows it down, or may come to that, is a warning.
- A GPU that is divided (MIG) or joined (NVSwitch) and not made ready is an error: CUDA cannot use it.
"""

from __future__ import annotations

from collections.abc import Iterator

from modelfetch.diagnosis.checks.check import Check, note
from modelfetch.diagnosis.checks.gpu import DATA_CENTRE, NO_CUDA, PROVE_CUDA
from modelfetch.diagnosis.codes import CUDA_TROUBLES, NVML_LOST, NVML_RESET, NVML_TROUBLES, XIDS_OF_HARDWARE
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes.kernel_log import KernelLogFacts
from modelfetch.diagnosis.probes.native import NvmlDevice, NvmlFacts

_FABRIC_WAITS = frozenset({1, 2})  # not started, in progress
_FABRIC_MANAGER_MISSING = 802

# Slow by hardware, by its heat, by the driver because of heat, by the power supply; the other reasons are ordinary.
_SLOWED = {
    0x08: "the hardware holds its clock down",
    0x20: "the driver holds its clock down for heat",
    0x40: "it is too hot",
    0x80: "its power supply asks it to slow down",
}
_VIRTUAL_GPU = 2  # NVML_GPU_VIRTUALIZATION_MODE_VGPU
_PROVE = "modelfetch doctor gpu-health"


def check_gpu_health(facts: Facts) -> list[Finding]:
    return [
        finding
        for index, device in enumerate(facts[NvmlFacts].devices)
        for look in (_silence, _memory_errors, _slowed, _link, _licence, _sleep)
        for finding in look(index, device)
    ]


def _silence(index: int, device: NvmlDevice) -> Iterator[Finding]:
    code = device.health.get("unreachable")
    # Of the other codes most mean that this container may not ask about it.
    if code in {NVML_LOST, NVML_RESET}:
        trouble = NVML_TROUBLES[code]
        yield Finding(
            "gpu.lost",
            Severity.ERROR,
            trouble.title.replace("a GPU", f"GPU {index}"),
            {"gpu": index, "nvml": code},
            effect=f"models on GPU {index} fail",
            rank=Rank.HARDWARE,
            advice=trouble.advice,
            fix=trouble.fix,
            verify=_PROVE,
        )


def _memory_errors(index: int, device: NvmlDevice) -> Iterator[Finding]:
    health = device.health
    evidence = {"gpu": index, **{name: health[name] for name in sorted(health) if name.startswith(("ecc", "remap"))}}
    if health.get("remap_failed"):
        title = f"GPU {index} has a row of memory that cannot be replaced any more"
        advice = "It wants to be replaced; keep work off it."
        yield Finding(
            "gpu.ecc",
            Severity.ERROR,
            title,
            evidence,
            f"models on GPU {index} fail",
            Rank.HARDWARE,
            advice,
            verify=_PROVE,
        )
    elif health.get("ecc_volatile") or health.get("remap_pending"):
        errors = health.get("ecc_volatile", 0)
        title = f"GPU {index} waits for a reset, to replace a row of memory"
        if errors:
            title = f"GPU {index} has had {errors} error{'' if errors == 1 else 's'} of its memory since it was started"
        fix = (f"sudo nvidia-smi --gpu-reset -i {index}", "sudo reboot")
        yield Finding("gpu.ecc", Severity.WARNING, title, evidence, rank=Rank.HARDWARE, fix=fix, verify=_PROVE)


def _slowed(index: int, device: NvmlDevice) -> Iterator[Finding]:
    reasons = [why for bit, why in _SLOWED.items() if device.health.get("throttle", 0) & bit]
    if reasons:
        title = f"GPU {index} is slow: {' and '.join(reasons)}"
        fix = (f"nvidia-smi -q -i {index} -d PERFORMANCE,TEMPERATURE,POWER",)
        advice = "Look at its cooling and its power supply; this shows what it says."
        evidence = {"gpu": index, "throttle": device.health["throttle"]}
        yield Finding("gpu.throttle", Severity.WARNING, title, evidence, advice=advice, fix=fix, verify=_PROVE)


def _link(index: int, device: NvmlDevice) -> Iterator[Finding]:
    # The generation of an idle link drops to save power, its width does not.
    width, most = device.health.get("pcie_width", 0), device.health.get("pcie_width_max", 0)
    if 0 < width < most:
        title = f"GPU {index} is on {width} of {most} PCIe lanes, so models load slower"
        yield note("gpu.pcie", title, advice="Its slot may have no more; otherwise reseat it.", width=width, most=most)


def _licence(index: int, device: NvmlDevice) -> Iterator[Finding]:
    if device.health.get("virtualisation") == _VIRTUAL_GPU and device.health.get("licensed") == 0:
        title = f"GPU {index} is a virtual one without a licence, which slows it down after twenty minutes"
        yield Finding(
            "gpu.vgpu-license",
            Severity.WARNING,
            title,
            {"gpu": index},
            advice="Put the client's token where NVIDIA's licence service looks for it, then start it again.",
            fix=("sudo systemctl restart nvidia-gridd && nvidia-smi -q | grep -i licen",),
            verify=_PROVE,
        )


def _sleep(index: int, device: NvmlDevice) -> Iterator[Finding]:
    # A desktop's GPU has a screen that keeps it awake.
    if device.health.get("persistence") == 0 and DATA_CENTRE.search(device.name):
        title = f"GPU {index} goes to sleep when nothing uses it, so each start takes seconds longer"
        yield note("gpu.persistence", title, advice=f"sudo nvidia-smi -i {index} -pm 1 keeps it awake.", gpu=index)


def check_division(facts: Facts) -> list[Finding]:
    variable = facts[Machine].environment.get("CUDA_VISIBLE_DEVICES")
    findings = []
    for index, device in enumerate(facts[NvmlFacts].devices):
        if not device.health.get("mig"):
            continue
        count = device.health.get("mig_instances", 0)
        if count == 0:
            findings.append(_not_divided(index))
        elif variable and any(entry.strip().isdecimal() for entry in variable.split(",")):
            findings.append(_chosen_by_index(index, variable))
        else:
            findings.append(note("gpu.mig", f"GPU {index} is divided into {count} parts by MIG", parts=count))
    return findings


def _not_divided(index: int) -> Finding:
    return Finding(
        "gpu.mig",
        Severity.ERROR,
        f"MIG is on for GPU {index}, and it is divided into no part that could be used",
        {"gpu": index, "parts": 0},
        effect=NO_CUDA,
        rank=Rank.HARDWARE,
        fix=(f"sudo nvidia-smi -i {index} -mig 0", f"sudo nvidia-smi mig -i {index} -cgi 0 -C"),
        verify=PROVE_CUDA,
    )


def _chosen_by_index(index: int, variable: str) -> Finding:
    return Finding(
        "gpu.mig",
        Severity.WARNING,
        f"CUDA_VISIBLE_DEVICES=`{variable}` chooses by number, and GPU {index} is divided by MIG",
        {"gpu": index, "CUDA_VISIBLE_DEVICES": variable},
        rank=Rank.VISIBILITY,
        advice="A part is chosen by its name, `MIG-` and a UUID; this lists them.",
        fix=("nvidia-smi -L",),
        verify="modelfetch doctor division",
    )


def check_fabric(facts: Facts) -> list[Finding]:
    waiting = [
        index for index, device in enumerate(facts[NvmlFacts].devices) if device.health.get("fabric") in _FABRIC_WAITS
    ]
    if not waiting:
        return []
    trouble = CUDA_TROUBLES[_FABRIC_MANAGER_MISSING]
    branch = (facts[NvmlFacts].driver or "").partition(".")[0] or "BRANCH"
    return [
        Finding(
            "gpu.fabric",
            Severity.ERROR,
            trouble.title,
            {"gpus": waiting},
            effect=NO_CUDA,
            rank=Rank.DRIVER,
            advice=trouble.advice,
            fix=tuple(command.replace("{branch}", branch) for command in trouble.fix),
            verify=PROVE_CUDA,
        )
    ]


def check_driver_errors(facts: Facts) -> list[Finding]:
    findings = []
    for xid in facts[KernelLogFacts].xids:
        what = XIDS_OF_HARDWARE.get(xid.code)
        title = f"the driver reported error {xid.code} (Xid) for the GPU at {xid.address}"
        evidence = {"xid": xid.code, "address": xid.address}
        if what is None:
            advice = "A program caused it, most likely."
            findings.append(note("gpu.xid", title, advice=advice, **evidence))
        else:
            fix = ("sudo dmesg | grep -i xid", "sudo nvidia-smi --gpu-reset", "sudo reboot")
            findings.append(
                Finding(
                    "gpu.xid",
                    Severity.WARNING,
                    f"{title}: {what}",
                    evidence,
                    rank=Rank.HARDWARE,
                    advice="It may have happened long ago; look when, and reset the GPU if it is still unwell.",
                    fix=fix,
                    verify="modelfetch doctor driver-errors",
                )
            )
    return findings


def check_order(facts: Facts) -> list[Finding]:
    names = [device.name for device in facts[NvmlFacts].devices if device.name]
    if len(set(names)) < 2 or facts[Machine].environment.get("CUDA_DEVICE_ORDER"):
        return []
    return [
        note(
            "gpu.order",
            "CUDA numbers different GPUs by their speed, and nvidia-smi by their slots",
            advice="export CUDA_DEVICE_ORDER=PCI_BUS_ID makes them agree.",
            gpus=names,
        )
    ]


CHECKS = (
    Check(
        "gpu-health",
        "gpu",
        "whether a GPU answers, errors of its memory, what slows it down, its link, its licence",
        (NvmlFacts,),
        ("gpu.lost", "gpu.ecc", "gpu.throttle", "gpu.pcie", "gpu.persistence", "gpu.vgpu-license"),
        check_gpu_health,
    ),
    Check("division", "gpu", "GPUs that MIG divides", (NvmlFacts,), ("gpu.mig",), check_division),
    Check("fabric", "gpu", "GPUs that wait for NVSwitch", (NvmlFacts,), ("gpu.fabric",), check_fabric),
    Check(
        "driver-errors",
        "gpu",
        "errors of GPUs in the kernel's log",
        (KernelLogFacts,),
        ("gpu.xid",),
        check_driver_errors,
    ),
    Check("order", "gpu", "how different GPUs are numbered", (NvmlFacts,), ("gpu.order",), check_order),
)
