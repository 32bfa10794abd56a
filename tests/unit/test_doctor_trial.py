"""What a trial of torch is taken for: plain functions of what the child said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelfetch.diagnosis import Finding, Severity
from modelfetch.diagnosis.checks.torch import check_build, check_trial
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.probes.hardware import HardwareFacts, PciGpu
from modelfetch.diagnosis.probes.native import CudaDevice, CudaFacts, NvmlFacts, TrialFacts
from modelfetch.diagnosis.probes.torch_files import TorchFacts

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
