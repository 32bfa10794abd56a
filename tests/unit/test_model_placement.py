"""Where a model runs, in which type, with which limits: decided from what the machine has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelfetch.model.cache_size import CacheSize
from modelfetch.model.kind import Exercise, Kind
from modelfetch.model.placement import (
    BASE_LIMIT_S,
    GIB,
    DoesNotFit,
    Gpu,
    Machine,
    Need,
    NoDevice,
    Placed,
    Wish,
    memory_cap_bytes,
    needed_bytes,
    next_wish,
    place,
    time_limit_s,
    wants_every_gpu,
    why_no_gpu,
)

# Eight billion weights in bfloat16: 16 GB stored, 32 GB in float32.
MODEL = Exercise(Kind.CHAT, "LlamaForCausalLM", 8_000_000_000, 0, 16_000_000_000, stored_dtype="bfloat16")
GPU_MACHINE = Machine("13.0", 1, Gpu("H100", 78 * GIB), None, None, "a CPU", 120 * GIB)
CPU_MACHINE = Machine(None, 0, None, None, None, "a CPU", 120 * GIB)


def last(wish: Wish, machine: Machine, exercise: Exercise = MODEL) -> Placed | DoesNotFit | NoDevice:
    return place(wish, exercise, machine)[-1]


def test_a_gpu_is_used_in_the_type_that_the_weights_are_stored_in() -> None:
    placed = last(Wish(), GPU_MACHINE)
    assert isinstance(placed, Placed)
    assert (placed.device, placed.dtype, placed.device_name) == ("cuda:0", "bfloat16", "H100")


def test_without_a_gpu_the_cpu_runs_in_float32_and_says_why() -> None:
    placed = last(Wish(), CPU_MACHINE)
    assert isinstance(placed, Placed)
    assert (placed.device, placed.dtype) == ("cpu", "float32")
    assert placed.device_reason == "this torch was built without CUDA"


def test_short_memory_makes_it_bfloat16_on_the_cpu() -> None:
    placed = last(Wish(), replace(CPU_MACHINE, available_bytes=24 * GIB))
    assert isinstance(placed, Placed)
    assert (placed.dtype, placed.dtype_reason) == ("bfloat16", "memory is short for float32")


def test_what_fits_nowhere_is_refused_before_it_is_loaded() -> None:
    assert last(Wish(), replace(CPU_MACHINE, available_bytes=8 * GIB)) == DoesNotFit(
        "cpu",
        16_000_000_000 + GIB // 2,
        8 * GIB,
        "before loading",
        Need(16_000_000_000, 0, 0, GIB // 2),
        "bfloat16",
    )


def test_what_is_counted_is_weights_the_cache_of_the_tokens_to_come_and_the_libraries() -> None:
    cached = replace(MODEL, cache=CacheSize(per_token=65_536))
    placed = last(Wish(tokens=1000), GPU_MACHINE, cached)
    assert isinstance(placed, Placed)
    assert placed.need == Need(16_000_000_000, 65_536 * 2 * 1000, 1000, GIB * 3 // 4)
    assert placed.need.total_bytes == 16_000_000_000 + 131_072_000 + GIB * 3 // 4
    assert placed.available_bytes == 78 * GIB
    assert isinstance(last(Wish("cuda", tokens=1_000_000), GPU_MACHINE, cached), DoesNotFit)


def test_a_type_that_was_asked_for_is_not_exchanged() -> None:
    short = replace(CPU_MACHINE, available_bytes=24 * GIB)
    assert isinstance(last(Wish(dtype="float32"), short), DoesNotFit)
    placed = last(Wish(dtype="float16"), short)
    assert isinstance(placed, Placed)
    assert placed.dtype == "float16"


def test_a_gpu_that_is_too_small_is_named_before_the_cpu_is_taken() -> None:
    small = replace(GPU_MACHINE, gpu=Gpu("T4", 12 * GIB))
    short, placed = place(Wish(), MODEL, small)
    assert isinstance(short, DoesNotFit)
    assert (short.device, short.available_bytes) == ("cuda:0", 12 * GIB)
    assert isinstance(placed, Placed)
    assert placed.device == "cpu"


def test_a_gpu_that_was_asked_for_is_not_exchanged_for_the_cpu() -> None:
    small = replace(GPU_MACHINE, gpu=Gpu("T4", 12 * GIB))
    assert isinstance(last(Wish("cuda"), small), DoesNotFit)
    assert last(Wish("cuda"), CPU_MACHINE) == NoDevice("cuda", "this torch was built without CUDA", "--device cpu")
    one = replace(GPU_MACHINE, gpu=None)
    assert last(Wish("cuda:1"), one) == NoDevice("cuda:1", "torch counts 1 here, from 0 on", "--device cuda")


def test_one_gpu_of_several_can_be_chosen() -> None:
    placed = last(Wish("cuda:1"), replace(GPU_MACHINE, gpu_count=2, gpu=Gpu("B", 78 * GIB)))
    assert isinstance(placed, Placed)
    assert (placed.device, placed.device_name) == ("cuda:1", "B")


def small_gpus(*free: int) -> Machine:
    first, *others = (Gpu(f"T4 {number}", size * GIB) for number, size in enumerate(free))
    return replace(GPU_MACHINE, gpu_count=len(free), gpu=first, others=tuple(others))


def test_a_model_is_spread_over_all_gpus_where_the_first_cannot_hold_it() -> None:
    placed = last(Wish(), small_gpus(12, 12))
    assert isinstance(placed, Placed)
    assert (placed.device, placed.gpus, placed.device_name) == ("cuda:0", 2, "T4 0, T4 1")
    assert "spread over 2" in placed.device_reason
    assert placed.need == Need(16_000_000_000, 0, 0, 2 * (GIB * 3 // 4))


def test_one_gpu_that_holds_the_model_is_better_than_several() -> None:
    placed = last(Wish(), small_gpus(78, 78))
    assert isinstance(placed, Placed)
    assert placed.gpus == 1


def test_several_gpus_that_are_too_small_together_are_followed_by_the_cpu() -> None:
    short, placed = place(Wish(), MODEL, small_gpus(6, 6))
    assert isinstance(short, DoesNotFit)
    assert short.available_bytes == 12 * GIB
    assert isinstance(placed, Placed)
    assert placed.device_reason == "the model does not fit into the free memory of 2 GPUs"


@pytest.mark.parametrize(
    ("wish", "machine", "wanted"),
    [
        (Wish(), replace(small_gpus(12, 12), others=()), True),
        (Wish("cuda"), replace(small_gpus(12, 12), others=()), True),
        (Wish("cuda:0"), replace(small_gpus(12, 12), others=()), False),
        (Wish(), small_gpus(12), False),
        (Wish(), small_gpus(6, 6), False),
        (Wish(), replace(small_gpus(78, 78), others=()), False),
    ],
    ids=["auto", "any", "asked for by number", "the only one", "asked already", "large enough"],
)
def test_other_gpus_are_asked_only_where_the_first_is_too_small(wish: Wish, machine: Machine, wanted: bool) -> None:
    assert wants_every_gpu(wish, place(wish, MODEL, machine), machine) is wanted


TAKES = "--device auto takes what there is"
APPLE = replace(CPU_MACHINE, mps=Gpu("Apple GPU", 48 * GIB))


def test_the_gpu_of_an_apple_machine_is_used_where_there_is_no_other() -> None:
    for wish in (Wish(), Wish("mps")):
        placed = last(wish, APPLE)
        assert isinstance(placed, Placed)
        assert (placed.device, placed.dtype) == ("mps", "bfloat16")
    assert last(Wish("mps"), CPU_MACHINE) == NoDevice("mps", "this torch finds no Apple GPU", TAKES)
    assert last(Wish("mps"), GPU_MACHINE) == NoDevice("mps", "this machine has CUDA", TAKES)
    assert isinstance(last(Wish("mps"), replace(APPLE, mps=Gpu("Apple GPU", GIB))), DoesNotFit)


def test_the_second_try_on_the_cpu_keeps_the_first_one_as_its_reason() -> None:
    placed = last(Wish("auto", cpu_reason="the memory of the GPU was short during load"), GPU_MACHINE)
    assert isinstance(placed, Placed)
    assert (placed.device, placed.device_reason) == ("cpu", "the memory of the GPU was short during load")


SHORT = DoesNotFit("cuda:0", 20 * GIB, GIB, "generate")


def test_a_gpu_that_ran_out_of_memory_is_followed_by_the_cpu_once() -> None:
    again = next_wish(Wish(dtype="float16"), [SHORT])
    assert again == Wish("auto", "float16", "the memory of the GPU was short during generate")
    assert next_wish(again, [SHORT]) is None


@pytest.mark.parametrize(
    ("wish", "short"),
    [
        (Wish("cuda"), SHORT),
        (Wish(), replace(SHORT, device="cpu")),
        (Wish(), replace(SHORT, phase="before loading")),
    ],
    ids=["the GPU was asked for", "it was the CPU already", "the CPU was taken already"],
)
def test_nothing_else_is_tried_twice(wish: Wish, short: DoesNotFit) -> None:
    assert next_wish(wish, [short]) is None
    assert next_wish(Wish(), []) is None


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (CPU_MACHINE, "built without CUDA"),
        (replace(GPU_MACHINE, gpu_count=0, gpu=None, visible_devices=""), "CUDA_VISIBLE_DEVICES hides"),
        (replace(GPU_MACHINE, gpu_count=0, gpu=None, visible_devices="-1"), "CUDA_VISIBLE_DEVICES hides"),
        (
            replace(GPU_MACHINE, gpu_count=0, gpu=None, cuda_problem="The NVIDIA driver on your system is too old"),
            "driver",
        ),
        (replace(GPU_MACHINE, gpu_count=0, gpu=None), "no NVIDIA driver or no GPU"),
    ],
)
def test_why_there_is_no_gpu_is_one_sentence(machine: Machine, reason: str) -> None:
    assert reason in why_no_gpu(machine)


NO_DRIVER = replace(GPU_MACHINE, gpu_count=0, gpu=None)


@pytest.mark.parametrize(
    ("wish", "machine", "hint"),
    [
        (Wish("cuda"), CPU_MACHINE, "--device cpu"),
        (Wish("cuda"), replace(CPU_MACHINE, nvidia=("H100",)), "modelfetch doctor"),
        (Wish("cuda"), NO_DRIVER, "modelfetch doctor"),
        (Wish("cuda"), replace(NO_DRIVER, visible_devices="-1", nvidia=("H100",)), "unset CUDA_VISIBLE_DEVICES"),
        (Wish("cuda"), replace(CPU_MACHINE, visible_devices="-1"), "--device cpu"),
        (Wish("cuda:7"), replace(GPU_MACHINE, gpu=None), "--device cuda"),
        (Wish("cuda:7"), replace(GPU_MACHINE, gpu=None, gpu_count=4), "--device cuda:3"),
    ],
)
def test_a_device_that_is_not_there_has_what_mends_it(wish: Wish, machine: Machine, hint: str) -> None:
    absent = last(wish, machine)
    assert isinstance(absent, NoDevice)
    assert absent.hint == hint


@pytest.mark.parametrize(
    ("wish", "machine", "idle"),
    [
        (Wish(), replace(CPU_MACHINE, nvidia=("H100", "H100")), "H100"),
        (Wish(), replace(NO_DRIVER, cuda_problem="The NVIDIA driver on your system is too old", nvidia=("T4",)), "T4"),
        (Wish(), CPU_MACHINE, None),
        (Wish("cpu"), replace(CPU_MACHINE, nvidia=("H100",)), None),
        (Wish(), replace(NO_DRIVER, visible_devices="", nvidia=("H100",)), None),
    ],
    ids=["another build of torch", "an old driver", "no GPU", "the CPU was asked for", "all are hidden"],
)
def test_a_gpu_that_torch_cannot_use_is_named_where_the_cpu_is_taken(
    wish: Wish, machine: Machine, idle: str | None
) -> None:
    placed = last(wish, machine)
    assert isinstance(placed, Placed)
    assert placed.device == "cpu"
    assert (placed.idle_gpu, placed.hint) == (idle, "modelfetch doctor" if idle else None)


def test_a_quantised_model_runs_as_its_quantisation_has_it() -> None:
    quantised = replace(MODEL, float_elements=0, other_bytes=5_000_000_000, quantisation="awq")
    for machine in (CPU_MACHINE, GPU_MACHINE):
        placed = last(Wish(), machine, quantised)
        assert isinstance(placed, Placed)
        assert placed.dtype == "auto"


def test_eight_bits_that_a_processor_makes_sixteen_of_are_counted_as_sixteen() -> None:
    quantised = replace(MODEL, float_elements=0, other_bytes=8_000, quantisation="fp8", plain_bytes=16_000)
    on_cpu, on_gpu = (last(Wish(), machine, quantised) for machine in (CPU_MACHINE, GPU_MACHINE))
    assert isinstance(on_cpu, Placed)
    assert isinstance(on_gpu, Placed)
    assert on_cpu.need is not None
    assert on_gpu.need is not None
    assert (on_cpu.need.weights_bytes, on_gpu.need.weights_bytes) == (16_000, 8_000)
    more = memory_cap_bytes(quantised, "auto", 0, 500 * GIB) - memory_cap_bytes(
        replace(quantised, plain_bytes=None), "auto", 0, 500 * GIB
    )
    assert more == 2 * 8_000


def test_needed_bytes_recast_what_is_recast_and_nothing_else() -> None:
    mixed = replace(MODEL, float_elements=10, other_bytes=7)
    assert [needed_bytes(mixed, dtype) for dtype in ("float32", "bfloat16", "auto")] == [47, 27, 47]


def test_the_time_limit_grows_with_the_model_and_with_the_answer() -> None:
    small = replace(MODEL, float_elements=1_000_000, stored_bytes=2_000_000)
    assert BASE_LIMIT_S < time_limit_s(small, 32) < BASE_LIMIT_S + 5
    assert time_limit_s(MODEL, 32) > time_limit_s(small, 32)
    assert time_limit_s(MODEL, 512) > time_limit_s(MODEL, 32)


def test_the_memory_cap_is_generous_but_never_more_than_there_is() -> None:
    assert memory_cap_bytes(MODEL, "float32", GIB, 500 * GIB) > 2 * 32_000_000_000
    assert memory_cap_bytes(MODEL, "float32", GIB, 40 * GIB) == 41 * GIB
