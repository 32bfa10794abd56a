"""What a trial of torch is taken for: plain functions of what the child said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelfetch.config import load
from modelfetch.diagnosis import Finding, Severity
from modelfetch.diagnosis.checks.torch import check_build, check_trial
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.probes.hardware import HardwareFacts, PciGpu
from modelfetch.diagnosis.probes.native import CudaDevice, CudaFacts, NvmlFacts, TrialFacts, read_trial
from modelfetch.diagnosis.probes.torch_files import TorchFacts
from tests.unit.doctor_machine import FakeMachine

# As much of torch as a trial asks for, with two GPUs, of which the second has no pinned memory left. Written for this.
MADE_UP_TORCH = """
uint8 = "uint8"
__version__ = "2.14.0"


class Tensor:
    def __init__(self, values, device="cpu"):
        self.values, self.device = values, device

    def __matmul__(self, other):
        assert self.device == other.device
        return Tensor([sum(self.values) * sum(other.values)], self.device)

    def __sub__(self, other):
        assert self.device == other.device == "cpu"
        return Tensor([left - right for left, right in zip(self.values, other.values)])

    def __truediv__(self, other):
        return Tensor([self.values[0] / other.values[0]])

    def __float__(self):
        return float(self.values[0])

    def to(self, device):
        return Tensor(self.values, device)

    def cpu(self):
        return Tensor(self.values)

    def abs(self):
        return Tensor([abs(value) for value in self.values])

    def max(self):
        return Tensor([max(self.values)])

    def copy_(self, source):
        assert (self.device[:4], source.device) == ("cuda", "cpu") and len(self.values) == len(source.values)


class Generator:
    def manual_seed(self, seed):
        return self


def rand(rows, columns, generator):
    return Tensor([1.0, 2.0])


def ones(size, dtype, pin_memory=False, device="cpu"):
    cuda.pinned += pin_memory
    if cuda.pinned > 1:
        raise RuntimeError("CUDA error: out of memory")
    return Tensor(range(size), device)


class cuda:
    pinned = 0

    @staticmethod
    def is_available():
        return True

    @staticmethod
    def device_count():
        return 2
"""

TORCH = TorchFacts(Path("torch"), "2.14.0+cu130", "13.0", has_cuda_library=True, capabilities=(90,))
NO_GPU = HardwareFacts((), None, frozenset(), (), in_container=False, in_wsl=False)
GPU = HardwareFacts((PciGpu("17", "nvidia"),), "580.95", frozenset(), (), in_container=False, in_wsl=False)


def tried(torch: TorchFacts = TORCH, hardware: HardwareFacts = GPU, **said: Any) -> Finding:
    trial = TrialFacts(**{"version": "2.14.0", "import_s": 2.5, "cuda_available": True, **said})
    (finding,) = check_trial(Facts([torch, hardware, trial]))
    return finding


def test_a_torch_that_multiplies_rightly_on_every_gpu_is_well() -> None:
    finding = tried(trials=({"device": "cuda:0", "difference": 1e-6}, {"device": "cuda:1", "difference": 0.0}))
    assert (finding.severity, finding.evidence["gpus"]) == (Severity.OK, 2)


@pytest.mark.parametrize("difference", [0.5, float("nan"), float("inf")])
def test_a_gpu_that_multiplies_wrongly_is_an_error(difference: float) -> None:
    finding = tried(trials=({"device": "cuda:0", "difference": 0.0}, {"device": "cuda:1", "difference": difference}))
    assert (finding.name, finding.severity, finding.title) == (
        "torch.trial",
        Severity.ERROR,
        "cuda:1 multiplies wrongly",
    )


def test_a_gpu_that_is_reached_slowly_is_a_warning_and_one_whose_link_was_not_measured_is_not() -> None:
    fast = {"device": "cuda:0", "difference": 0.0, "pinned_bytes_per_s": 24_900_000_000}
    slow = {
        "device": "cuda:1",
        "difference": 0.0,
        "pinned_bytes_per_s": 790_000_000,
        "pageable_bytes_per_s": 600_000_000,
    }
    full = {"device": "cuda:2", "difference": 0.0, "pinned_error": "CUDA out of memory"}
    trial = TrialFacts(version="2.14.0", import_s=2.5, cuda_available=True, trials=(fast, slow, full))
    well, finding = check_trial(Facts([TORCH, GPU, trial]))
    assert well.title == "torch 2.14.0 multiplies rightly on 3 GPUs and copies 0.8 GB/s to each"
    assert (finding.name, finding.severity) == ("gpu.bandwidth", Severity.WARNING)
    assert finding.title == "cuda:1 is reached with 0.8 GB/s, so models load slowly"
    assert tried(trials=(fast,)).title == "torch 2.14.0 multiplies rightly on 1 GPU and copies 24.9 GB/s to it"
    assert tried(trials=(full,)).title == "torch 2.14.0 multiplies rightly on 1 GPU"


def test_a_gpu_that_cannot_multiply_is_an_error_with_its_message() -> None:
    finding = tried(trials=({"device": "cuda:0", "error": "AcceleratorError: no kernel image"},))
    assert "no kernel image" in finding.title


def test_a_trial_that_dies_after_the_import_is_a_crash() -> None:
    finding = tried(ended="SIGSEGV", cuda_available=None)
    assert (finding.name, finding.severity) == ("torch.trial", Severity.CRASHED)
    assert "SIGSEGV" in finding.title
    assert "hangs" in tried(ended="hung", cuda_available=None).title


@pytest.mark.parametrize(
    ("said", "severity", "advice"),
    [
        ({"import_error": "ImportError: libcudnn.so.9: no such file"}, Severity.ERROR, "A package of CUDA libraries"),
        ({"ended": "SIGILL"}, Severity.CRASHED, "It was built for a newer processor"),
        ({"ended": "hung"}, Severity.CRASHED, ""),
        ({"import_error": "ValueError: odd"}, Severity.ERROR, ""),
    ],
)
def test_a_torch_that_cannot_be_imported_is_told_with_what_its_error_means(
    said: dict[str, Any], severity: Severity, advice: str
) -> None:
    finding = tried(version=None, **said)
    assert (finding.name, finding.severity, finding.effect) == ("torch.import", severity, "models cannot be run")
    assert finding.advice.startswith(advice)
    assert bool(finding.advice) is bool(advice)


def test_cuda_that_torch_does_not_see_is_told_with_torchs_own_words() -> None:
    finding = tried(cuda_available=False, warnings=("Error 802: system not yet initialized\nmore",))
    assert finding.name == "torch.cuda"
    assert finding.title == "`torch.cuda.is_available()` is false (Error 802: system not yet initialized)"
    assert "does not say why" in tried(cuda_available=False).title


def test_the_cpu_is_well_where_no_gpu_is_or_none_is_built_for() -> None:
    assert tried(hardware=NO_GPU, cuda_available=False).severity is Severity.OK
    assert tried(TorchFacts(Path("torch"), "2.14.0+cpu"), cuda_available=False).severity is Severity.OK


def test_without_torch_there_is_no_trial() -> None:
    assert check_trial(Facts([TorchFacts(), GPU, TrialFacts()])) == []


def test_nothing_is_concluded_from_versions_and_capabilities_that_nobody_says() -> None:
    torch = TorchFacts(Path("torch"), "2.20.0+cu140", "14.0", has_cuda_library=True)
    hardware = HardwareFacts((PciGpu("17", "nvidia"),), None, frozenset(), (), in_container=False, in_wsl=False)
    cuda = CudaFacts(devices=(CudaDevice("GPU", 130, 1),))
    (finding,) = check_build(Facts([torch, hardware, cuda, NvmlFacts()]))
    assert finding.severity is Severity.OK


def test_the_child_multiplies_and_copies_on_every_gpu_and_a_copy_that_has_no_room_is_no_fault(tmp_path: Path) -> None:
    fake = FakeMachine(tmp_path)
    (fake.site / "torch.py").write_text(MADE_UP_TORCH)
    machine = fake.machine(PYTHONPATH=str(fake.site))
    trial = read_trial(machine, load(fake.environment))
    first, second = trial.trials
    assert (trial.ended, trial.version, trial.cuda_available) == ("well", "2.14.0", True)
    assert [first["device"], first["difference"], second["device"], second["difference"]] == [
        "cuda:0",
        0.0,
        "cuda:1",
        0.0,
    ]
    assert first["pinned_bytes_per_s"] > 0
    assert first["pageable_bytes_per_s"] > 0
    assert "out of memory" in second["pinned_error"]
    well, *rest = check_trial(Facts([TORCH, GPU, trial]))
    assert (well.severity, rest) == (Severity.OK, [])
