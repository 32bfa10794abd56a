"""How much memory a model takes: its weights in each type, and what it keeps of the tokens it read. Decides only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelfetch.model.placement import CPU_OVERHEAD_BYTES, GPU_OVERHEAD_BYTES
from modelfetch.model.sizes import Sizes

# Bits of one weight; quantised types also store scales, which adds a few hundredths to a tenth.
WEIGHT_BITS: Mapping[str, int] = {"float32": 32, "bfloat16": 16, "int8": 8, "int4": 4}
CACHE_BYTES = 2
CACHE_TOKENS = 1000


@dataclass(frozen=True)
class Cache:
    """The keys and values of 1000 tokens, in 16 bits; `sum` is how the number comes about."""

    bytes_per_1000_tokens: int
    sum: str


@dataclass(frozen=True)
class Memory:
    """`weights` are bytes by type, computed from the number of parameters; `stored` is what the files hold.

    `to_run` is what `smoke` reckons with for a short prompt, by device: weights and what the libraries take.
    """

    stored: int
    weights: Mapping[str, int]
    to_run: Mapping[str, int]
    cache: Cache | None


@dataclass(frozen=True)
class Held:
    """What is stored. `parameters` is None where no header tells; `unpacked`: it is made plain when it is loaded."""

    stored_bytes: int
    parameters: int | None
    quantised: bool = False
    unpacked: bool = False


def estimate(held: Held, sizes: Sizes, *, generates: bool) -> Memory:
    """The memory of a model; a cache only where it `generates`."""
    parameters = held.parameters
    weights = {dtype: parameters * bits // 8 for dtype, bits in WEIGHT_BITS.items()} if parameters else {}
    packed = held.quantised and not held.unpacked
    on_gpu = weights.get("bfloat16", held.stored_bytes) if held.unpacked else held.stored_bytes
    on_cpu = held.stored_bytes if packed else weights.get("float32", held.stored_bytes)
    to_run = {"cuda": on_gpu + GPU_OVERHEAD_BYTES, "cpu": on_cpu + CPU_OVERHEAD_BYTES} if held.stored_bytes else {}
    return Memory(held.stored_bytes, weights, to_run, _cache(sizes) if generates else None)


def _cache(sizes: Sizes) -> Cache | None:
    layers = sizes.full_layers
    if not layers:
        return None
    if sizes.latent_dimension:
        how = f"{sizes.latent_dimension} compressed numbers"
    elif sizes.key_value_heads and sizes.head_dimension:
        how = f"2 (keys, values) × {sizes.key_value_heads} heads × {sizes.head_dimension} numbers"
    else:
        return None
    some = f" of {sizes.layers}" if sizes.layers != layers else ""
    others = f"; the other layers keep {sizes.sliding_window} tokens at most" if some and sizes.sliding_window else ""
    return Cache(
        sizes.cache_numbers * CACHE_BYTES * CACHE_TOKENS,
        f"{layers}{some} layers × {how} × {CACHE_BYTES} bytes × {CACHE_TOKENS} tokens{others}",
    )
