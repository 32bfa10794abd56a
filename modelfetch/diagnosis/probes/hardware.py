"""GPUs, NVIDIA's kernel module and device nodes, and whether this is a container or WSL; from /sys, /proc and /dev."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from modelfetch.config import Settings
from modelfetch.diagnosis.machine import Machine

_NVIDIA = "0x10de"
_DISPLAY_CLASSES = ("0x0300", "0x0302")  # a display adapter; a 3D controller, as data-centre GPUs are


@dataclass(frozen=True)
class PciGpu:
    """An NVIDIA GPU on the PCI bus; `driver` is the kernel driver that is bound to it (`nvidia`, `nouveau`, …)."""

    address: str
    driver: str | None


@dataclass(frozen=True)
class HardwareFacts:
    """`nodes` are the names in /dev that belong to GPUs, `closed_nodes` those that this user may not open."""

    gpus: tuple[PciGpu, ...]
    module_version: str | None
    nodes: frozenset[str]
    closed_nodes: tuple[str, ...]
    in_container: bool
    in_wsl: bool

    @property
    def has_gpu(self) -> bool:
        return bool(self.gpus) or "nvidia0" in self.nodes or (self.in_wsl and "dxg" in self.nodes)


def read_hardware(machine: Machine, _settings: Settings) -> HardwareFacts:
    nodes = _nodes(machine.root / "dev")
    return HardwareFacts(
        gpus=_gpus(machine),
        module_version=_module_version(machine),
        nodes=frozenset(node.name for node in nodes),
        closed_nodes=tuple(node.name for node in nodes if not os.access(node, os.R_OK | os.W_OK)),
        in_container=_in_container(machine),
        in_wsl="microsoft" in (machine.read("proc/version") or "").lower(),
    )


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


def _nodes(folder: Path) -> list[Path]:
    names = re.compile(r"nvidia\d+|nvidiactl|nvidia-uvm|dxg")
    return sorted(node for node in folder.iterdir() if names.fullmatch(node.name)) if folder.is_dir() else []


def _in_container(machine: Machine) -> bool:
    if (machine.root / ".dockerenv").exists() or (machine.root / "run/.containerenv").exists():
        return True
    if machine.environment.get("KUBERNETES_SERVICE_HOST") or machine.environment.get("container"):
        return True
    return bool(re.search(r"docker|kubepods|containerd|libpod", machine.read("proc/1/cgroup") or ""))
