"""GPUs as the system shows them: on the bus, in /dev, in the variables that hide them, and what else uses them.

- No GPU is information: models run on the CPU then.
- A GPU that is there and cannot be opened is an error, and says which of module, nodes and permissions is missing.
- A variable that hides every GPU is an error; one that hides some is information.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from modelfetch.diagnosis.checks.check import Check, note, well
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes.hardware import HardwareFacts
from modelfetch.diagnosis.probes.native import CudaFacts, Holder, NvmlFacts
from modelfetch.diagnosis.visibility import Visible, visible

NO_CUDA = "CUDA is not used"
PROVE_CUDA = "modelfetch doctor --deep"

DATA_CENTRE = re.compile(r"\b(?:Tesla|G[BH]\d{3}|[ABHLPTV]\d{1,3}S?)\b")

# How a container gets its GPUs, by what runs it.
_CONTAINER_FIXES: Mapping[str, tuple[str, ...]] = {
    "docker": (
        "docker run --gpus all IMAGE",
        "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
    ),
    "kubernetes": ("kubectl set resources deployment NAME --limits=nvidia.com/gpu=1",),
    "apptainer": ("apptainer run --nv IMAGE",),
}
# Ubuntu's way, then Debian's. Either builds the module, and keeps nouveau away.
_INSTALL_DRIVER = ("sudo ubuntu-drivers install && sudo reboot", "sudo apt install nvidia-driver && sudo reboot")
_KEEP_AWAY = (
    "echo 'blacklist {driver}' | sudo tee /etc/modprobe.d/no-{driver}.conf && sudo update-initramfs -u && sudo reboot"
)

# Less than this share of a GPU's memory free, and a model that should fit does not.
_BUSY_SHARE = 0.8

# As many processes as fit into a line.
_SHOWN = 3

_PROHIBITED = 2
_COMPUTE_MODES = {1: "exclusive to a thread", _PROHIBITED: "prohibited to compute", 3: "exclusive to a process"}


def container_fix(hardware: HardwareFacts) -> tuple[str, ...]:
    """What this container must be started with, to have its GPUs."""
    return _CONTAINER_FIXES[hardware.runtime]


def check_gpus(facts: Facts) -> list[Finding]:
    hardware = facts[HardwareFacts]
    if not hardware.has_gpu and hardware.has_amd_gpu:
        return [note("gpu.other", "the GPU is AMD's, of which doctor knows no more than what torch was built for")]
    if not hardware.has_gpu:
        advice = (
            "WSL shows none of Windows: `wsl --update` there, and a current NVIDIA driver." if hardware.in_wsl else ""
        )
        return [note("gpu.none", "no NVIDIA GPU is there, so models run on the CPU", advice=advice)]
    # A GPU on the processor's chip has fewer nodes, and works.
    fault = None if hardware.in_wsl or hardware.is_jetson or facts[CudaFacts].devices else _missing(hardware)
    if fault:
        return [fault]
    names = [device.name for device in facts[CudaFacts].devices or facts[NvmlFacts].devices]
    shown = ", ".join(dict.fromkeys(names)) or "NVIDIA"
    count = len(names) or len(hardware.gpus) or 1
    return [well("gpus", f"{count} x {shown}", gpus=names or [gpu.address for gpu in hardware.gpus])]


def _missing(hardware: HardwareFacts) -> Finding | None:
    """What the system lacks to open its GPU; the lowest thing first."""
    if hardware.module_version is None and not hardware.nodes:
        return _without_module(hardware)
    nodes = sorted(hardware.nodes)
    if "nvidiactl" not in hardware.nodes or not any(name.removeprefix("nvidia").isdecimal() for name in nodes):
        return _fault(
            "gpu.no-devnodes",
            "`/dev` has no node of the GPU",
            advice="The container was started without its GPU." if hardware.in_container else "",
            fix=container_fix(hardware) if hardware.in_container else ("sudo nvidia-modprobe -c0 -u",),
            evidence={"nodes": nodes},
        )
    if "nvidia-uvm" not in hardware.nodes:
        return _fault(
            "gpu.no-uvm",
            "`/dev/nvidia-uvm` is not there",
            fix=container_fix(hardware) if hardware.in_container else ("sudo nvidia-modprobe -c0 -u",),
            evidence={"nodes": nodes},
        )
    if hardware.closed_nodes:
        return _fault(
            "gpu.dev-perm",
            f"this user may not open `/dev/{hardware.closed_nodes[0]}`",
            advice="In a container, `--group-add` does it. Log in again afterwards." if hardware.opening_group else "",
            fix=(_way_to_open(hardware.opening_group),),
            evidence={"closed": list(hardware.closed_nodes)},
        )
    return None


def _way_to_open(group: str | None) -> str:
    return f'sudo usermod -aG {group} "$(id -un)"' if group else "sudo chmod a+rw /dev/nvidia*"


def _without_module(hardware: HardwareFacts) -> Finding:
    holders = {gpu.driver: gpu.address for gpu in hardware.gpus if gpu.driver not in {None, "nvidia"}}
    holder, address = next(iter(sorted(holders.items(), key=str)), (None, ""))
    advice = ""
    if holder == "vfio-pci":
        advice = "It is kept for a virtual machine."
        fix: tuple[str, ...] = (
            f"echo {address} | sudo tee /sys/bus/pci/drivers/{holder}/unbind && sudo modprobe nvidia",
        )
    elif hardware.in_container:
        advice, fix = "Its driver is installed on the host (branch 580 or newer), never in the container.", ()
    elif not hardware.module_is_built:
        advice, fix = "No driver is installed for this kernel; branch 580 or newer is wanted.", _INSTALL_DRIVER
    elif holder:
        fix = (_KEEP_AWAY.format(driver=holder),)
    else:
        advice = "If it is refused: Secure Boot wants it signed (`mokutil --sb-state`), and `sudo dmesg` says so."
        fix = ("sudo modprobe nvidia",)
    held = f"`{holder}` holds the GPU instead of" if holder else "the GPU is on the bus without"
    evidence = {"gpus": [gpu.address for gpu in hardware.gpus], "bound_driver": holder}
    return _fault("gpu.pci-no-driver", f"{held} NVIDIA's kernel module", advice=advice, fix=fix, evidence=evidence)


def _fault(name: str, title: str, *, fix: tuple[str, ...], evidence: Mapping[str, object], advice: str = "") -> Finding:
    return Finding(
        name,
        Severity.ERROR,
        title,
        evidence,
        effect=NO_CUDA,
        rank=Rank.HARDWARE,
        advice=advice,
        fix=fix,
        verify=PROVE_CUDA,
    )


def check_visible(facts: Facts) -> list[Finding]:
    hardware = facts[HardwareFacts]
    environment = facts[Machine].environment
    findings = []
    runtime = environment.get("NVIDIA_VISIBLE_DEVICES")
    if runtime in {"void", "none"} and hardware.in_container and hardware.has_gpu:
        findings.append(
            Finding(
                "gpu.nvidia-visible",
                Severity.ERROR,
                f"the container was started with NVIDIA_VISIBLE_DEVICES={runtime}, which gives it no GPU",
                {"NVIDIA_VISIBLE_DEVICES": runtime},
                effect=NO_CUDA,
                rank=Rank.HARDWARE,
                fix=container_fix(hardware)[:1],
                verify=PROVE_CUDA,
            )
        )
    variable = environment.get("CUDA_VISIBLE_DEVICES")
    if variable is None or not hardware.has_gpu:
        return findings
    # NVML counts what there is, whatever CUDA is allowed to see.
    devices = facts[NvmlFacts].devices
    count = len(devices) or len(hardware.gpus)
    shown = visible(variable, count, [uuid for device in devices for uuid in (device.uuid, *device.parts) if uuid])
    if shown.count == 0:
        findings.append(_hiding(variable, shown, count))
    elif shown.stopped_at is not None:
        title = f"CUDA_VISIBLE_DEVICES=`{variable}` shows {shown.count} of {count} GPUs"
        findings.append(note("gpu.visible", f"{title}: what stands from `{shown.stopped_at}` on is passed over"))
    else:
        findings.append(note("gpu.visible", f"CUDA_VISIBLE_DEVICES=`{variable}` chooses among {count} GPUs"))
    return findings


def _hiding(variable: str, shown: Visible, count: int) -> Finding:
    why, advice = "", ""
    if shown.is_repeated:
        why = f", because `{shown.stopped_at}` stands in it twice"
    elif (shown.stopped_at or "").startswith(("GPU-", "MIG-")):
        why, advice = ", because no GPU has this UUID", "`nvidia-smi -L` lists those that there are."
    elif (shown.stopped_at or "").isdecimal():
        why = f", because there is no GPU {shown.stopped_at}"
    what = (
        f"CUDA_VISIBLE_DEVICES=`{variable}` hides"
        if variable
        else "CUDA_VISIBLE_DEVICES is set to nothing, which hides"
    )
    return Finding(
        "gpu.visible",
        Severity.ERROR,
        f"{what} every GPU{why}",
        {"CUDA_VISIBLE_DEVICES": variable, "gpus": count},
        effect=NO_CUDA,
        rank=Rank.VISIBILITY,
        advice=advice,
        fix=("unset CUDA_VISIBLE_DEVICES",),
        verify=PROVE_CUDA,
    )


def check_usage(facts: Facts) -> list[Finding]:
    findings = []
    modes = [device.compute_mode for device in facts[NvmlFacts].devices]
    for index, device in enumerate(facts[NvmlFacts].devices):
        if device.compute_mode in _COMPUTE_MODES:
            findings.append(_not_shared(index, modes))
        if device.memory_bytes and device.memory_used_bytes > _BUSY_SHARE * device.memory_bytes:
            free = (device.memory_bytes - device.memory_used_bytes) / 1e9
            findings.append(
                Finding(
                    "gpu.busy",
                    Severity.WARNING,
                    f"GPU {index} has {free:.1f} of {device.memory_bytes / 1e9:.1f} GB free",
                    {"gpu": index, "memory_bytes": device.memory_bytes, "memory_used_bytes": device.memory_used_bytes},
                    advice=_held_by(device.holders),
                    fix=("nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv",),
                    verify="modelfetch doctor usage",
                )
            )
    return findings


def _not_shared(index: int, modes: Sequence[int]) -> Finding:
    is_closed = modes[index] == _PROHIBITED
    effect = NO_CUDA if set(modes) == {_PROHIBITED} else f"models on GPU {index} fail"
    return Finding(
        "gpu.exclusive",
        Severity.ERROR if is_closed else Severity.WARNING,
        f"GPU {index} is {_COMPUTE_MODES[modes[index]]}",
        {"gpu": index, "compute_mode": modes[index]},
        effect=effect if is_closed else "",
        rank=Rank.HARDWARE,
        fix=(f"sudo nvidia-smi -i {index} -c 0",),
        verify="modelfetch doctor usage",
    )


def _held_by(holders: tuple[Holder, ...]) -> str:
    """Who holds a GPU's memory, the greatest first, as far as the driver tells it."""
    told = [f"{_called(each)} holds {each.memory_bytes / 1e9:.1f} GB" for each in holders[:_SHOWN]]
    return f"{', '.join(told)}." if told else "Other processes hold the rest; this lists them."


def _called(holder: Holder) -> str:
    return f"`{holder.name}` ({holder.pid})" if holder.name else f"process {holder.pid}"


CHECKS = (
    Check(
        "gpus",
        "gpu",
        "GPUs on the bus and in /dev, and whether they can be opened",
        (HardwareFacts, CudaFacts, NvmlFacts),
        ("gpu.none", "gpu.other", "gpu.pci-no-driver", "gpu.no-devnodes", "gpu.no-uvm", "gpu.dev-perm"),
        check_gpus,
    ),
    Check(
        "visible",
        "gpu",
        "variables that hide GPUs",
        (HardwareFacts, NvmlFacts),
        ("gpu.visible", "gpu.nvidia-visible"),
        check_visible,
    ),
    Check("usage", "gpu", "who holds a GPU already", (NvmlFacts,), ("gpu.exclusive", "gpu.busy"), check_usage),
)
