"""GPUs that answer and are not well: each fault is a line of data for NVIDIA's library, made here in C."""

from __future__ import annotations

import os

import pytest

from modelfetch.diagnosis import Finding, Severity, conclude, doctor
from tests.unit.doctor_machine import FakeMachine

WELL = {
    "FAKE_MIG": "0",
    "FAKE_ECC": "0",
    "FAKE_ECC_EVER": "0",
    "FAKE_ROWS_PENDING": "0",
    "FAKE_SLOWED": "4",  # the power cap of its software, which is ordinary
    "FAKE_LANES": "16",
    "FAKE_VIRTUAL": "0",
    "FAKE_LICENSED": "0",
    "FAKE_FABRIC": "3",
}


def examined(fake: FakeMachine, **environment: str) -> list[Finding]:
    return doctor(names=["gpu"], offline=True, machine=fake.machine(**{**WELL, **environment}))


def faults(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings if finding.severity not in {Severity.OK, Severity.INFO}}


def test_a_gpu_of_which_everything_is_known_and_well_has_no_fault(gpu_machine: FakeMachine) -> None:
    assert faults(examined(gpu_machine)) == {}


@pytest.mark.parametrize(
    ("environment", "name", "severity", "title", "fix"),
    [
        (
            {"FAKE_ECC": "2"},
            "gpu.ecc",
            Severity.WARNING,
            "GPU 0 has had 2 errors of its memory since it was started",
            "sudo nvidia-smi --gpu-reset -i 0",
        ),
        ({"FAKE_ROWS_PENDING": "1"}, "gpu.ecc", Severity.WARNING, "waits for a reset", "sudo nvidia-smi --gpu-reset"),
        ({"FAKE_ROWS_FAILED": "1"}, "gpu.ecc", Severity.ERROR, "cannot be replaced any more", None),
        ({"FAKE_LOST": "0"}, "gpu.lost", Severity.ERROR, "GPU 0 has fallen off the bus", "sudo reboot"),
        (
            {"FAKE_LOST": "0", "FAKE_LOST_CODE": "16"},
            "gpu.lost",
            Severity.ERROR,
            "GPU 0 must be reset",
            "sudo nvidia-smi --gpu-reset",
        ),
        (
            {"FAKE_NVML_MODE": "2"},
            "gpu.exclusive",
            Severity.ERROR,
            "prohibited to compute",
            "sudo nvidia-smi -i 0 -c 0",
        ),
        ({"FAKE_NVML_MODE": "3"}, "gpu.exclusive", Severity.WARNING, "exclusive", "sudo nvidia-smi -i 0 -c 0"),
        ({"FAKE_SLOWED": "64"}, "gpu.throttle", Severity.WARNING, "GPU 0 is slow: it is too hot", "nvidia-smi -q -i 0"),
        (
            {"FAKE_VIRTUAL": "2"},
            "gpu.vgpu-license",
            Severity.WARNING,
            "a virtual one without a licence",
            "sudo systemctl restart nvidia-gridd",
        ),
        ({"FAKE_MIG": "1"}, "gpu.mig", Severity.ERROR, "divided into no part", "sudo nvidia-smi -i 0 -mig 0"),
        (
            {"FAKE_MIG": "1", "FAKE_MIG_PARTS": "2", "CUDA_VISIBLE_DEVICES": "0"},
            "gpu.mig",
            Severity.WARNING,
            "chooses by number",
            "nvidia-smi -L",
        ),
        (
            {"FAKE_FABRIC": "1"},
            "gpu.fabric",
            Severity.ERROR,
            "wait for the Fabric Manager",
            "sudo apt install nvidia-fabricmanager-580",
        ),
    ],
)
def test_each_fault_is_told_with_its_command(
    gpu_machine: FakeMachine,
    environment: dict[str, str],
    name: str,
    severity: Severity,
    title: str,
    fix: str | None,
) -> None:
    found = faults(examined(gpu_machine, **environment))
    assert set(found) == {name}
    assert (found[name].severity, title in found[name].title) == (severity, True)
    assert found[name].fix[0].startswith(fix) if fix else not found[name].fix


@pytest.mark.parametrize(
    ("environment", "name"), [({"FAKE_MIG": "1"}, "gpu.mig"), ({"FAKE_FABRIC": "2"}, "gpu.fabric")]
)
def test_a_gpu_that_is_not_made_ready_is_the_cause_of_a_driver_that_does_not_start(
    gpu_machine: FakeMachine, environment: dict[str, str], name: str
) -> None:
    findings = examined(gpu_machine, FAKE_CUDA_INIT="802" if name == "gpu.fabric" else "100", **environment)
    primary = conclude(findings).primary
    assert primary is not None
    assert primary.name == name
    assert {finding.name: finding.consequence_of for finding in findings}["drv.cuda-init"] == name


def test_a_narrow_link_and_a_gpu_in_parts_are_information(gpu_machine: FakeMachine) -> None:
    findings = {finding.name: finding for finding in examined(gpu_machine, FAKE_LANES="4")}
    assert (findings["gpu.pcie"].severity, findings["gpu.pcie"].title) == (
        Severity.INFO,
        "GPU 0 is on 4 of 16 PCIe lanes, so models load slower",
    )
    parts = {finding.name: finding for finding in examined(gpu_machine, FAKE_MIG="1", FAKE_MIG_PARTS="3")}
    assert (parts["gpu.mig"].severity, parts["gpu.mig"].evidence) == (Severity.INFO, {"parts": 3})


def test_errors_in_the_kernels_log_are_told_once_each_by_whose_doing_they_are(gpu_machine: FakeMachine) -> None:
    line = "4,1234,12300,-;NVRM: Xid (PCI:0000:17:00): {}, pid=1, name=python\n"
    gpu_machine.write("dev/kmsg", line.format(79) * 3 + line.format(31))
    findings = [finding for finding in examined(gpu_machine) if finding.name == "gpu.xid"]
    assert [(finding.severity, finding.evidence["xid"]) for finding in findings] == [
        (Severity.WARNING, 79),
        (Severity.INFO, 31),
    ]
    assert findings[0].title.endswith("it has fallen off the bus")


def test_a_log_that_nobody_may_read_is_no_finding(gpu_machine: FakeMachine) -> None:
    (gpu_machine.root / "dev/kmsg").mkdir()
    names = {finding.name for finding in examined(gpu_machine)}
    assert "gpu.xid" not in names


def test_the_end_of_a_log_that_goes_on_is_not_waited_for(gpu_machine: FakeMachine) -> None:
    log = gpu_machine.root / "dev/kmsg"
    os.mkfifo(log)
    with os.fdopen(os.open(log, os.O_RDWR), "wb", buffering=0) as kernel:
        kernel.write(b"4,1234,12300,-;NVRM: Xid (PCI:0000:17:00): 48, pid=1\n")
        findings = [finding for finding in examined(gpu_machine) if finding.name == "gpu.xid"]
    assert [finding.evidence["xid"] for finding in findings] == [48]


def test_different_gpus_are_numbered_differently_unless_it_is_set(gpu_machine: FakeMachine) -> None:
    two = {"FAKE_NVML_COUNT": "2", "FAKE_SECOND_NAME": "NVIDIA L4"}
    assert "gpu.order" in {finding.name for finding in examined(gpu_machine, **two)}
    settled = examined(gpu_machine, CUDA_DEVICE_ORDER="PCI_BUS_ID", **two)
    assert "gpu.order" not in {finding.name for finding in settled}


def test_a_data_centre_gpu_that_goes_to_sleep_is_information(gpu_machine: FakeMachine) -> None:
    findings = {finding.name: finding for finding in examined(gpu_machine, FAKE_PERSISTENCE="0")}
    assert findings["gpu.persistence"].severity is Severity.INFO
    assert "gpu.persistence" not in {finding.name for finding in examined(gpu_machine)}
    desktop = {"FAKE_NVML_COUNT": "2", "FAKE_SECOND_NAME": "NVIDIA GeForce RTX 4090", "FAKE_PERSISTENCE": "0"}
    told = [finding for finding in examined(gpu_machine, **desktop) if finding.name == "gpu.persistence"]
    assert [finding.evidence for finding in told] == [{"gpu": 0}]
