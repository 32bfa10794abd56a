"""Every failure of the CUDA driver that is known, made by a driver of our own in C: one cause, with what mends it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch.config import load
from modelfetch.diagnosis import Finding, Severity, conclude, doctor
from modelfetch.diagnosis.checks.cuda import check_cuda
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.probes.hardware import read_hardware
from modelfetch.diagnosis.probes.native import CudaFacts, NvmlFacts, read_cuda
from tests.unit.doctor_machine import FakeMachine

GROUPS = ("gpu", "python")


@pytest.fixture
def fake(gpu_machine: FakeMachine) -> FakeMachine:
    return gpu_machine


def examined(fake: FakeMachine, **environment: str) -> list[Finding]:
    return doctor(names=GROUPS, offline=True, machine=fake.machine(**environment))


def names_of_errors(findings: list[Finding]) -> set[str]:
    return {finding.name for finding in findings if finding.severity.is_error}


def test_a_healthy_gpu_machine_has_no_error_and_no_warning(fake: FakeMachine) -> None:
    findings = examined(fake)
    assert {finding.severity for finding in findings} <= {Severity.OK, Severity.INFO}
    titles = {finding.name: finding.title for finding in findings}
    assert titles["gpus"] == "1 x NVIDIA H100 80GB HBM3"
    assert titles["driver"] == "the driver is 580.95.05, which serves CUDA 13.0"
    assert titles["cuda"] == "the CUDA driver starts and shows 1 GPU"
    assert titles["build"] == "driver and GPUs go with torch's CUDA 13.0"
    assert conclude(findings).sentence == "Nothing is wrong."


def test_a_library_of_the_modules_own_version_is_well(fake: FakeMachine) -> None:
    (fake.libraries / "libcuda.so.1").rename(fake.libraries / "libcuda.so.580.95.05")
    (fake.libraries / "libcuda.so.1").symlink_to("libcuda.so.580.95.05")
    assert not names_of_errors(examined(fake))


def test_a_driver_without_a_gpu_is_no_fault(tmp_path: Path, compiled: Path) -> None:
    fake = FakeMachine(tmp_path)
    shutil.copytree(compiled, fake.libraries, dirs_exist_ok=True)
    findings = examined(fake, FAKE_CUDA_INIT="100", FAKE_NVML_INIT="9")
    assert not names_of_errors(findings)
    assert "gpu.none" in {finding.name for finding in findings}


def test_a_driver_that_does_not_say_which_cuda_it_serves_is_told_by_its_version_alone(fake: FakeMachine) -> None:
    titles = {finding.name: finding.title for finding in examined(fake, FAKE_CUDA_API="0")}
    assert titles["driver"] == "the driver is 580.95.05"


@pytest.mark.parametrize(
    ("code", "sentence", "fix"),
    [
        ("3", "the CUDA driver does not start", "sudo nvidia-modprobe -c0 -u"),
        ("34", "the stub of `libcuda.so.1`", "unset LD_LIBRARY_PATH"),
        ("46", "the GPU is busy or unavailable", "sudo nvidia-smi -c 0"),
        ("100", "the CUDA driver sees no GPU", "nvidia-smi -L"),
        ("214", "an error that could not be corrected", "sudo nvidia-smi --gpu-reset"),
        ("304", "the system refuses", "sudo nvidia-modprobe -c0 -u"),
        ("805", "(MPS)", "nvidia-cuda-mps-control -d"),
        ("802", "wait for the Fabric Manager", "sudo apt install nvidia-fabricmanager-580 && sudo systemctl enable"),
        ("803", "are of different drivers", "sudo reboot"),
        ("804", "this GPU does not support it", "unset LD_LIBRARY_PATH"),
        ("999", "the kernel side of CUDA is in a bad state", "sudo nvidia-modprobe -c0 -u"),
        ("12345", "the CUDA driver does not start (error 12345)", None),
    ],
)
def test_each_code_of_cuinit_is_told_as_its_cause(fake: FakeMachine, code: str, sentence: str, fix: str | None) -> None:
    conclusion = conclude(examined(fake, FAKE_CUDA_INIT=code))
    assert conclusion.sentence.startswith("CUDA is not used because ")
    assert sentence in conclusion.sentence
    assert conclusion.primary is not None
    assert conclusion.primary.name == "drv.cuda-init"
    assert conclusion.primary.verify == "modelfetch doctor --deep"
    if fix:
        assert conclusion.primary.fix[0].startswith(fix)


def test_a_driver_too_old_for_torch_is_told_with_both_versions_and_a_torch_that_it_serves(fake: FakeMachine) -> None:
    fake.write("sys/module/nvidia/version", "535.183.01\n")
    findings = examined(fake, FAKE_DRIVER="535.183.01", FAKE_CUDA_API="12020")
    conclusion = conclude(findings)
    assert conclusion.sentence == (
        "CUDA is not used because torch 2.14.0+cu130 was built for CUDA 13.0 "
        "and the driver 535.183.01 serves CUDA 12.2."
    )
    assert conclusion.primary is not None
    assert conclusion.primary.fix[0] == 'python -m pip install --force-reinstall "torch<2.11"'
    assert "cu126" in conclusion.primary.fix[1]
    assert "580" in conclusion.primary.advice
    assert "cuda-compat-13-0" in conclusion.primary.advice
    assert names_of_errors(findings) == {"drv.too-old"}
    fake.write("sys/module/nvidia/version", "470.256.02\n")
    older = conclude(examined(fake, FAKE_DRIVER="470.256.02", FAKE_CUDA_API="11040")).primary
    assert older is not None
    assert "cuda-compat" not in older.advice
    assert "drv.eol" in {finding.name for finding in findings}


def test_a_compatibility_library_that_serves_more_than_its_kernel_driver_is_believed(fake: FakeMachine) -> None:
    fake.write("sys/module/nvidia/version", "535.183.01\n")
    assert not names_of_errors(examined(fake, FAKE_DRIVER="535.183.01", FAKE_CUDA_API="13000"))


def test_a_gpu_that_the_build_holds_no_code_for_is_told_with_a_build_that_does(fake: FakeMachine) -> None:
    primary = conclude(examined(fake, FAKE_CUDA_CAPABILITY="61")).primary
    assert primary is not None
    assert primary.name == "gpu.capability"
    assert "compute capability 6.1" in primary.title
    assert [("cu126" in command, "torch==2.14.*" in command) for command in primary.fix] == [(True, True)]


def test_a_gpu_that_is_newer_than_the_build_is_a_warning(fake: FakeMachine) -> None:
    findings = examined(fake, FAKE_CUDA_CAPABILITY="130")
    assert not names_of_errors(findings)
    (finding,) = [finding for finding in findings if finding.name == "gpu.capability"]
    assert (finding.severity, finding.effect) == (Severity.WARNING, "")


@pytest.mark.parametrize("release", ["2.5.1+cu121", "2.6.0+cu124", "2.7.1+cu118", "2.14.0+cu126"])
def test_a_gpu_that_came_after_a_build_without_code_for_later_ones_is_an_error(
    tmp_path: Path, compiled: Path, release: str
) -> None:
    number = release.partition("+cu")[2]
    fake = FakeMachine(tmp_path).with_gpu().with_torch(release, cuda=f"{number[:-1]}.{number[-1]}")
    shutil.copytree(compiled, fake.libraries, dirs_exist_ok=True)
    conclusion = conclude(examined(fake, FAKE_CUDA_CAPABILITY="120"))
    assert conclusion.primary is not None
    assert conclusion.primary.name == "gpu.capability"
    assert conclusion.primary.fix[0].endswith("/whl/cu130")
    assert "has compute capability 12.0" in conclusion.sentence


def test_what_others_than_pytorch_built_is_not_judged_by_pytorchs_builds(tmp_path: Path, compiled: Path) -> None:
    fake = FakeMachine(tmp_path).with_gpu().with_torch("2.9.0a0+145a3a7bda.nv25.10", cuda="13.0")
    shutil.copytree(compiled, fake.libraries, dirs_exist_ok=True)
    assert not names_of_errors(examined(fake, FAKE_CUDA_CAPABILITY="87"))


def test_a_jetson_has_a_gpu_on_no_bus_and_a_driver_with_numbers_of_its_own(tmp_path: Path, compiled: Path) -> None:
    fake = FakeMachine(tmp_path).with_torch("2.8.0", cuda="12.6")
    fake.write("proc/device-tree/compatible", "nvidia,p3737-0000\0nvidia,p3701-0000\0nvidia,tegra234\0")
    shutil.copytree(compiled, fake.libraries, dirs_exist_ok=True)
    findings = examined(fake, FAKE_DRIVER="540.4.0", FAKE_CUDA_API="12060", FAKE_CUDA_CAPABILITY="87", PATH="")
    assert {finding.severity for finding in findings} <= {Severity.OK, Severity.INFO}
    assert {"gpus", "cuda", "build"} <= {finding.name for finding in findings}
    fake.site.joinpath("torch/version.py").write_text("__version__ = '2.8.0+cpu'\ncuda = None\n")
    primary = conclude(examined(fake, FAKE_CUDA_API="12060", FAKE_CUDA_CAPABILITY="87")).primary
    assert primary is not None
    assert (primary.name, primary.fix, "Jetson" in primary.advice) == ("torch.cpu-build", (), True)


def test_a_gpu_that_nobody_builds_for_any_more_gets_no_command_and_is_told_so(fake: FakeMachine) -> None:
    primary = conclude(examined(fake, FAKE_CUDA_CAPABILITY="35")).primary
    assert primary is not None
    assert (primary.name, primary.fix) == ("gpu.capability", ())
    assert primary.advice.startswith("PyTorch offers no build any more")
    of_jetson = conclude(examined(fake, FAKE_CUDA_CAPABILITY="87")).primary
    assert of_jetson is not None
    assert "Jetson" in of_jetson.advice


@pytest.mark.parametrize(
    ("environment", "limit"),
    [
        ({}, ""),
        ({"FAKE_CUDA_API": "12040"}, ' "cuda-version<13"'),
        ({"FAKE_CUDA_CAPABILITY": "61"}, ' "cuda-version<13"'),
    ],
)
def test_a_torch_of_condas_is_installed_by_conda(
    tmp_path: Path, compiled: Path, environment: dict[str, str], limit: str
) -> None:
    fake = FakeMachine(tmp_path).with_gpu().with_torch("2.8.0", cuda=None)
    shutil.copytree(compiled, fake.libraries, dirs_exist_ok=True)
    prefix = tmp_path / "conda"
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "conda-meta/pytorch-2.8.0-cpu_generic_py311_0.json").touch()
    machine = fake.machine(**environment)
    machine = replace(machine, interpreter=replace(machine.interpreter, prefix=prefix))
    primary = conclude(doctor(names=GROUPS, offline=True, machine=machine)).primary
    assert primary is not None
    assert (primary.name, primary.fix) == (
        "torch.cpu-build",
        (f'conda install -p "{prefix}" -c conda-forge pytorch-gpu{limit}',),
    )


def test_what_is_made_for_one_torch_is_installed_again_with_it(fake: FakeMachine) -> None:
    fake.with_package("torchvision", "0.29.0")
    primary = conclude(examined(fake, FAKE_CUDA_CAPABILITY="61")).primary
    assert primary is not None
    assert primary.fix[0].startswith('python -m pip install --force-reinstall torchvision "torch==2.14.*"')


def test_a_compatibility_library_that_works_is_information(fake: FakeMachine, compiled: Path) -> None:
    compat = fake.root / "usr/local/cuda/compat"
    compat.mkdir(parents=True)
    shutil.copy(compiled / "libcuda.so.1", compat)
    (finding,) = [
        each for each in examined(fake, LD_LIBRARY_PATH=f"{compat}:{fake.libraries}") if each.name == "drv.compat-lib"
    ]
    assert (finding.severity, finding.title.startswith("CUDA 13.0 comes from NVIDIA's")) == (Severity.INFO, True)


@pytest.mark.parametrize(("folder", "code"), [("compat", "803"), ("compat", "804"), ("stubs", "34")])
def test_a_libcuda_from_elsewhere_is_the_cause_and_only_its_folder_leaves_the_path(
    fake: FakeMachine, compiled: Path, folder: str, code: str
) -> None:
    wrong = fake.root / "usr/local/cuda" / folder
    wrong.mkdir(parents=True)
    shutil.copy(compiled / "libcuda.so.1", wrong)
    primary = conclude(examined(fake, FAKE_CUDA_INIT=code, LD_LIBRARY_PATH=f"{wrong}:{fake.libraries}")).primary
    assert primary is not None
    assert (primary.name, primary.fix) == ("drv.compat-lib", (f"export LD_LIBRARY_PATH={fake.libraries}",))
    alone = conclude(examined(fake, FAKE_CUDA_INIT=code, LD_LIBRARY_PATH=f"{wrong}/:")).primary
    assert alone is not None
    assert alone.fix == ("unset LD_LIBRARY_PATH",)


def test_libraries_of_another_version_than_the_module_want_a_reboot(fake: FakeMachine) -> None:
    (fake.libraries / "libcuda.so.1").rename(fake.libraries / "libcuda.so.575.51.03")
    (fake.libraries / "libcuda.so.1").symlink_to("libcuda.so.575.51.03")
    findings = examined(fake, FAKE_CUDA_INIT="803")
    primary = conclude(findings).primary
    assert primary is not None
    assert (primary.name, primary.fix) == ("drv.mismatch", ("sudo reboot",))
    assert primary.title == "the kernel module is 580.95.05 and the driver's libraries are 575.51.03"
    causes = {finding.name: finding.consequence_of for finding in findings}
    assert causes["drv.cuda-init"] == "drv.mismatch"


@pytest.mark.parametrize(
    ("code", "name", "fix"),
    [
        ("18", "drv.mismatch", "sudo reboot"),
        ("9", "drv.nvml", "sudo modprobe nvidia"),
        ("15", "drv.nvml", "sudo reboot"),
        ("16", "drv.nvml", "sudo nvidia-smi --gpu-reset"),
    ],
)
def test_each_code_of_nvml_is_told_as_its_cause(fake: FakeMachine, code: str, name: str, fix: str) -> None:
    primary = conclude(examined(fake, FAKE_NVML_INIT=code, FAKE_CUDA_INIT="3")).primary
    assert primary is not None
    assert (primary.name, primary.fix[0]) == (name, fix)


def test_a_container_that_lost_its_gpu_is_told_so(fake: FakeMachine) -> None:
    assert "drv.nvml" in names_of_errors(examined(fake, FAKE_NVML_INIT="999"))
    fake.write(".dockerenv")
    primary = conclude(examined(fake, FAKE_NVML_INIT="999", FAKE_CUDA_INIT="999")).primary
    assert primary is not None
    assert (primary.name, primary.fix[0]) == ("ctr.lost-gpu", "docker restart CONTAINER")


@pytest.mark.parametrize("value", ["", "-1", "1", "none", "0,0"])
def test_a_variable_that_hides_every_gpu_is_the_cause(fake: FakeMachine, value: str) -> None:
    findings = examined(fake, CUDA_VISIBLE_DEVICES=value, FAKE_CUDA_INIT="100")
    primary = conclude(findings).primary
    assert primary is not None
    assert (primary.name, primary.fix) == ("gpu.visible", ("unset CUDA_VISIBLE_DEVICES",))
    assert {finding.name: finding.consequence_of for finding in findings}["drv.cuda-init"] == "gpu.visible"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("GPU-0000", "because no GPU has this UUID"),
        ("MIG-4f2b-7", "because no GPU has this UUID"),
        ("9", "because there is no GPU 9"),
        ("1,1", "because `1` stands in it twice"),
        ("", "is set to nothing, which hides every GPU"),
    ],
)
def test_a_variable_that_names_what_is_not_there_says_what(fake: FakeMachine, value: str, why: str) -> None:
    there = {"FAKE_NVML_COUNT": "2", "FAKE_UUID": "4f2b", "FAKE_MIG": "1", "FAKE_MIG_PARTS": "2"}
    primary = conclude(examined(fake, CUDA_VISIBLE_DEVICES=value, FAKE_CUDA_INIT="100", **there)).primary
    assert primary is not None
    assert (primary.name, primary.title.endswith(why)) == ("gpu.visible", True)


@pytest.mark.parametrize("value", ["GPU-4f2b-1", "MIG-4f2b-1"])
def test_a_variable_that_names_a_gpu_or_a_part_by_its_uuid_is_information(fake: FakeMachine, value: str) -> None:
    there = {"FAKE_NVML_COUNT": "2", "FAKE_UUID": "4f2b", "FAKE_MIG": "1", "FAKE_MIG_PARTS": "2"}
    assert not names_of_errors(examined(fake, CUDA_VISIBLE_DEVICES=value, **there))


def test_what_stands_behind_an_entry_that_is_no_gpu_is_told_to_be_passed_over(fake: FakeMachine) -> None:
    findings = {finding.name: finding for finding in examined(fake, CUDA_VISIBLE_DEVICES="1,9,0", FAKE_NVML_COUNT="2")}
    assert findings["gpu.visible"].title == (
        "CUDA_VISIBLE_DEVICES=`1,9,0` shows 1 of 2 GPUs: what stands from `9` on is passed over"
    )


@pytest.mark.parametrize("value", ["0", "GPU-4f2b", "MIG-4f2b", "0,7"])
def test_a_variable_that_chooses_a_gpu_is_information(fake: FakeMachine, value: str) -> None:
    findings = examined(fake, CUDA_VISIBLE_DEVICES=value, FAKE_NVML_COUNT="8")
    assert not names_of_errors(findings)
    (finding,) = [finding for finding in findings if finding.name == "gpu.visible"]
    assert (finding.severity, finding.title) == (
        Severity.INFO,
        f"CUDA_VISIBLE_DEVICES=`{value}` chooses among 8 GPUs",
    )


@pytest.mark.parametrize("how", ["SIGABRT", "hung"])
def test_a_driver_that_dies_or_hangs_is_a_finding_and_what_it_said_before_is_kept(fake: FakeMachine, how: str) -> None:
    machine = fake.machine(FAKE_CUDA_ACT={"SIGABRT": "abort", "hung": "hang"}[how], FAKE_CUDA_API="12040")
    facts = read_cuda(machine, load(machine.environment), limit_s=5.0)
    assert (facts.ended, facts.init_code, facts.driver_api) == (how, None, 12040)
    assert Path(facts.library or "") == fake.libraries / "libcuda.so.1"


def test_a_driver_that_hangs_is_told_so(fake: FakeMachine) -> None:
    machine = fake.machine()
    hardware = read_hardware(machine, load(machine.environment))
    (finding,) = check_cuda(Facts([machine, hardware, CudaFacts(ended="hung"), NvmlFacts()]))
    assert (finding.severity, finding.title) == (
        Severity.CRASHED,
        "the CUDA driver did not answer when asked to start",
    )


def test_a_driver_that_dies_is_the_cause_and_everything_else_is_still_told(fake: FakeMachine) -> None:
    findings = examined(fake, FAKE_CUDA_ACT="abort")
    primary = conclude(findings).primary
    assert primary is not None
    assert (primary.name, primary.severity) == ("drv.cuda-init", Severity.CRASHED)
    assert "SIGABRT" in primary.title
    assert {"gpus", "driver", "torch", "packages"} <= {finding.name for finding in findings}


def test_a_management_library_that_dies_does_not_take_cuda_with_it(fake: FakeMachine) -> None:
    findings = examined(fake, FAKE_NVML_ABORT="1")
    assert names_of_errors(findings) == {"drv.nvml"}
    assert "cuda" in {finding.name for finding in findings}


def test_a_torch_without_cuda_beside_a_gpu_is_the_cause_with_one_for_this_driver(
    tmp_path: Path, compiled: Path
) -> None:
    fake = FakeMachine(tmp_path).with_gpu().with_torch("2.14.0+cpu", cuda=None)
    shutil.copytree(compiled, fake.libraries, dirs_exist_ok=True)
    primary = conclude(examined(fake)).primary
    assert primary is not None
    assert primary.name == "torch.cpu-build"
    assert primary.fix[0].endswith("--index-url https://download.pytorch.org/whl/cu130")
    older = conclude(examined(fake, FAKE_DRIVER="550.54.15", FAKE_CUDA_API="12040")).primary
    assert older is not None
    assert not any("cu130" in command for command in older.fix)


def test_a_gpu_that_others_hold_is_a_warning(fake: FakeMachine) -> None:
    findings = examined(fake, FAKE_NVML_USED_MB="80000", FAKE_NVML_MODE="3")
    warnings = {finding.name for finding in findings if finding.severity is Severity.WARNING}
    assert warnings == {"gpu.busy", "gpu.exclusive"}
    assert not names_of_errors(findings)


def test_who_holds_a_gpu_is_named_without_its_folder_where_the_driver_knows_it(fake: FakeMachine) -> None:
    held = {"FAKE_NVML_USED_MB": "80000", "FAKE_HOLDER_MB": "79000"}
    (finding,) = [each for each in examined(fake, **held) if each.name == "gpu.busy"]
    assert finding.advice == "`python3` (4711) holds 79.0 GB."
    (finding,) = [each for each in examined(fake, FAKE_OTHER_NAMESPACE="1", **held) if each.name == "gpu.busy"]
    assert finding.advice == "process 4711 holds 79.0 GB."


def test_no_driver_library_on_bare_metal_in_a_container_and_in_wsl(fake: FakeMachine) -> None:
    for library in fake.libraries.iterdir():
        library.unlink()
    assert "drv.no-library" in names_of_errors(examined(fake))
    fake.write(".dockerenv")
    primary = conclude(examined(fake)).primary
    assert primary is not None
    assert (primary.name, primary.fix[0]) == ("ctr.runtime", "docker run --gpus all IMAGE")
    (fake.root / ".dockerenv").unlink()
    fake.write("proc/version", "Linux version 6.6.87-microsoft-standard-WSL2")
    fake.write("dev/dxg")
    fake.write("usr/lib/wsl/drivers/nv_dispi.inf_amd64_2/libcuda.so.1.1")
    assert "wsl.driver" in names_of_errors(examined(fake))


def test_a_linux_driver_in_wsl_is_told_and_is_the_cause_where_it_does_not_start(fake: FakeMachine) -> None:
    fake.write("proc/version", "Linux version 6.6.87-microsoft-standard-WSL2")
    fake.write("dev/dxg")
    (finding,) = [finding for finding in examined(fake) if finding.name == "wsl.driver"]
    assert finding.severity is Severity.WARNING
    primary = conclude(examined(fake, FAKE_CUDA_INIT="100")).primary
    assert primary is not None
    assert (primary.name, primary.fix[0].startswith("sudo apt purge 'libnvidia-compute*'")) == ("wsl.driver", True)
    of_windows = fake.root / "usr/lib/wsl/lib"
    of_windows.parent.mkdir(parents=True)
    fake.libraries.rename(of_windows)
    well = examined(fake, LD_LIBRARY_PATH=str(of_windows))
    assert not names_of_errors(well)
    assert "cuda" in {finding.name for finding in well}


def test_toolkits_beside_each_other_and_no_compiler_are_information(fake: FakeMachine) -> None:
    for name in ("cuda-12.4", "cuda-13.0"):
        fake.write(f"usr/local/{name}/bin/nvcc")
    (fake.root / "usr/local/cuda-13").symlink_to("cuda-13.0")
    findings = {finding.name: finding for finding in examined(fake, PATH="")}
    assert "(cuda-12.4, cuda-13.0)" in findings["cuda.home"].title
    assert findings["cuda.compiler"].severity is Severity.INFO
    settled = {finding.name for finding in examined(fake, CUDA_HOME=str(fake.root / "usr/local/cuda-13.0"))}
    assert not {"cuda.home", "cuda.compiler"} & settled
