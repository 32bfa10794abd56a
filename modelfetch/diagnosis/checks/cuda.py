"""The CUDA driver: whether it starts, whether its parts belong together, and the toolkit beside it.

- The code of `cuInit` decides; that `nvidia-smi` works says nothing about CUDA.
- A driver that aborts or hangs in the child is a crash that is reported, not suffered.
- A missing nvcc is information: torch brings its own CUDA, and only building extensions needs a toolkit.
- CUDA libraries on LD_LIBRARY_PATH break torch before 2.6 and are information for later ones, which pass them over;
  `libcuda.so.1` from elsewhere breaks all.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from modelfetch.diagnosis.checks.check import Check, note, well
from modelfetch.diagnosis.checks.gpu import NO_CUDA, PROVE_CUDA, container_fix
from modelfetch.diagnosis.codes import (
    CUDA_TROUBLES,
    FOREIGN_LIBRARY_CODES,
    NVML_LIBRARY_MISMATCH,
    NVML_TROUBLES,
    Trouble,
)
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes.hardware import HardwareFacts
from modelfetch.diagnosis.probes.native import CudaFacts, NvmlFacts
from modelfetch.diagnosis.probes.toolkit import ToolkitFacts
from modelfetch.diagnosis.probes.torch_files import TorchFacts
from modelfetch.diagnosis.tables import OLDEST_KEPT_BRANCH, Version, cuda_of, version, written

# NVML says 999 in a container whose devices systemd took away, and for nothing else that is known.
_NVML_UNKNOWN = 999

# Where drivers, and the runtimes of containers, put their libraries.
_OF_A_DRIVER = re.compile(r"^/lib(32|64)?/|/usr/lib(32|64)?/|/usr/local/nvidia/|^/nix/store/")

# From here on torch finds its CUDA libraries by its own path, whatever LD_LIBRARY_PATH says.
_TORCH_WITH_OWN_PATH: Version = (2, 6)


def driver_release(facts: Facts) -> str:
    """The kernel driver's version, from the kernel if it says so and else from NVML; empty where nobody does."""
    return facts[HardwareFacts].module_version or facts[NvmlFacts].driver or ""


def check_cuda(facts: Facts) -> list[Finding]:
    hardware, cuda = facts[HardwareFacts], facts[CudaFacts]
    if cuda.ended != "well":
        return [_native_crash("drv.cuda-init", "the CUDA driver", "cuInit", cuda.ended)]
    if cuda.library_error is not None:
        return [_no_library(facts)] if hardware.has_gpu else []
    if hardware.in_wsl and "/usr/lib/wsl/" not in (cuda.library or ""):
        return [_not_of_windows(cuda)]
    if cuda.init_code == 0:
        title = f"the CUDA driver starts and shows {len(cuda.devices)} GPU{'' if len(cuda.devices) == 1 else 's'}"
        found = [well("cuda", title, library=cuda.library, driver_api=cuda.driver_api)]
        return [*found, _compatible(cuda)] if "/compat/" in (cuda.library or "") else found
    if not hardware.has_gpu:
        return []
    foreign = _foreign_library(cuda, facts[Machine].environment.get("LD_LIBRARY_PATH", ""))
    return [foreign or _not_starting(cuda, driver_release(facts))]


def _compatible(cuda: CudaFacts) -> Finding:
    served = f"CUDA {written(cuda_of(cuda.driver_api))}" if cuda.driver_api else "its CUDA"
    title = f"{served} comes from NVIDIA's compatibility package (`{cuda.library}`), not from the driver"
    return note("drv.compat-lib", title, advice="Take it off the loader's path when the driver is renewed.")


def _not_starting(cuda: CudaFacts, release: str) -> Finding:
    unknown = Trouble(f"the CUDA driver does not start (error {cuda.init_code})")
    trouble = CUDA_TROUBLES.get(cuda.init_code or 0, unknown)
    return Finding(
        "drv.cuda-init",
        Severity.ERROR,
        trouble.title,
        {"cuInit": cuda.init_code, "library": cuda.library, "driver_api": cuda.driver_api},
        effect=NO_CUDA,
        rank=Rank.CUDA,
        advice=trouble.advice,
        fix=_with_branch(trouble.fix, release),
        verify=PROVE_CUDA,
    )


def _with_branch(commands: tuple[str, ...], release: str) -> tuple[str, ...]:
    branch = release.partition(".")[0] or "BRANCH"
    return tuple(command.replace("{branch}", branch) for command in commands)


def _native_crash(name: str, what: str, call: str, ended: str) -> Finding:
    how = "did not answer" if ended == "hung" else f"died with {ended}"
    return Finding(
        name,
        Severity.CRASHED,
        f"{what} {how} when asked to start",
        {"call": call, "ended": ended},
        effect=NO_CUDA,
        rank=Rank.CUDA,
        advice="`sudo dmesg` says more, in lines with NVRM or Xid. A process that imports torch would do the same.",
        fix=("sudo reboot",),
        verify=PROVE_CUDA,
    )


def _no_library(facts: Facts) -> Finding:
    hardware, error = facts[HardwareFacts], facts[CudaFacts].library_error
    capabilities = facts[Machine].environment.get("NVIDIA_DRIVER_CAPABILITIES")
    name, rank = ("ctr.runtime", Rank.HARDWARE) if hardware.in_container else ("drv.no-library", Rank.DRIVER)
    fix: tuple[str, ...]
    if hardware.in_wsl:
        name, rank = "wsl.driver", Rank.DRIVER
        title = "WSL does not offer the Windows driver's `libcuda.so.1`"
        advice = "Run it in Windows, with a current NVIDIA driver there and none in WSL."
        fix = ("wsl --update",)
    elif hardware.in_container and capabilities and facts[NvmlFacts].library_error is None:
        title = f"the container was started with NVIDIA_DRIVER_CAPABILITIES={capabilities}, which leaves CUDA out"
        advice, fix = "", ("docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility IMAGE",)
    elif hardware.in_container:
        title, advice = "the container was started without NVIDIA's runtime", ""
        fix = container_fix(hardware)
    else:
        title = "the driver's library `libcuda.so.1` cannot be opened"
        advice = "Install the driver's libraries in the version of its kernel module."
        fix = _with_branch(
            ("sudo ldconfig", "sudo apt install libnvidia-compute-{branch}"), hardware.module_version or ""
        )
    return Finding(
        name,
        Severity.ERROR,
        title,
        {"error": error},
        effect=NO_CUDA,
        rank=rank,
        advice=advice,
        fix=fix,
        verify=PROVE_CUDA,
    )


def _not_of_windows(cuda: CudaFacts) -> Finding:
    fails = cuda.init_code != 0
    return Finding(
        "wsl.driver",
        Severity.ERROR if fails else Severity.WARNING,
        f"WSL takes `libcuda.so.1` from `{cuda.library}`, not from the Windows driver's `/usr/lib/wsl/lib`",
        {"library": cuda.library, "cuInit": cuda.init_code},
        effect=NO_CUDA if fails else "",
        rank=Rank.DRIVER,
        advice="A driver for Linux was installed in WSL, where the one of Windows is used.",
        fix=("sudo apt purge 'libnvidia-compute*' 'nvidia-driver*' && sudo ldconfig",),
        verify=PROVE_CUDA,
    )


def _foreign_library(cuda: CudaFacts, search_path: str) -> Finding | None:
    """The finding for a libcuda that no driver installed here, and that does not go with the driver."""
    if cuda.init_code not in FOREIGN_LIBRARY_CODES or not _is_foreign(cuda):
        return None
    folder = cuda.named_by or str(PurePosixPath(cuda.library or "").parent)
    rest = [entry for entry in search_path.split(":") if entry and entry != folder]
    if cuda.named_by:
        advice, fix = "", f"export LD_LIBRARY_PATH={':'.join(rest)}" if rest else "unset LD_LIBRARY_PATH"
    else:
        advice = "The folder is named in /etc/ld.so.conf.d."
        fix = r"sudo sed -i.bak '/compat\|stubs/d' /etc/ld.so.conf.d/*.conf && sudo ldconfig"
    return Finding(
        "drv.compat-lib",
        Severity.ERROR,
        f"the loader takes `libcuda.so.1` from `{folder}`, and it does not go with the driver",
        {"library": cuda.library, "cuInit": cuda.init_code},
        effect=NO_CUDA,
        rank=Rank.DRIVER,
        advice=advice,
        fix=(fix,),
        verify=PROVE_CUDA,
    )


def _is_foreign(cuda: CudaFacts) -> bool:
    """Whether libcuda is none that a driver installed: a stub, of the compatibility package, or a copy somewhere."""
    is_copy = cuda.named_by is not None and not _OF_A_DRIVER.search(cuda.library or "")
    return is_copy or bool(re.search(r"/(compat|stubs)/", cuda.library or ""))


def check_driver(facts: Facts) -> list[Finding]:
    hardware, nvml, cuda = facts[HardwareFacts], facts[NvmlFacts], facts[CudaFacts]
    if not hardware.has_gpu:
        return []
    fault = _driver_fault(hardware, nvml, cuda)
    release = driver_release(facts)
    if fault or not release:
        return [fault] if fault else []
    served = f", which serves CUDA {written(cuda_of(cuda.driver_api))}" if cuda.driver_api else ""
    # A Jetson's driver is a part of its system, with numbers of its own.
    if version(release) < (OLDEST_KEPT_BRANCH,) and not hardware.is_jetson:
        return [
            Finding(
                "drv.eol",
                Severity.WARNING,
                f"the driver is {release}{served}, and its branch gets no fixes any more",
                {"driver": release},
                rank=Rank.DRIVER,
                advice=f"Install branch {OLDEST_KEPT_BRANCH} or newer on the host.",
                verify="modelfetch doctor driver",
            )
        ]
    return [well("driver", f"the driver is {release}{served}", driver=release)]


def _driver_fault(hardware: HardwareFacts, nvml: NvmlFacts, cuda: CudaFacts) -> Finding | None:
    if nvml.ended != "well":
        return _native_crash("drv.nvml", "NVIDIA's management library", "nvmlInit", nvml.ended)
    mismatch = _mismatch(hardware, cuda)
    if mismatch or not nvml.init_code:
        return mismatch
    return _nvml_fault(nvml.init_code, hardware)


def _mismatch(hardware: HardwareFacts, cuda: CudaFacts) -> Finding | None:
    """The finding for libraries that are not of the kernel module's version, told by the library's file name."""
    library = re.search(r"libcuda\.so\.(\d+\.\d+(?:\.\d+)?)$", cuda.library or "")
    if not library or not hardware.module_version or _is_foreign(cuda):
        return None
    if version(library.group(1)) == version(hardware.module_version):
        return None
    return Finding(
        "drv.mismatch",
        Severity.ERROR,
        f"the kernel module is {hardware.module_version} and the driver's libraries are {library.group(1)}",
        {"module": hardware.module_version, "library": cuda.library},
        effect=NO_CUDA,
        rank=Rank.DRIVER,
        advice="The driver was upgraded under the loaded module.",
        fix=("sudo reboot",),
        verify=PROVE_CUDA,
    )


def _nvml_fault(code: int, hardware: HardwareFacts) -> Finding:
    name = "drv.mismatch" if code == NVML_LIBRARY_MISMATCH else "drv.nvml"
    trouble = NVML_TROUBLES.get(code, Trouble(f"NVIDIA's management library does not start (error {code})"))
    if code == _NVML_UNKNOWN and hardware.in_container:
        name = "ctr.lost-gpu"
        trouble = Trouble(
            "the container lost its GPU",
            advice="A reload of systemd took the device away. A container with CDI or `--device` keeps it.",
            fix=("docker restart CONTAINER",),
        )
    return Finding(
        name,
        Severity.ERROR,
        trouble.title,
        {"nvmlInit": code, "module": hardware.module_version},
        effect=NO_CUDA,
        rank=Rank.DRIVER,
        advice=trouble.advice,
        fix=trouble.fix,
        verify=PROVE_CUDA,
    )


def check_toolkit(facts: Facts) -> list[Finding]:
    toolkit, torch = facts[ToolkitFacts], facts[TorchFacts]
    findings = []
    if toolkit.nvcc is None:
        findings.append(note("cuda.nvcc", "there is no nvcc, which only building extensions needs"))
    elif torch.cuda and toolkit.nvcc_version and toolkit.nvcc_version[0] != torch.cuda_version[0]:
        findings.append(
            Finding(
                "cuda.nvcc-major",
                Severity.WARNING,
                f"nvcc is of CUDA {written(toolkit.nvcc_version)} and torch of CUDA {torch.cuda}",
                {"nvcc": toolkit.nvcc},
                rank=Rank.PACKAGES,
                advice="It matters only for building extensions such as flash-attn.",
                fix=(f"export CUDA_HOME=/usr/local/cuda-{torch.cuda}",),
                verify="modelfetch doctor nvcc",
            )
        )
    else:
        findings.append(well("nvcc", f"nvcc is of CUDA {written(toolkit.nvcc_version) or '?'}", nvcc=toolkit.nvcc))
    if not toolkit.home_exists:
        findings.append(
            Finding(
                "cuda.home",
                Severity.WARNING,
                f"CUDA_HOME names `{toolkit.home}`, which is not there",
                fix=("unset CUDA_HOME CUDA_PATH",),
                verify="modelfetch doctor nvcc",
            )
        )
    if len(toolkit.toolkits) > 1 and toolkit.home is None:
        title = f"there are several CUDA toolkits ({', '.join(toolkit.toolkits)}), and CUDA_HOME names none"
        findings.append(note("cuda.home", title, advice="Building extensions takes whichever nvcc is first on PATH."))
    if toolkit.compiler is None and torch.folder is not None:
        title = "there is no C compiler, which torch.compile and building extensions need"
        findings.append(note("cuda.compiler", title, advice="sudo apt install build-essential"))
    if toolkit.shadowing:
        findings.append(_shadowing(toolkit.shadowing, torch))
    return findings


def _shadowing(folders: tuple[str, ...], torch: TorchFacts) -> Finding:
    title = f"LD_LIBRARY_PATH names CUDA libraries in `{folders[0]}`"
    if not torch.cuda or version(torch.release) >= _TORCH_WITH_OWN_PATH:
        return note("cuda.ldpath", f"{title}, which torch passes over", folders=list(folders))
    return Finding(
        "cuda.ldpath",
        Severity.ERROR,
        f"{title}, which torch {torch.release} takes instead of its own",
        {"folders": list(folders)},
        effect="torch loads the wrong CUDA libraries",
        rank=Rank.TORCH,
        fix=("unset LD_LIBRARY_PATH",),
        verify="modelfetch doctor nvcc",
    )


CHECKS = (
    Check(
        "driver",
        "gpu",
        "the driver's version, and whether its parts belong together",
        (HardwareFacts, NvmlFacts, CudaFacts),
        ("drv.mismatch", "drv.nvml", "drv.eol", "ctr.lost-gpu"),
        check_driver,
    ),
    Check(
        "cuda",
        "gpu",
        "whether the CUDA driver starts, and which library the loader takes",
        (HardwareFacts, CudaFacts, NvmlFacts),
        ("drv.cuda-init", "drv.no-library", "drv.compat-lib", "ctr.runtime", "wsl.driver"),
        check_cuda,
    ),
    Check(
        "nvcc",
        "gpu",
        "the CUDA toolkit, and CUDA libraries that stand before torch's",
        (ToolkitFacts, TorchFacts),
        ("cuda.compiler", "cuda.nvcc", "cuda.nvcc-major", "cuda.home", "cuda.ldpath"),
        check_toolkit,
    ),
)
