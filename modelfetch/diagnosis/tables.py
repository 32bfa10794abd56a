"""Which driver serves which CUDA build, and which build runs on which GPU. Tables as of 2026-11, and pure look-ups.

Sources: the driver table of NVIDIA's CUDA release notes and its page on minor-version compatibility; PyTorch's release
matrix and `torch.cuda.DEVICE_REQUIREMENT`.

- A newer driver runs every older build. Within one major version of CUDA, any driver from the minimum on runs all.
- What a table does not know is None or empty, and nothing is concluded from it.
- Code for capability X.y runs on a device X.z with z >= y; integrated chips (5.3, 6.2, 7.2, 8.7, 10.1) run their own.
- What PyTorch's builds for CUDA 12.8 and later hold besides, for the GPUs to come, an older build does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Version = tuple[int, ...]

# The first CUDA version of a family, and the oldest Linux driver that serves it.
_MINIMUM_DRIVERS: tuple[tuple[Version, Version], ...] = (
    ((13, 0), (580,)),
    ((12, 0), (525, 60, 13)),
    ((11, 1), (450, 80, 2)),
    ((11, 0), (450, 36, 6)),
    ((10, 2), (440, 33)),
    ((10, 1), (418, 39)),
    ((10, 0), (410, 48)),
)

# A driver branch, and the CUDA version that it brings.
_SERVED_CUDA: tuple[tuple[int, Version], ...] = (
    (595, (13, 2)),
    (590, (13, 1)),
    (580, (13, 0)),
    (575, (12, 9)),
    (570, (12, 8)),
    (565, (12, 7)),
    (560, (12, 6)),
    (555, (12, 5)),
    (550, (12, 4)),
    (545, (12, 3)),
    (535, (12, 2)),
    (530, (12, 1)),
    (525, (12, 0)),
    (520, (11, 8)),
    (515, (11, 7)),
    (510, (11, 6)),
    (495, (11, 5)),
    (470, (11, 4)),
    (465, (11, 3)),
    (460, (11, 2)),
    (455, (11, 1)),
    (450, (11, 0)),
    (440, (10, 2)),
    (418, (10, 1)),
    (410, (10, 0)),
)

# Branches below this one get no fixes any more: R535 ended in 2026-06, R570 in 2026-02; R580 is kept until 2028-08.
OLDEST_KEPT_BRANCH = 580

# The capabilities that PyTorch's own builds hold code for.
_BUILD_CAPABILITIES: dict[str, dict[Version, tuple[int, ...]]] = {
    "x86_64": {
        (11, 8): (37, 50, 60, 70, 75, 80, 86, 90),
        (12, 1): (50, 60, 70, 75, 80, 86, 90),
        (12, 4): (50, 60, 70, 75, 80, 86, 90),
        (12, 6): (50, 60, 70, 75, 80, 86, 90),
        (12, 8): (70, 75, 80, 86, 90, 100, 120),
        (12, 9): (75, 80, 86, 90, 100, 120),
        (13, 0): (75, 80, 86, 90, 100, 120),
        (13, 2): (75, 80, 86, 90, 100, 120),
    },
    "aarch64": {
        (12, 6): (80, 90),
        (12, 9): (80, 90, 100, 120),
        (13, 0): (80, 90, 100, 110, 120),
        (13, 2): (80, 90, 100, 110, 120),
    },
}

# From here on the builds also hold portable code, which a driver translates for a GPU that is newer than all of theirs.
_FIRST_WITH_PORTABLE_CODE: Version = (12, 8)

# Chips whose code and whose devices go together exactly, whatever their major version. All of them are Jetson's.
_OWN_CODE_ONLY = {53, 62, 72, 87, 101}
_ALSO_RUNS = {(101, 110)}

# What to install, best first: the builds that PyTorch offers, what PyPI and its mirrors have, and the last release
# there that was built for CUDA 12.
_INSTALLABLE: tuple[tuple[Version, str], ...] = (
    ((13, 0), "python -m pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu130"),
    ((13, 2), "python -m pip install --force-reinstall torch"),
    ((12, 8), 'python -m pip install --force-reinstall "torch<2.11"'),
    (
        (12, 6),
        'python -m pip install --force-reinstall "torch==2.14.*" --index-url https://download.pytorch.org/whl/cu126',
    ),
    (
        (11, 8),
        'python -m pip install --force-reinstall "torch==2.7.*" --index-url https://download.pytorch.org/whl/cu118',
    ),
)
# A build for an older CUDA is offered only where no other runs: its torch is no longer developed.
_OLDEST_WANTED_CUDA: Version = (12, 0)
# On PyPI, what is for other processors was built without CUDA for years.
_ARCHITECTURE_OF_PYPI = "x86_64"


def version(text: str) -> Version:
    """The numbers that `text` begins with: `580.95.05` is (580, 95, 5); `2.13.0+cu130` is (2, 13, 0)."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(number) for number in match.group().split(".")) if match else ()


def written(numbers: Version) -> str:
    """A version as people write it."""
    return ".".join(str(number) for number in numbers)


def cuda_of(driver_api: int) -> Version:
    """What `cuDriverGetVersion` answers, as a version: 12020 is CUDA 12.2."""
    return driver_api // 1000, driver_api % 1000 // 10


def minimum_driver(cuda: Version) -> Version | None:
    """The oldest driver that serves builds for `cuda`."""
    return next((driver for since, driver in _MINIMUM_DRIVERS if since <= cuda and since[0] == cuda[0]), None)


def served_cuda(driver: Version) -> Version | None:
    """The CUDA version that `driver` brings, for drivers up to the newest in the table."""
    if driver[:1] > _SERVED_CUDA[0][:1]:
        return None
    return next((cuda for branch, cuda in _SERVED_CUDA if driver >= (branch,)), None)


def serves(driver: Version, driver_api: int | None, cuda: Version) -> bool | None:
    """Whether this driver runs builds for `cuda`; None where nothing tells, as with an empty version.

    What the driver says of itself counts first: with NVIDIA's compatibility package an older kernel driver serves more.
    """
    if driver_api is not None:
        return cuda_of(driver_api)[0] >= cuda[0]
    needed = minimum_driver(cuda)
    return None if not driver or needed is None else driver >= needed


def runs_on(code: int, device: int) -> bool:
    """Whether code for capability `code` (90 is 9.0) runs on a device of capability `device`."""
    if code == device or (code, device) in _ALSO_RUNS:
        return True
    if code in _OWN_CODE_ONLY or device in _OWN_CODE_ONLY:
        return False
    return code // 10 == device // 10 and code <= device


def build_capabilities(cuda: Version, architecture: str) -> tuple[int, ...]:
    """The capabilities that PyTorch's own build for `cuda` holds code for."""
    return _BUILD_CAPABILITIES.get(architecture, {}).get(cuda[:2], ())


def holds_portable_code(cuda: Version) -> bool:
    """Whether PyTorch's own build for `cuda` runs on a GPU that is newer than those it holds code for."""
    return cuda >= _FIRST_WITH_PORTABLE_CODE


def is_jetsons(device: int) -> bool:
    """Whether a device of this capability is a Jetson's, for which NVIDIA makes the builds and PyTorch none."""
    return device in _OWN_CODE_ONLY


def installable(driver: Version, driver_api: int | None, devices: Iterable[int], architecture: str) -> tuple[str, ...]:
    """The commands, best first, that install a torch which this driver serves and which runs on all these devices."""
    wanted = tuple(devices)
    commands: list[str] = []
    for cuda, command in _INSTALLABLE:
        codes = build_capabilities(cuda, architecture)
        runs = all(any(runs_on(code, device) for code in codes) for device in wanted)
        is_known = "--index-url" in command or architecture == _ARCHITECTURE_OF_PYPI
        if cuda < _OLDEST_WANTED_CUDA and commands:
            break
        if codes and runs and is_known and serves(driver, driver_api, cuda) is not False:
            commands.append(command)
    return tuple(commands)
