"""What the error codes of `cuInit` and `nvmlInit` mean and what mends them. Data; as of 2026-11.

- `{branch}` in a command stands for the driver's branch (`580`).
- What torch itself says about these codes often misleads (its hint for 999 nearly always does): it is not repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NVML_LOST = 15
NVML_RESET = 16
NVML_LIBRARY_MISMATCH = 18

# libcuda.so.1 was found, and it is not the one that belongs to the kernel module.
FOREIGN_LIBRARY_CODES = frozenset({34, 803, 804})

_SHOW_HOLDERS = "nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv"


@dataclass(frozen=True)
class Trouble:
    """What a code means: a clause that can stand behind "because", advice, and the commands that mend it."""

    title: str
    advice: str = ""
    fix: tuple[str, ...] = ()


CUDA_TROUBLES: Mapping[int, Trouble] = {
    3: Trouble(
        "the CUDA driver does not start",
        advice="`sudo dmesg` says why, in lines with NVRM.",
        fix=("sudo nvidia-modprobe -c0 -u",),
    ),
    34: Trouble(
        "the loader takes the stub of `libcuda.so.1` that belongs to the CUDA toolkit",
        advice="It is on LD_LIBRARY_PATH; it is for linking on machines without a driver.",
        fix=("unset LD_LIBRARY_PATH",),
    ),
    36: Trouble(
        "the driver is older than the CUDA library that calls it allows",
        advice="A driver of a newer branch, on the host.",
    ),
    46: Trouble(
        "the GPU is busy or unavailable",
        advice="Exclusive mode, a stuck process, or MIG half switched on.",
        fix=("sudo nvidia-smi -c 0", _SHOW_HOLDERS),
    ),
    100: Trouble(
        "the CUDA driver sees no GPU",
        advice="A control group denies the device, or MIG is on without an instance: `nvidia-smi -L` lists them.",
        fix=("nvidia-smi -L",),
    ),
    214: Trouble(
        "the memory of a GPU has an error that could not be corrected",
        advice="The GPU wants a reset; if it comes again, it wants to be replaced.",
        fix=("sudo nvidia-smi --gpu-reset", "sudo reboot"),
    ),
    304: Trouble(
        "the system refuses what the CUDA driver asks of it",
        advice="`/dev/nvidia-uvm` does not answer, or a container's rules (device groups, seccomp) forbid it.",
        fix=("sudo nvidia-modprobe -c0 -u",),
    ),
    802: Trouble(
        "the GPUs wait for the Fabric Manager, which does not run or is of another version than the driver",
        advice="Machines with NVSwitch (HGX, DGX) need it, in the very version of the driver, on the host.",
        fix=(
            "sudo apt install nvidia-fabricmanager-{branch} && sudo systemctl enable --now nvidia-fabricmanager",
            "sudo systemctl restart nvidia-fabricmanager",
        ),
    ),
    803: Trouble(
        "`libcuda.so.1` and the kernel module are of different drivers",
        advice="The driver was upgraded without a reboot, or another libcuda stands before its own.",
        fix=("sudo reboot",),
    ),
    804: Trouble(
        "NVIDIA's compatibility library was found, and this GPU does not support it",
        advice="Only data-centre GPUs do. Take it off the loader's path, or install a newer driver.",
        fix=("unset LD_LIBRARY_PATH",),
    ),
    805: Trouble(
        "the CUDA driver cannot reach the server that shares the GPU between processes (MPS)",
        advice="CUDA_MPS_PIPE_DIRECTORY says where it is looked for.",
        fix=("nvidia-cuda-mps-control -d", "unset CUDA_MPS_PIPE_DIRECTORY"),
    ),
    999: Trouble(
        "the kernel side of CUDA is in a bad state",
        advice="After a suspend, usually, or `/dev/nvidia-uvm` is missing.",
        fix=(
            "sudo nvidia-modprobe -c0 -u",
            "sudo modprobe -r nvidia_uvm && sudo modprobe nvidia_uvm",
        ),
    ),
}

NVML_TROUBLES: Mapping[int, Trouble] = {
    9: Trouble(
        "the NVIDIA kernel module is not loaded",
        advice="Secure Boot refuses an unsigned one (`mokutil --sb-state`), or DKMS did not build it (`dkms status`).",
        fix=("sudo modprobe nvidia",),
    ),
    NVML_LOST: Trouble(
        "a GPU has fallen off the bus",
        advice="`sudo dmesg` shows Xid 79. Reseat it, or look at its power supply, if it happens again.",
        fix=("sudo reboot",),
    ),
    NVML_RESET: Trouble("a GPU must be reset", fix=("sudo nvidia-smi --gpu-reset", "sudo reboot")),
    NVML_LIBRARY_MISMATCH: Trouble(
        "the driver's libraries and the kernel module are of different versions",
        advice="A package upgrade replaced the libraries under the loaded module.",
        fix=("sudo reboot",),
    ),
}

# What the driver writes into the kernel's log as Xid, as far as the hardware or the driver may be the cause. The other
# numbers (13, 31, 43, 45 …) are a program's own doing.
XIDS_OF_HARDWARE: Mapping[int, str] = {
    48: "an error of its memory that could not be corrected",
    63: "a row of its memory is to be replaced",
    64: "a row of its memory could not be replaced",
    74: "an error of its NVLink",
    79: "it has fallen off the bus",
    94: "an error of its memory, contained",
    95: "an error of its memory, not contained",
    119: "its own processor (GSP) does not answer",
    120: "its own processor (GSP) failed",
}
