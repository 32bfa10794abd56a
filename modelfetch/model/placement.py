"""Where a model is to run, in which type, within which limits: decided from what the machine has. Decides only.

- A GPU is used where there is one that torch can use; otherwise the CPU, with one sentence that says why.
- One GPU is better than several: a model is spread over all of them only where the first cannot hold it.
- What counts against free memory is the weights, the cache of the tokens to come, and what the libraries take.
- On the CPU weights run in float32, which every operation has; in bfloat16 only where memory is short.
- What cannot fit is refused before anything is loaded; what may fit is tried.
- Speed is no criterion: the time limit grows with the model, and a slow machine is no fault of the model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from modelfetch.model.kind import ITEM_BYTES, Exercise

DTYPES = ("auto", "float32", "bfloat16", "float16")
# The phase of a shortage that was found out by counting, not by an allocator.
BEFORE_LOADING = "before loading"

# It looks for the cause of a GPU that cannot be used, and says what to install or to start.
DOCTOR = "modelfetch doctor"

GIB = 1 << 30
# CUDA's context, cuBLAS's workspace and the first activations take about this much beside the weights.
GPU_OVERHEAD_BYTES = GIB * 3 // 4
# torch and transformers themselves, the tokenizer and the activations of a short prompt.
CPU_OVERHEAD_BYTES = GIB // 2

# A cold import of torch and transformers without cached byte code takes up to half a minute on a busy machine.
BASE_LIMIT_S = 300.0
# A network disk under load, read once.
SLOWEST_READ_BYTES_PER_S = 20_000_000
# A few shared cores, each token reading every weight once.
SLOWEST_TOKEN_BYTES_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Need:
    """What a run is reckoned to take of a device. `cache_bytes` are keys and values of `tokens` tokens."""

    weights_bytes: int
    cache_bytes: int
    tokens: int
    overhead_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.cache_bytes + self.overhead_bytes


@dataclass(frozen=True)
class Placed:
    """Where the model runs and in which type, each with the reason in one sentence.

    `gpus` is how many GPUs it is spread over, `device` being the first. `need` and `available_bytes` are what was
    counted before. `idle_gpu` is one that this machine has and torch cannot use, `hint` what mends that.
    """

    device: str
    device_name: str
    device_reason: str
    dtype: str
    dtype_reason: str
    gpus: int = 1
    need: Need | None = None
    available_bytes: int | None = None
    idle_gpu: str | None = None
    hint: str | None = None


@dataclass(frozen=True)
class DoesNotFit:
    """Memory is short: found out `BEFORE_LOADING`, where `need` says of what, or by the allocator while `phase` ran."""

    device: str
    needed_bytes: int
    available_bytes: int
    phase: str
    need: Need | None = None
    dtype: str | None = None


@dataclass(frozen=True)
class NoDevice:
    """The device that was asked for by name is not there; `hint` is what mends that."""

    device: str
    reason: str
    hint: str = DOCTOR


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch can use."""

    name: str
    free_bytes: int


@dataclass(frozen=True)
class Machine:
    """What torch says of this machine. `cuda_build` is the CUDA that torch was built with, None for a CPU build.

    Of several GPUs only the wanted one is asked for its memory, because asking takes some of it; `others` are asked
    where that is too little. `mps` is the GPU of an Apple machine, `nvidia` the GPUs that NVIDIA's driver lists,
    whether or not torch can use them.
    """

    cuda_build: str | None
    gpu_count: int
    gpu: Gpu | None
    cuda_problem: str | None
    visible_devices: str | None
    cpu_name: str
    available_bytes: int
    others: tuple[Gpu, ...] = ()
    mps: Gpu | None = None
    nvidia: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What the user asked for; `cpu_reason` is set where the GPU was tried before and its memory was short.

    `tokens` are how many there must be room for.
    """

    device: str = "auto"
    dtype: str = "auto"
    cpu_reason: str | None = None
    tokens: int = 1024

    @property
    def on_cpu(self) -> bool:
        """Whether no GPU is to be looked at."""
        return self.device == "cpu" or self.cpu_reason is not None

    @property
    def gpu_index(self) -> int:
        return int(self.device.partition(":")[2] or 0)


def place(wish: Wish, exercise: Exercise, machine: Machine) -> tuple[DoesNotFit | NoDevice | Placed, ...]:
    """What was found on the way to a place; the last is `Placed` where there is one."""
    if wish.on_cpu:
        return _on_cpu(wish, exercise, machine, wish.cpu_reason or "it was asked for with --device cpu")
    gpu = _wanted_gpu(wish, machine)
    if gpu is None:
        why = why_no_gpu(machine) if wish.device != "mps" else why_no_mps(machine)
        hint = what_mends(wish, machine)
        if wish.device != "auto":
            return (NoDevice(wish.device, why, hint),)
        # Whoever hides every GPU means it.
        idle = None if _are_hidden(machine) else next(iter(machine.nvidia), None)
        outcomes = _on_cpu(wish, exercise, machine, why)
        return tuple(
            replace(each, idle_gpu=idle, hint=hint) if idle and isinstance(each, Placed) else each for each in outcomes
        )
    outcome = _on_gpu(wish, exercise, machine, gpu)
    if isinstance(outcome, Placed) or wish.device != "auto":
        return (outcome,)
    memory = "free memory of the GPU" if not machine.others else f"free memory of {1 + len(machine.others)} GPUs"
    return (outcome, *_on_cpu(wish, exercise, machine, f"the model does not fit into the {memory}"))


def wants_every_gpu(wish: Wish, outcomes: Iterable[object], machine: Machine) -> bool:
    """Whether it is worth asking the other GPUs, too: the first is too small, and none was asked for by its number."""
    short = any(isinstance(each, DoesNotFit) and each.device.startswith("cuda") for each in outcomes)
    return short and wish.device in {"auto", "cuda"} and machine.gpu_count > 1 and not machine.others


def next_wish(wish: Wish, observations: Iterable[object]) -> Wish | None:
    """What to try after a run: the CPU, where the GPU was not asked for by name and its memory ran out meanwhile."""
    short = next((each for each in observations if isinstance(each, DoesNotFit) and each.device != "cpu"), None)
    if wish.device != "auto" or wish.cpu_reason or short is None or short.phase == BEFORE_LOADING:
        return None
    return replace(wish, cpu_reason=f"the memory of the GPU was short during {short.phase}")


def why_no_gpu(machine: Machine) -> str:
    """One sentence about why torch cannot use a GPU here."""
    if machine.cuda_build is None:
        return "this torch was built without CUDA"
    if machine.gpu_count:
        return f"torch counts {machine.gpu_count} here, from 0 on"
    if _are_hidden(machine):
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    if machine.cuda_problem:
        return f"CUDA cannot be used: {machine.cuda_problem}"
    return "torch finds no NVIDIA driver or no GPU"


def what_mends(wish: Wish, machine: Machine) -> str:
    """What to type where the GPU that was wanted cannot be used."""
    if wish.device == "mps":
        return "--device auto takes what there is"
    if machine.gpu_count:
        return f"--device cuda:{machine.gpu_count - 1}" if machine.gpu_count > 1 else "--device cuda"
    if _are_hidden(machine):
        return "unset CUDA_VISIBLE_DEVICES"
    return DOCTOR if machine.nvidia or machine.cuda_build else "--device cpu"


def _are_hidden(machine: Machine) -> bool:
    visible = machine.visible_devices
    return machine.cuda_build is not None and visible is not None and visible.strip() in {"", "-1"}


def needed_bytes(exercise: Exercise, dtype: str) -> int:
    """What the weights take in memory when they run as `dtype`."""
    return exercise.float_elements * ITEM_BYTES.get(dtype, 4) + exercise.other_bytes


def why_no_mps(machine: Machine) -> str:
    """One sentence about why there is no Apple GPU."""
    return "this machine has CUDA" if machine.gpu_count else "this torch finds no Apple GPU"


def reckon(wish: Wish, exercise: Exercise, dtype: str, overhead_bytes: int) -> Need:
    """What a run in `dtype` takes; the cache of a quantised model is in 16 bits, whatever its weights are in."""
    cache = exercise.cache.numbers(wish.tokens) * ITEM_BYTES.get(dtype, 2)
    return Need(needed_bytes(exercise, dtype), cache, wish.tokens if cache else 0, overhead_bytes)


def _wanted_gpu(wish: Wish, machine: Machine) -> Gpu | None:
    if wish.device == "mps":
        return machine.mps
    return machine.gpu or (machine.mps if wish.device == "auto" else None)


def _on_gpu(wish: Wish, exercise: Exercise, machine: Machine, gpu: Gpu) -> DoesNotFit | Placed:
    device = "mps" if gpu is machine.mps else f"cuda:{wish.gpu_index}"
    dtype, dtype_reason = _gpu_dtype(wish, exercise)
    need = reckon(wish, exercise, dtype, GPU_OVERHEAD_BYTES)
    if need.total_bytes <= gpu.free_bytes:
        reason = "torch can use this GPU"
        return Placed(device, gpu.name, reason, dtype, dtype_reason, need=need, available_bytes=gpu.free_bytes)
    free, gpus = gpu.free_bytes, 1 + len(machine.others)
    if gpus > 1:
        need = replace(need, overhead_bytes=GPU_OVERHEAD_BYTES * gpus)
        free += sum(each.free_bytes for each in machine.others)
        if need.total_bytes <= free:
            name = ", ".join(each.name for each in (gpu, *machine.others))
            reason = f"no single GPU holds it, so its layers are spread over {gpus}"
            return Placed(device, name, reason, dtype, dtype_reason, gpus, need, free)
    return DoesNotFit(device, need.total_bytes, free, BEFORE_LOADING, need, dtype)


def _gpu_dtype(wish: Wish, exercise: Exercise) -> tuple[str, str]:
    if wish.dtype != "auto":
        return wish.dtype, "it was asked for with --dtype"
    if exercise.quantisation:
        return "auto", f"the weights are quantised with {exercise.quantisation}"
    if exercise.stored_dtype:
        return exercise.stored_dtype, "the weights are stored so"
    return "bfloat16", "the weights do not say how they are stored"


def without_gpu(exercise: Exercise) -> Exercise:
    """The same where no GPU runs it: what a processor cannot calculate with is made into plain weights."""
    return exercise if exercise.plain_bytes is None else replace(exercise, other_bytes=exercise.plain_bytes)


def _on_cpu(wish: Wish, exercise: Exercise, machine: Machine, reason: str) -> tuple[DoesNotFit | Placed, ...]:
    exercise = without_gpu(exercise)
    available = machine.available_bytes
    for dtype, dtype_reason in _cpu_dtypes(wish, exercise):
        need = reckon(wish, exercise, dtype, CPU_OVERHEAD_BYTES)
        if need.total_bytes <= available:
            name = machine.cpu_name
            return (Placed("cpu", name, reason, dtype, dtype_reason, need=need, available_bytes=available),)
    return (DoesNotFit("cpu", need.total_bytes, available, BEFORE_LOADING, need, dtype),)


def _cpu_dtypes(wish: Wish, exercise: Exercise) -> list[tuple[str, str]]:
    if wish.dtype != "auto":
        return [(wish.dtype, "it was asked for with --dtype")]
    if exercise.quantisation:
        made = "" if exercise.plain_bytes is None else ", and made into bfloat16 where there is no GPU for that"
        return [("auto", f"the weights are quantised with {exercise.quantisation}{made}")]
    return [("float32", "the CPU is exact and fastest in it"), ("bfloat16", "memory is short for float32")]


def time_limit_s(exercise: Exercise, max_new_tokens: int) -> float:
    """How long a run may take before it counts as hanging."""
    weights = needed_bytes(exercise, "float32")
    reading = exercise.stored_bytes / SLOWEST_READ_BYTES_PER_S
    # Each token twice for the repetition, and as much again for the loss and the prompt.
    return BASE_LIMIT_S + reading + 4 * max_new_tokens * weights / SLOWEST_TOKEN_BYTES_PER_S


def memory_cap_bytes(exercise: Exercise, dtype: str, in_use_bytes: int, available_bytes: int) -> int:
    """How much private memory a child on the CPU may have: what loading was measured to need, twice, and no more
    than the machine has left. A mapping of the file counts as well as what is made of it."""
    generous = 2 * exercise.stored_bytes + 2 * needed_bytes(without_gpu(exercise), dtype) + 2 * GIB
    return in_use_bytes + min(generous, available_bytes)
