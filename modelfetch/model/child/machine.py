"""What torch says of this machine, and settling on a place to run."""

from __future__ import annotations

import os
import platform
import warnings
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
import transformers

from modelfetch.model.child import memory
from modelfetch.model.hardware import cpu_name, gpu_names
from modelfetch.model.kind import Exercise
from modelfetch.model.placement import (
    DoesNotFit,
    Gpu,
    Machine,
    NoDevice,
    Placed,
    Wish,
    memory_cap_bytes,
    place,
    wants_every_gpu,
)

_PACKAGES = ("tokenizers", "safetensors", "accelerate", "huggingface_hub", "numpy")


def prepare() -> int:
    """Make torch and transformers behave as a child's must; the number of threads that torch will use."""
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    torch.set_num_threads(threads)
    transformers.utils.logging.disable_progress_bar()
    return threads


def settle(wish: Wish, exercise: Exercise) -> tuple[DoesNotFit | NoDevice | Placed, ...]:
    """Choose where to run and make ready for it. The last is `Placed`; where it is not, there is no place."""
    machine = look(wish)
    outcomes = place(wish, exercise, machine)
    if wants_every_gpu(wish, outcomes, machine):
        machine = replace(machine, others=_other_gpus(wish.gpu_index, machine.gpu_count))
        outcomes = place(wish, exercise, machine)
    placed = outcomes[-1]
    if isinstance(placed, Placed) and placed.device == "cpu":
        in_use = memory.data_bytes()
        memory.cap(memory_cap_bytes(exercise, placed.dtype, in_use, machine.available_bytes))
    return outcomes


def look(wish: Wish) -> Machine:
    """Ask torch. Its warning about a GPU that cannot be used is kept: it is the best reason there is."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    problem = str(caught[-1].message).partition("(Triggered")[0].strip() if caught and not usable else None
    count = torch.cuda.device_count() if usable else 0
    return Machine(
        cuda_build=torch.version.cuda or torch.version.hip,
        gpu_count=count,
        gpu=_gpu(wish.gpu_index) if not wish.on_cpu and wish.gpu_index < count else None,
        cuda_problem=problem,
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
        cpu_name=cpu_name(),
        available_bytes=memory.available_bytes(),
        mps=_mps() if not wish.on_cpu else None,
        nvidia=gpu_names(),
    )


def peak_gpu_bytes(placed: Placed) -> int | None:
    """The most that tensors took on the GPU; what the allocator reserved says nothing."""
    if placed.device == "cpu":
        return None
    if placed.device == "mps":
        return int(torch.mps.driver_allocated_memory())
    devices = range(torch.cuda.device_count()) if placed.gpus > 1 else [placed.device]
    return sum(int(torch.cuda.max_memory_allocated(device)) for device in devices)


def _gpu(index: int) -> Gpu:
    free, _ = torch.cuda.mem_get_info(index)
    return Gpu(str(torch.cuda.get_device_name(index)), int(free))


def _other_gpus(wanted: int, count: int) -> tuple[Gpu, ...]:
    return tuple(_gpu(index) for index in range(count) if index != wanted)


def _mps() -> Gpu | None:
    """The GPU of an Apple machine, which shares the memory of the processor."""
    if not torch.backends.mps.is_available():
        return None
    free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return Gpu("Apple GPU", min(int(free), memory.available_bytes()))


def versions() -> dict[str, str]:
    """The versions of what runs the model."""
    known: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    for package in _PACKAGES:
        try:
            known[package] = version(package)
        except PackageNotFoundError:
            continue
    known["cuda"] = torch.version.cuda
    return {name: str(each) for name, each in known.items() if each}
