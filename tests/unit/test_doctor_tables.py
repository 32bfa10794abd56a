"""Drivers, CUDA builds and GPUs: what the tables say about each pair."""

from __future__ import annotations

import pytest

from modelfetch.diagnosis.tables import (
    Version,
    cuda_of,
    holds_portable_code,
    installable,
    minimum_driver,
    runs_on,
    served_cuda,
    serves,
    version,
    written,
)


@pytest.mark.parametrize(
    ("text", "numbers"), [("580.95.05", (580, 95, 5)), ("2.13.0+cu130", (2, 13, 0)), ("12.8", (12, 8)), ("?", ())]
)
def test_a_version_is_the_numbers_at_its_start(text: str, numbers: Version) -> None:
    assert version(text) == numbers
    assert written((12, 8)) == "12.8"
    assert cuda_of(12080) == (12, 8)


@pytest.mark.parametrize(
    ("cuda", "driver"),
    [
        ((13, 2), (580,)),
        ((13, 0), (580,)),
        ((12, 9), (525, 60, 13)),
        ((12, 0), (525, 60, 13)),
        ((11, 8), (450, 80, 2)),
        ((11, 0), (450, 36, 6)),
        ((10, 2), (440, 33)),
        ((14, 0), None),
        ((9, 2), None),
    ],
)
def test_the_oldest_driver_for_a_build_is_its_familys_and_unknown_for_unknown_families(
    cuda: Version, driver: Version | None
) -> None:
    assert minimum_driver(cuda) == driver


@pytest.mark.parametrize(
    ("driver", "api", "cuda", "answer"),
    [
        ((535, 183, 1), None, (13, 0), False),
        ((580, 65, 6), None, (13, 0), True),
        ((525, 60, 13), None, (12, 9), True),
        ((525, 60, 12), None, (12, 9), False),
        ((590, 44), None, (12, 1), True),
        ((535, 183, 1), 13000, (13, 0), True),
        ((580, 65, 6), 12080, (13, 0), False),
        ((), None, (13, 0), None),
        ((590, 44), None, (14, 0), None),
    ],
)
def test_what_the_driver_says_of_itself_counts_before_the_table(
    driver: Version, api: int | None, cuda: Version, *, answer: bool | None
) -> None:
    assert serves(driver, api, cuda) is answer


def test_a_driver_brings_the_cuda_of_its_branch_and_none_is_guessed_for_newer_ones() -> None:
    assert served_cuda((535, 183, 1)) == (12, 2)
    assert served_cuda((572, 16)) == (12, 8)
    assert served_cuda((580, 95, 5)) == (13, 0)
    assert served_cuda((450,)) == (11, 0)
    assert served_cuda((520, 61, 5)) == (11, 8)
    assert served_cuda((581, 15)) == (13, 0)
    assert served_cuda((595, 58, 3)) == (13, 2)
    assert served_cuda((596,)) is None
    assert served_cuda((999, 1)) is None
    assert served_cuda((384, 1)) is None


@pytest.mark.parametrize(
    ("code", "device", "runs"),
    [
        (80, 86, True),
        (86, 80, False),
        (80, 87, False),
        (87, 87, True),
        (75, 86, False),
        (90, 90, True),
        (100, 101, False),
        (101, 110, True),
        (50, 53, False),
        (120, 121, True),
    ],
)
def test_code_runs_on_later_devices_of_its_major_version_but_for_integrated_chips(
    code: int, device: int, *, runs: bool
) -> None:
    assert runs_on(code, device) is runs


def test_only_what_driver_and_every_gpu_take_is_offered() -> None:
    everything = installable((580, 95, 5), 13000, [90], "x86_64")
    assert everything == (
        "python -m pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu130",
        "python -m pip install --force-reinstall torch",
        'python -m pip install --force-reinstall "torch<2.11"',
        'python -m pip install --force-reinstall "torch==2.14.*" --index-url https://download.pytorch.org/whl/cu126',
    )
    assert not any("cu130" in command for command in installable((550, 54, 15), 12040, [90], "x86_64"))
    assert all("cu126" in command for command in installable((580, 95, 5), 13000, [61, 90], "x86_64"))
    volta = installable((580, 95, 5), 13000, [70], "x86_64")
    assert ["torch<2.11" in volta[0], "cu126" in volta[1], len(volta)] == [True, True, 2]
    assert all("cu130" in command for command in installable((580, 95, 5), 13000, [121], "aarch64"))
    assert not any("index-url" not in command for command in installable((580, 95, 5), 13000, [90], "aarch64"))
    assert installable((540, 4), 12060, [87], "aarch64") == ()
    (old,) = installable((470, 256, 2), 11040, [75], "x86_64")
    assert old.endswith('"torch==2.7.*" --index-url https://download.pytorch.org/whl/cu118')
    assert installable((440, 33), 10020, [70], "x86_64") == ()
    assert installable((580, 95, 5), 13000, [90], "riscv64") == ()


def test_builds_for_cuda_12_8_and_later_hold_code_for_gpus_to_come_and_older_ones_do_not() -> None:
    assert [holds_portable_code(cuda) for cuda in ((11, 8), (12, 4), (12, 6), (12, 8), (13, 2))] == [
        False,
        False,
        False,
        True,
        True,
    ]
