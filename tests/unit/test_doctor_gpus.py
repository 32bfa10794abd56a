"""GPUs and torch as files show them: made-up trees of /sys, /proc and /dev, and folders of a torch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelfetch.config import load
from modelfetch.doctor.checks.gpu import hides_all
from modelfetch.doctor.probes.hardware import read_hardware
from tests.unit.doctor_machine import FakeMachine, errors, found


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def test_a_gpu_without_its_module_names_who_holds_it(fake: FakeMachine) -> None:
    fake.with_gpu(module=None, bound="nouveau")
    findings = found(fake, "gpu")
    assert findings["gpu.pci-no-driver"].title == "`nouveau` holds the GPU instead of NVIDIA's kernel module"
    assert findings["gpu.pci-no-driver"].fix == ("sudo modprobe nvidia",)


@pytest.mark.parametrize(
    ("missing", "name"),
    [("nvidiactl", "gpu.no-devnodes"), ("nvidia0", "gpu.no-devnodes"), ("nvidia-uvm", "gpu.no-uvm")],
)
def test_a_missing_node_is_told_and_a_container_gets_another_command(
    fake: FakeMachine, missing: str, name: str
) -> None:
    fake.with_gpu()
    (fake.root / "dev" / missing).unlink()
    assert found(fake, "gpu")[name].fix == ("sudo nvidia-modprobe -c0 -u",)
    fake.write("proc/1/cgroup", "0::/kubepods/besteffort/pod1\n")
    assert found(fake, "gpu")[name].fix[0] == "docker run --gpus all IMAGE"


def test_a_node_that_this_user_may_not_open_is_told(fake: FakeMachine) -> None:
    fake.with_gpu()
    node = fake.root / "dev/nvidia0"
    node.chmod(0)
    if os.access(node, os.R_OK):
        pytest.skip("nothing can be closed to this user")
    assert "gpu.dev-perm" in errors(found(fake, "gpu"))


def test_a_container_that_was_given_no_gpu_by_a_variable_is_told_that_before_anything_else(fake: FakeMachine) -> None:
    fake.with_gpu().write(".dockerenv")
    findings = found(fake, "gpu", NVIDIA_VISIBLE_DEVICES="void")
    assert findings["gpu.nvidia-visible"].consequence_of is None
    assert findings["ctr.runtime"].consequence_of == "gpu.nvidia-visible"


def test_the_module_version_is_read_from_either_place(fake: FakeMachine) -> None:
    settings = load(fake.environment)
    fake.write(
        "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build\nGCC version: 13\n",
    )
    assert read_hardware(fake.machine(), settings).module_version == "570.124.06"
    fake.write("sys/module/nvidia/version", "580.95.05\n")
    assert read_hardware(fake.machine(), settings).module_version == "580.95.05"


def test_other_devices_of_nvidia_are_no_gpus(fake: FakeMachine) -> None:
    fake.write("sys/bus/pci/devices/0000:00:01.0/vendor", "0x10de\n")
    fake.write("sys/bus/pci/devices/0000:00:01.0/class", "0x040300\n")
    assert "gpu.none" in found(fake, "gpus")


@pytest.mark.parametrize(
    ("variable", "count", "hidden"),
    [
        ("", 2, True),
        ("-1", 2, True),
        ("2", 2, True),
        ("1,-1", 2, False),
        ("0,0", 2, True),
        ("1", 2, False),
        ("0", 0, False),
    ],
)
def test_the_list_of_visible_gpus_is_read_as_cuda_and_torch_read_it(variable: str, count: int, *, hidden: bool) -> None:
    assert hides_all(variable, count) is hidden
