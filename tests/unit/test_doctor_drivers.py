"""The libcuda that the loader takes: of a driver, a stub, a copy, none at all; and GPUs that driver and node show."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modelfetch.diagnosis import Finding, conclude, doctor
from tests.unit.doctor_machine import FakeMachine


def primary(fake: FakeMachine, **environment: str) -> Finding | None:
    return conclude(doctor(names=["gpu"], offline=True, machine=fake.machine(**environment))).primary


def without_libcuda(fake: FakeMachine) -> FakeMachine:
    (fake.libraries / "libcuda.so.1").unlink()
    return fake


def test_a_stub_behind_a_link_leaves_the_path_by_the_name_that_it_has_there(gpu_machine: FakeMachine) -> None:
    stubs = gpu_machine.home / "cuda/targets/x86_64-linux/lib/stubs"
    shutil.copytree(gpu_machine.libraries, stubs)
    named = gpu_machine.home / "cuda/lib64"
    named.symlink_to(stubs.parent)
    finding = primary(gpu_machine, FAKE_CUDA_INIT="34", LD_LIBRARY_PATH=f"{named}/stubs/:/opt/other")
    assert finding is not None
    assert (finding.name, finding.fix) == ("drv.compat-lib", ("export LD_LIBRARY_PATH=/opt/other",))
    assert f"`{named}/stubs/`" in finding.title


@pytest.mark.parametrize("file", ["libcuda.so.1", "libcuda.so.535.183.01"])
def test_a_copy_of_a_driver_leaves_the_path_and_no_reboot_is_asked_for(gpu_machine: FakeMachine, file: str) -> None:
    copy = gpu_machine.home / "my-libraries"
    copy.mkdir()
    shutil.copy(gpu_machine.libraries / "libcuda.so.1", copy / file)
    if file != "libcuda.so.1":
        (copy / "libcuda.so.1").symlink_to(file)
    finding = primary(gpu_machine, FAKE_CUDA_INIT="803", LD_LIBRARY_PATH=f"{copy}:{gpu_machine.libraries}")
    assert finding is not None
    assert (finding.name, finding.fix) == ("drv.compat-lib", (f"export LD_LIBRARY_PATH={gpu_machine.libraries}",))


@pytest.mark.parametrize("code", ["34", "803", "804", "999"])
def test_a_stub_on_a_machine_without_a_gpu_is_no_fault(tmp_path: Path, compiled: Path, code: str) -> None:
    fake = FakeMachine(tmp_path)
    shutil.copytree(compiled, fake.home / "cuda/stubs")
    assert primary(fake, FAKE_CUDA_INIT=code, LD_LIBRARY_PATH=str(fake.home / "cuda/stubs")) is None


def test_a_gpu_that_cuda_shows_lacks_no_node(gpu_machine: FakeMachine) -> None:
    (gpu_machine.root / "dev/nvidia-uvm").unlink()
    assert primary(gpu_machine) is None
    finding = primary(gpu_machine, FAKE_CUDA_INIT="999")
    assert finding is not None
    assert finding.name == "gpu.no-uvm"


def test_a_container_that_was_not_given_cuda_is_told_by_the_variable_that_left_it_out(gpu_machine: FakeMachine) -> None:
    without_libcuda(gpu_machine).write(".dockerenv")
    finding = primary(gpu_machine, NVIDIA_DRIVER_CAPABILITIES="utility")
    assert finding is not None
    assert (finding.name, "NVIDIA_DRIVER_CAPABILITIES=utility" in finding.title) == ("ctr.runtime", True)
    assert finding.fix == ("docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility IMAGE",)


@pytest.mark.parametrize(
    ("variable", "fix"),
    [
        ("APPTAINER_CONTAINER", "apptainer run --nv IMAGE"),
        ("SINGULARITY_CONTAINER", "apptainer run --nv IMAGE"),
        ("KUBERNETES_SERVICE_HOST", "kubectl set resources deployment NAME --limits=nvidia.com/gpu=1"),
        ("container", "docker run --gpus all IMAGE"),
    ],
)
def test_each_kind_of_container_gets_its_gpu_in_its_own_way(gpu_machine: FakeMachine, variable: str, fix: str) -> None:
    finding = primary(without_libcuda(gpu_machine), **{variable: "something"})
    assert finding is not None
    assert (finding.name, finding.fix[0]) == ("ctr.runtime", fix)


def test_one_gpu_that_is_lost_is_an_error_while_the_others_work(gpu_machine: FakeMachine) -> None:
    finding = primary(gpu_machine, FAKE_NVML_COUNT="8", FAKE_LOST="3")
    assert finding is not None
    assert (finding.name, finding.effect) == ("gpu.lost", "models on GPU 3 fail")
    assert finding.title == "GPU 3 has fallen off the bus"
    alone = conclude(
        doctor(names=["gpu"], offline=True, machine=gpu_machine.machine(FAKE_LOST="0", FAKE_CUDA_INIT="100"))
    )
    assert alone.primary is not None
    assert alone.primary.name == "gpu.lost"
