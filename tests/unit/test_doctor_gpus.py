"""GPUs and the CUDA toolkit as files show them: made-up trees of /sys, /proc and /dev."""

from __future__ import annotations

import grp
import os
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch.config import load
from modelfetch.diagnosis import Severity
from modelfetch.diagnosis.checks.gpu import check_gpus
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.probes.hardware import HardwareFacts, PciGpu, opening_group, read_hardware
from modelfetch.diagnosis.probes.native import CudaFacts, NvmlFacts
from modelfetch.diagnosis.visibility import Visible, numbers, visible
from tests.unit.doctor_machine import FakeMachine, errors, found


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def test_a_gpu_without_its_module_names_who_holds_it(fake: FakeMachine) -> None:
    fake.with_gpu(module=None, bound="nouveau")
    finding = found(fake, "gpu")["gpu.pci-no-driver"]
    assert finding.title == "`nouveau` holds the GPU instead of NVIDIA's kernel module"
    assert finding.fix[0] == "sudo ubuntu-drivers install && sudo reboot"
    with_built_module(fake)
    assert found(fake, "gpu")["gpu.pci-no-driver"].fix[0].startswith("echo 'blacklist nouveau' | sudo tee")


def with_built_module(fake: FakeMachine) -> None:
    fake.write("proc/sys/kernel/osrelease", "6.8.0-90-generic\n")
    fake.write(
        "lib/modules/6.8.0-90-generic/modules.dep",
        "kernel/drivers/net/tun.ko:\nupdates/dkms/nvidia-uvm.ko.zst: updates/dkms/nvidia.ko.zst\n"
        "updates/dkms/nvidia.ko.zst:\n",
    )


def test_a_module_is_loaded_where_it_is_built_installed_where_it_is_not_and_never_in_a_container(
    fake: FakeMachine,
) -> None:
    fake.with_gpu(module=None, bound=None)
    with_built_module(fake)
    assert found(fake, "gpus")["gpu.pci-no-driver"].fix == ("sudo modprobe nvidia",)
    fake.write("proc/sys/kernel/osrelease", "6.8.0-91-generic\n")
    assert found(fake, "gpus")["gpu.pci-no-driver"].fix[0] == "sudo ubuntu-drivers install && sudo reboot"
    fake.write(".dockerenv")
    assert found(fake, "gpus")["gpu.pci-no-driver"].fix == ()


def test_a_gpu_that_is_kept_for_a_virtual_machine_is_told_so(fake: FakeMachine) -> None:
    finding = found(fake.with_gpu(module=None, bound="vfio-pci"), "gpus")["gpu.pci-no-driver"]
    assert finding.advice == "It is kept for a virtual machine."
    assert finding.fix[0].startswith("echo 0000:17:00.0 | sudo tee /sys/bus/pci/drivers/vfio-pci/unbind")


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
    in_pod = found(fake, "gpu", KUBERNETES_SERVICE_HOST="10.0.0.1")
    assert in_pod[name].fix == ("kubectl set resources deployment NAME --limits=nvidia.com/gpu=1",)
    fake.write("proc/1/cgroup", "0::/kubepods/besteffort/pod1\n")
    assert found(fake, "gpu")[name].fix[0] == "docker run --gpus all IMAGE"


def test_a_module_without_any_node_lacks_nodes_and_not_its_driver(fake: FakeMachine) -> None:
    fake.with_gpu()
    for node in (fake.root / "dev").iterdir():
        node.unlink()
    finding = found(fake, "gpus")["gpu.no-devnodes"]
    assert (finding.advice, finding.evidence["nodes"]) == ("", [])
    fake.write("run/.containerenv")
    assert found(fake, "gpus")["gpu.no-devnodes"].advice == "The container was started without its GPU."


def test_a_container_that_hides_the_module_and_has_the_nodes_is_well(fake: FakeMachine) -> None:
    fake.with_gpu(module=None)
    for node in ("nvidia0", "nvidiactl", "nvidia-uvm"):
        fake.write(f"dev/{node}")
    assert found(fake, "gpus")["gpus"].title == "1 x NVIDIA"


def test_wsl_has_its_gpu_behind_another_node(fake: FakeMachine) -> None:
    fake.write("proc/version", "Linux version 6.6.87-microsoft-standard-WSL2")
    fake.write("dev/dxg")
    # GPUs of every maker are behind it: the drivers that Windows gives tell whose.
    fake.write("usr/lib/wsl/drivers/iigd_dch.inf_amd64_1/igd.so")
    assert "gpu.none" in found(fake, "gpus")
    fake.write("usr/lib/wsl/drivers/nv_dispi.inf_amd64_2/libcuda.so.1.1")
    assert "gpus" in found(fake, "gpus")


def test_a_container_may_be_given_any_one_of_the_gpus(fake: FakeMachine) -> None:
    for node in ("nvidia3", "nvidiactl", "nvidia-uvm"):
        fake.write(f"dev/{node}")
    assert "gpus" in found(fake, "gpus")


def test_a_gpu_that_nothing_drives_is_told_so(fake: FakeMachine) -> None:
    fake.with_gpu(module=None, bound=None)
    assert found(fake, "gpus")["gpu.pci-no-driver"].title == "the GPU is on the bus without NVIDIA's kernel module"


def test_a_node_that_this_user_may_not_open_is_told(fake: FakeMachine) -> None:
    fake.with_gpu()
    node = fake.root / "dev/nvidia0"
    node.chmod(0)
    if os.access(node, os.R_OK):
        pytest.skip("nothing can be closed to this user")
    assert "gpu.dev-perm" in errors(found(fake, "gpu"))


def test_a_node_that_a_group_may_open_is_opened_by_joining_it_and_another_by_its_mode(tmp_path: Path) -> None:
    closed = HardwareFacts(
        (PciGpu("17", "nvidia"),),
        "580.95",
        frozenset({"nvidia0", "nvidiactl", "nvidia-uvm"}),
        ("nvidia0",),
        False,
        False,
    )
    fixes = [
        check_gpus(Facts([replace(closed, opening_group=group), CudaFacts(), NvmlFacts()]))[0].fix
        for group in ("video", None)
    ]
    assert fixes == [('sudo usermod -aG video "$(id -un)"',), ("sudo chmod a+rw /dev/nvidia*",)]
    node = tmp_path / "nvidia0"
    node.touch()
    if os.geteuid() == 0:
        os.chown(node, 0, 424242)
    node.chmod(0o600)
    assert opening_group(node) is None
    node.chmod(0o660)
    number = node.stat().st_gid
    names = [group.gr_name for group in grp.getgrall() if group.gr_gid == number]
    assert opening_group(node) == (names or [str(number)])[0]


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


def test_a_gpu_of_amds_that_can_compute_is_not_called_none(fake: FakeMachine) -> None:
    fake.write("dev/kfd")
    findings = found(fake, "gpus")
    assert (findings["gpu.other"].severity, set(findings)) == (Severity.INFO, {"gpu.other"})


def test_gpus_of_others_and_other_devices_of_nvidia_are_none(fake: FakeMachine) -> None:
    fake.write("sys/bus/pci/devices/0000:00:02.0/vendor", "0x1002\n")
    fake.write("sys/bus/pci/devices/0000:00:02.0/class", "0x030000\n")
    fake.write("sys/bus/pci/devices/0000:00:01.0/vendor", "0x10de\n")
    fake.write("sys/bus/pci/devices/0000:00:01.0/class", "0x040300\n")
    assert "gpu.none" in found(fake, "gpus")


UUIDS = ("GPU-4f2b0001", "GPU-4f2b0002", "MIG-9c000001", "GPU-77000003")


@pytest.mark.parametrize(
    ("variable", "count", "shown"),
    [
        ("", 2, Visible(0, "")),
        ("-1", 2, Visible(0, "-1")),
        ("none", 2, Visible(0, "none")),
        ("2", 2, Visible(0, "2")),
        ("1,-1", 2, Visible(1, "-1")),
        ("0,7,1", 2, Visible(1, "7")),
        ("0,0", 2, Visible(0, "0", is_repeated=True)),
        ("0, 1", 2, Visible(2)),
        ("0", 0, Visible(1)),
        ("GPU-77", 4, Visible(1)),
        ("gpu-77", 4, Visible(0, "gpu-77")),
        ("GPU-4F2B0001,GPU-4f2b0002", 4, Visible(2)),
        ("GPU-4f2b", 4, Visible(0, "GPU-4f2b")),
        ("GPU-0000", 4, Visible(0, "GPU-0000")),
        ("MIG-9c000001", 4, Visible(1)),
        ("MIG-GPU-4f2b0001/1/0", 4, Visible(1)),
        ("GPU-77,0", 4, Visible(1, "0")),
        ("0,GPU-77", 4, Visible(1, "GPU-77")),
    ],
)
def test_the_list_of_visible_gpus_is_read_as_cuda_and_torch_read_it(variable: str, count: int, shown: Visible) -> None:
    assert visible(variable, count, UUIDS) == shown


def test_a_uuid_is_believed_where_nobody_says_which_there_are() -> None:
    assert visible("GPU-0000,MIG-0000", 2) == Visible(1, "MIG-0000")


@pytest.mark.parametrize(
    ("variable", "behind"),
    [
        (None, [0, 1, 2]),
        ("2,0", [2, 0]),
        ("1,9,0", [1]),
        ("", []),
        ("GPU-77,GPU-4f", [2, 0]),
        ("MIG-1", []),
    ],
)
def test_the_gpus_behind_the_visible_ones_are_known_by_their_numbers(
    variable: str | None, behind: list[int | None]
) -> None:
    assert numbers(variable, ["GPU-4f01", "", "GPU-7703"]) == behind
    assert numbers("0", []) == [None]


def nvcc(fake: FakeMachine, answer: str) -> str:
    """A PATH on which an nvcc says this."""
    program = fake.home / "bin/nvcc"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"


def test_a_missing_nvcc_is_information(fake: FakeMachine) -> None:
    assert found(fake, "nvcc", PATH="/nowhere")["cuda.nvcc"].severity is Severity.INFO


def test_an_nvcc_of_another_major_version_than_torch_is_a_warning(fake: FakeMachine) -> None:
    path = nvcc(fake, "echo 'Cuda compilation tools, release 12.4, V12.4.131'")
    assert found(fake, "nvcc", PATH=path)["nvcc"].title == "nvcc is of CUDA 12.4"
    fake.with_torch("2.14.0+cu130", cuda="13.0")
    finding = found(fake, "nvcc", PATH=path)["cuda.nvcc-major"]
    assert (finding.severity, finding.title) == (Severity.WARNING, "nvcc is of CUDA 12.4 and torch of CUDA 13.0")


def test_an_nvcc_that_fails_has_no_version(fake: FakeMachine) -> None:
    assert found(fake, "nvcc", PATH=nvcc(fake, "exit 1"))["nvcc"].title == "nvcc is of CUDA ?"


def test_an_nvcc_beside_cuda_home_is_found_and_a_home_that_is_not_there_a_warning(fake: FakeMachine) -> None:
    nvcc(fake, "echo release 13.0")
    assert found(fake, "nvcc", PATH="/nowhere", CUDA_HOME=str(fake.home))["nvcc"].title == "nvcc is of CUDA 13.0"
    assert found(fake, "nvcc", CUDA_HOME="/nowhere")["cuda.home"].fix == ("unset CUDA_HOME CUDA_PATH",)


@pytest.mark.parametrize(("release", "severity"), [("2.5.1+cu124", Severity.ERROR), ("2.6.0+cu124", Severity.INFO)])
def test_cuda_libraries_before_torchs_own_break_only_an_old_torch(
    fake: FakeMachine, release: str, severity: Severity
) -> None:
    (fake.libraries / "libcudart.so.12").write_bytes(b"")
    fake.with_torch(release, cuda="12.4")
    assert found(fake, "nvcc")["cuda.ldpath"].severity is severity
