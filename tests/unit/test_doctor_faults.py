"""Machines with several faults at once: one cause is named, with its command, and the rest is folded under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from modelfetch.diagnosis import conclude, doctor
from tests.other_tools import write
from tests.unit.doctor_machine import FakeMachine


@dataclass(frozen=True)
class Fault:
    """What is planted, and what is to come of it."""

    plant: Callable[[FakeMachine], object]
    primary: str
    fix: str
    explains: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)


def nothing(_: FakeMachine) -> None:
    """The variables are fault enough."""


def container_without_its_gpu(fake: FakeMachine) -> None:
    fake.write(".dockerenv")
    for library in fake.libraries.iterdir():
        library.unlink()
    for node in ("nvidia0", "nvidiactl", "nvidia-uvm"):
        (fake.root / "dev" / node).unlink()


def old_driver_and_an_old_toolkit(fake: FakeMachine) -> None:
    fake.write("sys/module/nvidia/version", "535.183.01\n")
    nvcc = write(fake.home / "bin/nvcc", b"#!/bin/sh\necho 'Cuda compilation tools, release 12.2, V12.2.1'\n")
    nvcc.chmod(0o755)


def old_driver_under_a_torch_without_its_libraries(fake: FakeMachine) -> None:
    old_driver_and_an_old_toolkit(fake)
    metadata = next(fake.site.glob("torch-*.dist-info")) / "METADATA"
    metadata.write_text(metadata.read_text() + "Requires-Dist: nvidia-cudnn-cu13==9.20.0.48\n")


def upgraded_under_the_module(fake: FakeMachine) -> None:
    (fake.libraries / "libcuda.so.1").rename(fake.libraries / "libcuda.so.590.12")
    (fake.libraries / "libcuda.so.1").symlink_to("libcuda.so.590.12")


def store_where_a_file_stands(fake: FakeMachine) -> None:
    write(fake.home / "store", b"a file")


def two_torches(fake: FakeMachine) -> None:
    fake.with_package("torch", "2.13.0")
    fake.with_package("transformers", "5.23.0", "tokenizers<0.24.0,>=0.23.1")


FAULTS = {
    "a container without the runtime, in which torch cannot start CUDA": Fault(
        container_without_its_gpu, "ctr.runtime", "docker run --gpus all IMAGE", frozenset({"gpu.no-devnodes"})
    ),
    "a container that was started to have no GPU": Fault(
        container_without_its_gpu,
        "gpu.nvidia-visible",
        "docker run --gpus all IMAGE",
        frozenset({"gpu.no-devnodes", "ctr.runtime"}),
        {"NVIDIA_VISIBLE_DEVICES": "void"},
    ),
    "a driver that is too old for torch, and for its makers": Fault(
        old_driver_and_an_old_toolkit,
        "drv.too-old",
        'python -m pip install --force-reinstall "torch<2.11"',
        frozenset({"drv.eol"}),
        {"FAKE_DRIVER": "535.183.01", "FAKE_CUDA_API": "12020"},
    ),
    "a driver that is too old for a torch whose libraries are gone": Fault(
        old_driver_under_a_torch_without_its_libraries,
        "drv.too-old",
        'python -m pip install --force-reinstall "torch<2.11"',
        frozenset({"drv.eol", "torch.nvidia-libs"}),
        {"FAKE_DRIVER": "535.183.01", "FAKE_CUDA_API": "12020"},
    ),
    "a driver that was upgraded without a reboot": Fault(
        upgraded_under_the_module,
        "drv.mismatch",
        "sudo reboot",
        frozenset({"drv.cuda-init"}),
        {"FAKE_CUDA_INIT": "803", "FAKE_NVML_INIT": "18"},
    ),
    "MIG without a part, and a variable that chooses": Fault(
        nothing,
        "gpu.mig",
        "sudo nvidia-smi -i 0 -mig 0",
        frozenset({"drv.cuda-init"}),
        {"FAKE_MIG": "1", "FAKE_CUDA_INIT": "100", "CUDA_VISIBLE_DEVICES": "0"},
    ),
    "NVSwitch without its manager": Fault(
        nothing,
        "gpu.fabric",
        "sudo apt install nvidia-fabricmanager-580 && sudo systemctl enable --now nvidia-fabricmanager",
        frozenset({"drv.cuda-init"}),
        {"FAKE_FABRIC": "1", "FAKE_CUDA_INIT": "802"},
    ),
    "a hidden GPU of which the memory wears out": Fault(
        nothing,
        "gpu.visible",
        "unset CUDA_VISIBLE_DEVICES",
        frozenset({"drv.cuda-init"}),
        {"CUDA_VISIBLE_DEVICES": "-1", "FAKE_CUDA_INIT": "100", "FAKE_ECC": "1"},
    ),
    "a store that is a file, on a machine with a driver that aborts": Fault(
        store_where_a_file_stands,
        "fs.writable",
        'mv "{home}/store" "{home}/store.old"',
        frozenset({"store.unusable"}),
        {"FAKE_CUDA_ACT": "abort"},
    ),
    "certificates that are not there, with everything else well": Fault(
        nothing, "net.ca", "unset SSL_CERT_FILE", environment={"SSL_CERT_FILE": "/nowhere/ca.pem"}
    ),
    "a torch that is there twice, beside a transformers that lacks its parts": Fault(
        two_torches,
        "py.dup",
        "python -m pip install --force-reinstall --no-deps torch",
        frozenset({"tf.deps"}),
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_the_one_cause_is_named_with_its_command_and_explains_the_rest(gpu_machine: FakeMachine, fault: Fault) -> None:
    fault.plant(gpu_machine)
    environment = {"PATH": f"{gpu_machine.home / 'bin'}:/usr/bin:/bin", **fault.environment}
    findings = doctor(offline=True, machine=gpu_machine.machine(**environment))
    primary = conclude(findings).primary
    assert primary is not None
    assert primary.name == fault.primary
    assert primary.fix[0].startswith(fault.fix.replace("{home}", str(gpu_machine.home)))
    assert fault.explains <= {finding.name for finding in findings if finding.consequence_of == fault.primary}


def test_nothing_is_found_on_the_machine_that_the_faults_are_planted_in(gpu_machine: FakeMachine) -> None:
    findings = doctor(offline=True, machine=gpu_machine.machine(PATH="/usr/bin:/bin"))
    assert conclude(findings).primary is None
    # How much room and memory this machine has is not the test's to say.
    told = {finding.name for finding in findings if finding.severity.value == "warning"}
    assert told <= {"disk.low", "ram.low"}
