"""torch and its companions as their files and metadata show them. Nothing is imported."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch.config import load
from modelfetch.diagnosis import Rank, Severity, doctor
from modelfetch.diagnosis.machine import Interpreter
from modelfetch.diagnosis.probes.packages import read_packages
from modelfetch.diagnosis.probes.torch_files import read_torch
from tests.unit.doctor_machine import FakeMachine, errors, found


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


@pytest.mark.parametrize(
    ("release", "cuda", "hip", "name"),
    [
        ("2.14.0+cpu", None, None, "torch.cpu-build-nogpu"),
        ("2.14.0+cu130", "13.0", None, "torch"),
        ("2.9.0+rocm6.4", None, "6.4", "torch"),
    ],
)
def test_torch_is_told_by_what_it_was_built_for(
    fake: FakeMachine, release: str, cuda: str | None, hip: str | None, name: str
) -> None:
    findings = found(fake.with_torch(release, cuda=cuda, hip=hip), "torch")
    assert list(findings) == [name]
    assert f"torch {release} was built for" in findings[name].title


def test_a_torch_for_other_gpus_or_with_a_part_missing_is_an_error_beside_an_nvidia_gpu(fake: FakeMachine) -> None:
    fake.with_gpu().with_torch("2.9.0+rocm6.4", cuda=None, hip="6.4")
    assert errors(found(fake, "torch")) == {"torch.rocm"}


def test_a_torch_whose_cuda_library_is_gone_is_an_error(fake: FakeMachine) -> None:
    fake.with_torch("2.14.0+cu130", cuda="13.0")
    (fake.site / "torch/lib/libtorch_cuda.so").unlink()
    assert errors(found(fake, "torch")) == {"torch.broken"}


def test_the_capabilities_are_read_from_torchs_own_table_and_else_from_ours(fake: FakeMachine) -> None:
    settings = load(fake.environment)
    fake.with_torch("2.14.0+cu126", cuda="12.6")
    assert read_torch(fake.machine(), settings).capabilities == (50, 60, 70, 75, 80, 86, 90)
    (fake.site / "torch/cuda/__init__.py").write_text("PYTORCH_RELEASES_CODE_CC = {'12.6': {'x86_64': {90}}}\n")
    assert read_torch(fake.machine(), settings).capabilities == (90,)
    for unreadable in ("PYTORCH_RELEASES_CODE_CC = made_up()\n", "this is no Python\n", ""):
        (fake.site / "torch/cuda/__init__.py").write_text(unreadable)
        assert read_torch(fake.machine(), settings).capabilities == (50, 60, 70, 75, 80, 86, 90)


def test_what_a_torch_computes_about_itself_is_not_read_and_not_run(fake: FakeMachine) -> None:
    fake.with_torch("2.14.0", cuda=None)
    (fake.site / "torch/version.py").write_text("__version__ = '2.14.0'\ncuda = made_up()\nhip = 6\nxpu = None\n")
    facts = read_torch(fake.machine(), load(fake.environment))
    assert (facts.release, facts.cuda, facts.hip, facts.xpu) == ("2.14.0", None, None, None)


def test_versions_that_do_not_go_together_are_told_with_the_command(fake: FakeMachine) -> None:
    fake.with_package("transformers", "5.23.0", "tokenizers<0.24.0,>=0.23.1", "regex", 'sentencepiece; extra == "x"')
    fake.with_package("tokenizers", "0.21.4").with_package("regex", "2026.1.1")
    finding = found(fake, "requirements")["tf.deps"]
    assert finding.severity is Severity.ERROR
    assert finding.title == "transformers 5.23.0 needs tokenizers<0.24.0,>=0.23.1, and 0.21.4 is installed"
    assert finding.fix == ('python -m pip install "tokenizers<0.24.0,>=0.23.1"',)
    assert (finding.effect, finding.rank) == ("models cannot be run", Rank.PACKAGES)


def test_a_needed_package_that_is_missing_is_told(fake: FakeMachine) -> None:
    fake.with_package("torchvision", "0.29.0", "torch==2.14.0").with_torch("2.13.0+cpu", cuda=None)
    finding = found(fake, "requirements")["torch.vision-mismatch"]
    assert "2.13.0+cpu is installed" in finding.title
    assert finding.fix == (
        'python -m pip install "torchvision==0.28.*" --index-url https://download.pytorch.org/whl/cpu',
    )
    fake.with_package("modelscope_hub", "0.5.0", "requests>=2.28")
    finding = found(fake, "requirements")["py.deps"]
    assert (finding.severity, finding.effect) == (Severity.WARNING, "")
    assert finding.title == "modelscope-hub 0.5.0 needs requests>=2.28, and it is not installed"


def test_a_part_of_torch_itself_stands_lower_than_other_packages(fake: FakeMachine) -> None:
    fake.with_package("torch", "2.14.0", "nvidia-cublas==13.1.0.3").with_package("nvidia_cublas", "13.0.0.19")
    finding = found(fake, "requirements")["torch.nvidia-libs"]
    assert (finding.severity, finding.rank) == (Severity.ERROR, Rank.TORCH)


def test_torch_without_what_runs_models_is_information(fake: FakeMachine) -> None:
    assert set(found(fake, "packages")) == {"packages"}
    fake.with_package("torch", "2.14.0")
    assert set(found(fake, "packages")) == {"packages", "tf.absent", "acc.absent"}
    fake.with_package("transformers", "5.23.0").with_package("accelerate", "1.15.0")
    findings = found(fake, "packages")
    assert findings["packages"].title == "torch 2.14.0, transformers 5.23.0, accelerate 1.15.0"
    assert set(findings) == {"packages"}


def test_what_is_wanted_of_a_package_by_its_extras_is_wanted(fake: FakeMachine) -> None:
    fake.with_package("torch", "2.14.0+cu130", "cuda-toolkit[cublas,cudart]==13.0.2")
    told = found(fake, "requirements")["torch.nvidia-libs"]
    assert told.fix == ('python -m pip install "cuda-toolkit[cublas,cudart]==13.0.2"',)
    fake.with_package(
        "cuda_toolkit",
        "13.0.2",
        'nvidia-cublas==13.1.0.*; extra == "cublas"',
        'nvidia-cuda-runtime==13.0.*; extra == "cudart"',
        'nvidia-cufft==12.0.*; extra == "cufft"',
    )
    fake.with_package("nvidia_cuda_runtime", "13.0.96")
    told = found(fake, "requirements")["torch.nvidia-libs"]
    assert told.title == "torch 2.14.0+cu130 needs nvidia-cublas==13.1.0.*, and it is not installed"
    fake.with_package("nvidia_cublas", "13.1.0.3")
    assert "requirements" in found(fake, "requirements")


def test_a_torch_that_is_not_there_is_told_once(fake: FakeMachine) -> None:
    fake.with_package("accelerate", "1.15.0", "torch>=2.0.0")
    told = found(fake, "python")
    assert (told["torch.absent"].fix, errors(told)) == ((), set())


def test_beside_a_gpu_the_torch_that_goes_with_it_is_named(gpu_machine: FakeMachine) -> None:
    shutil.rmtree(gpu_machine.site / "torch")
    shutil.rmtree(next(gpu_machine.site.glob("torch-*.dist-info")))
    told = found(gpu_machine, "python", FAKE_CUDA_API="12020", FAKE_DRIVER="535.183.01")
    assert told["torch.absent"].fix[0] == 'python -m pip install "torch<2.11"'


def test_a_local_version_meets_what_its_release_meets(fake: FakeMachine) -> None:
    fake.with_package("torchvision", "0.29.0+cpu", "torch==2.14.0").with_torch("2.14.0+cpu", cuda=None)
    assert "requirements" in found(fake, "requirements")


def test_a_package_twice_in_one_folder_is_an_error_and_a_shadowed_one_is_not(fake: FakeMachine, tmp_path: Path) -> None:
    fake.with_package("transformers", "5.17.0").with_package("transformers", "5.23.0")
    finding = found(fake, "packages")["py.dup"]
    assert (finding.evidence["versions"], finding.effect) == (["5.17.0", "5.23.0"], "models cannot be run")
    fake.with_package("wheel", "0.45").with_package("wheel", "0.46")
    machine = fake.machine()
    of_wheel = [finding for finding in doctor(names=["packages"], machine=machine) if "wheel" in finding.title]
    assert [finding.effect for finding in of_wheel] == [""]
    other = FakeMachine(tmp_path / "other").with_package("safetensors", "0.7.0")
    fake.with_package("safetensors", "0.8.0")
    machine = fake.machine()
    both = type(machine)(machine.root, machine.environment, (fake.site, other.site))
    facts = read_packages(both, load(fake.environment))
    assert (facts.versions["safetensors"], "safetensors" in facts.duplicates) == ("0.8.0", False)


def test_what_an_uninstall_left_behind_is_no_package(fake: FakeMachine) -> None:
    (fake.site / "transformers-5.17.0.dist-info").mkdir()
    fake.with_package("transformers", "5.23.0")
    assert "py.dup" not in found(fake, "packages")


def test_byte_code_that_will_never_be_kept_is_a_warning_and_one_not_yet_written_is_none(fake: FakeMachine) -> None:
    fake.with_torch("2.14.0+cpu", cuda=None)
    assert "py.bytecode" not in found(fake, "byte-code")
    finding = found(fake, "byte-code", PYTHONDONTWRITEBYTECODE="1")["py.bytecode"]
    assert (finding.severity, finding.evidence["packages"]) == (Severity.WARNING, ["torch"])
    assert "PYTHONDONTWRITEBYTECODE is set" in finding.title


def test_an_old_pynvml_is_a_warning(fake: FakeMachine) -> None:
    assert "pynvml.old" in found(fake.with_package("pynvml", "11.5.3"), "packages")


def test_a_pynvml_that_only_wraps_the_right_one_is_none(fake: FakeMachine) -> None:
    assert "pynvml.old" not in found(fake.with_package("pynvml", "12.0.0"), "packages")


def test_what_conda_installed_and_pip_replaced_is_a_warning(fake: FakeMachine, tmp_path: Path) -> None:
    (tmp_path / "conda-meta").mkdir()
    (tmp_path / "conda-meta/pytorch-2.5.1-py3.11_cuda12.4_0.json").write_text("{}")
    (tmp_path / "conda-meta/numpy-2.3.0-py311h_0.json").write_text("{}")
    fake.with_package("torch", "2.14.0+cu130").with_package("numpy", "2.3.0")
    machine = replace(fake.machine(), interpreter=Interpreter("3.11.7", tmp_path))
    (finding,) = [each for each in doctor(names=["packages"], machine=machine) if each.name == "py.dup"]
    assert finding.severity is Severity.WARNING
    assert finding.title == "conda installed torch 2.5.1, and something else replaced it by 2.14.0+cu130"


def test_what_transformers_uses_where_it_is_there_is_in_its_own_table(fake: FakeMachine) -> None:
    (fake.site / "transformers").mkdir()
    table = "deps = {'kernels': 'kernels>=0.18.2,<0.19', 'timm': 'timm>=1.0', 'ruff': 'ruff==0.1'}\n"
    (fake.site / "transformers/dependency_versions_table.py").write_text(table)
    fake.with_package("transformers", "5.23.0").with_package("kernels", "0.20.0").with_package("ruff", "0.9")
    findings = found(fake, "requirements")
    assert set(findings) == {"tf.optional"}
    assert findings["tf.optional"].title == "transformers uses kernels<0.19,>=0.18.2, and 0.20.0 is installed"


def test_a_requirement_is_judged_for_the_python_that_is_looked_at(fake: FakeMachine) -> None:
    fake.with_package("transformers", "4.46.0", 'tomli; python_version < "3.9"')
    assert set(found(fake, "requirements")) == {"requirements"}
    machine = replace(fake.machine(), interpreter=Interpreter("3.8.20", fake.home))
    assert [each.name for each in doctor(names=["requirements"], machine=machine)] == ["tf.deps"]


def test_xet_beside_a_mirror_is_information(fake: FakeMachine) -> None:
    fake.with_package("hf_xet", "1.3.0")
    mirror = {"HF_ENDPOINT": "https://hf-mirror.com"}
    assert found(fake, "packages", **mirror)["xet"].severity is Severity.INFO
    for environment in ({}, {"HF_ENDPOINT": "https://huggingface.co"}, {**mirror, "HF_HUB_DISABLE_XET": "1"}):
        assert "xet" not in found(fake, "packages", **environment)


@pytest.mark.parametrize(
    ("installed", "lacking"),
    [
        ({"httpx2": "2.16.2", "requests": "2.34.2"}, "uv pip install socksio pysocks"),
        ({"httpx": "0.28.1", "socksio": "1.0.0", "requests": "2.34.2"}, "uv pip install pysocks"),
        ({"httpx": "0.28.1", "socksio": "1.0.0"}, None),
        ({}, None),
    ],
)
def test_a_socks_proxy_that_other_tools_cannot_use_is_told_with_what_they_lack(
    fake: FakeMachine, installed: dict[str, str], lacking: str | None
) -> None:
    for name, version in installed.items():
        fake.with_package(name, version)
    finding = found(fake, "packages", all_proxy="socks5h://127.0.0.1:1080").get("net.socks")
    assert (finding.fix[0] if finding else None) == lacking
    assert "net.socks" not in found(fake, "packages", HTTPS_PROXY="http://127.0.0.1:1080")
