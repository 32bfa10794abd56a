"""GPUs, NVIDIA's kernel module and device nodes, and whether this is a container or WSL; from /sys, /proc and /dev."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelfetch.config import Settings
from modelfetch.diagnosis.machine import Machine

_NVIDIA = "0x10de"
_GROUP_MAY = stat.S_IRGRP | stat.S_IWGRP
_GPU_NODE = re.compile(r"nvidia\d+")
_DISPLAY_CLASSES = ("0x0300", "0x0302")  # a display adapter; a 3D controller, as data-centre GPUs are


@dataclass(frozen=True)
class PciGpu:
    """An NVIDIA GPU on the PCI bus; `driver` is the kernel driver that is bound to it (`nvidia`, `nouveau`, …)."""

    address: str
    driver: str | None


@dataclass(frozen=True)
class HardwareFacts:
    """`nodes` are the names in /dev that belong to GPUs, `closed_nodes` those that this user may not open, and
    `opening_group` the group whose members may open the first of them, if there is one.

    `runtime` is what runs the container; `module_is_built` says that NVIDIA's kernel module is there for this kernel,
    loaded or not, and `has_windows_driver` that Windows gives WSL the driver of an NVIDIA GPU. `is_jetson` is for a GPU
    on the processor's own chip, which is on no bus; `has_amd_gpu` for one of AMD's that can compute.
    """

    gpus: tuple[PciGpu, ...]
    module_version: str | None
    nodes: frozenset[str]
    closed_nodes: tuple[str, ...]
    in_container: bool
    in_wsl: bool
    runtime: str = "docker"
    module_is_built: bool = False
    has_windows_driver: bool = False
    is_jetson: bool = False
    has_amd_gpu: bool = False
    opening_group: str | None = None

    @property
    def has_gpu(self) -> bool:
        # A container may be given the fourth GPU alone.
        on_the_bus = bool(self.gpus) or any(map(_GPU_NODE.fullmatch, self.nodes))
        return on_the_bus or self.has_windows_driver or self.is_jetson


def read_hardware(machine: Machine, _settings: Settings) -> HardwareFacts:
    nodes = _nodes(machine.root / "dev")
    closed = [node for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    return HardwareFacts(
        gpus=_gpus(machine),
        module_version=_module_version(machine),
        nodes=frozenset(node.name for node in nodes),
        closed_nodes=tuple(node.name for node in closed),
        in_container=_in_container(machine),
        in_wsl="microsoft" in (machine.read("proc/version") or "").lower(),
        runtime=_runtime(machine.environment),
        module_is_built=_module_is_built(machine),
        has_windows_driver=_has_windows_driver(machine),
        is_jetson="nvidia,tegra" in (machine.read("proc/device-tree/compatible") or ""),
        has_amd_gpu=(machine.root / "dev/kfd").exists(),
        opening_group=opening_group(closed[0]) if closed else None,
    )


def opening_group(node: Path) -> str | None:
    """The group whose members may open this node; that of the administrator is nobody else's."""
    status = node.stat()
    if not status.st_gid or status.st_mode & _GROUP_MAY != _GROUP_MAY:
        return None
    import grp

    try:
        return grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        return str(status.st_gid)


def _gpus(machine: Machine) -> tuple[PciGpu, ...]:
    devices = machine.root / "sys/bus/pci/devices"
    found = []
    for device in sorted(devices.iterdir()) if devices.is_dir() else ():
        folder = f"sys/bus/pci/devices/{device.name}"
        if machine.read(f"{folder}/vendor") != _NVIDIA:
            continue
        if (machine.read(f"{folder}/class") or "").startswith(_DISPLAY_CLASSES):
            driver = device / "driver"
            found.append(PciGpu(device.name, driver.resolve().name if driver.exists() else None))
    return tuple(found)


def _module_version(machine: Machine) -> str | None:
    version = machine.read("sys/module/nvidia/version")
    if version:
        return version
    # The open and the closed module word this line differently; the version is the first thing like one.
    match = re.search(r"NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", machine.read("proc/driver/nvidia/version") or "")
    return match.group(1) if match else None


def _module_is_built(machine: Machine) -> bool:
    kernel = machine.read("proc/sys/kernel/osrelease") or "none"
    modules = machine.read(f"lib/modules/{kernel}/modules.dep") or ""
    return bool(re.search(r"^\S*/nvidia\.ko\S*:", modules, re.MULTILINE))


def _has_windows_driver(machine: Machine) -> bool:
    # /dev/dxg is there for the GPUs of every maker; the drivers' folders are named for theirs (`nv_dispi.inf_amd64_…`).
    offered = machine.root / "usr/lib/wsl"
    shown = (machine.root / "dev/dxg").exists()
    return shown and ((offered / "lib/libcuda.so.1").exists() or any((offered / "drivers").glob("nv*")))


def _nodes(folder: Path) -> list[Path]:
    names = re.compile(rf"{_GPU_NODE.pattern}|nvidiactl|nvidia-uvm|dxg")
    return sorted(node for node in folder.iterdir() if names.fullmatch(node.name)) if folder.is_dir() else []


def _in_container(machine: Machine) -> bool:
    if (machine.root / ".dockerenv").exists() or (machine.root / "run/.containerenv").exists():
        return True
    if machine.environment.get("container") or _runtime(machine.environment) != "docker":
        return True
    return bool(re.search(r"docker|kubepods|containerd|libpod", machine.read("proc/1/cgroup") or ""))


def _runtime(environment: Mapping[str, str]) -> str:
    if environment.get("APPTAINER_CONTAINER") or environment.get("SINGULARITY_CONTAINER"):
        return "apptainer"
    return "kubernetes" if environment.get("KUBERNETES_SERVICE_HOST") else "docker"
