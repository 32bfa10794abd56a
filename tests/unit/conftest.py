"""Machines with a GPU, whose driver is compiled once for all of doctor's tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.doctor_machine import LIBCUDA, LIBNVML, FakeMachine, compile_library


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NVIDIA's two libraries, in C."""
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("the drivers are compiled here, with a C compiler")
    folder = tmp_path_factory.mktemp("driver")
    compile_library(LIBCUDA, folder / "libcuda.so.1")
    compile_library(LIBNVML, folder / "libnvidia-ml.so.1")
    return folder


@pytest.fixture
def gpu_machine(tmp_path: Path, compiled: Path) -> FakeMachine:
    """A machine with a GPU, its driver 580.95.05, and torch built for CUDA 13.0: nothing is wrong with it."""
    machine = FakeMachine(tmp_path).with_gpu().with_torch("2.14.0+cu130", cuda="13.0")
    shutil.copytree(compiled, machine.libraries, dirs_exist_ok=True)
    return machine
