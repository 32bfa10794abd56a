"""How large the cache is that a language model keeps of a text, by its configuration. Decides only.

- A layer that attends to all that was before keeps keys and values of every token; one with a window those that fit
  into it; one with a state always the same.
- Layers that take another's keys and values keep none.
- Where a configuration does not say which of its layers have the window, none has: rather too much than too little.
- What it does not tell at all counts as nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelfetch.model.sizes import Sizes, integer, sizes_of_config, sizes_of_gguf, text_config

_EVERYTHING = frozenset({"full_attention", "attention", "hybrid"})
_WINDOWED = frozenset({"sliding_attention", "chunked_attention", "attention_sliding"})
_WITH_STATE = frozenset({"linear_attention", "mamba", "conv", "recurrent", "hybrid"})
# In these every layer has the window that the configuration names.
_WINDOWS_EVERYWHERE = frozenset({"mistral", "mixtral", "ministral", "phi3", "starcoder2"})
_STATES_EVERYWHERE = frozenset({"mamba", "mamba2", "falcon_mamba"})


@dataclass(frozen=True)
class CacheSize:
    """In numbers, not bytes: what each token adds, what each adds as long as the window is not full, and the states."""

    per_token: int = 0
    per_windowed_token: int = 0
    window: int = 0
    states: int = 0

    def numbers(self, tokens: int) -> int:
        """The size after a text of `tokens`."""
        return self.per_token * tokens + self.per_windowed_token * min(tokens, self.window) + self.states


NO_CACHE = CacheSize()


def cache_of_config(config: Mapping[str, Any]) -> CacheSize:
    """The cache of the model that a config.json describes."""
    text, sizes = text_config(config), sizes_of_config(config)
    kinds = _kinds(text, sizes)
    keeping = len(kinds) - (integer(text, "num_kv_shared_layers") or 0)
    each = [(kind, _of_a_token(text, sizes, number)) for number, kind in enumerate(kinds[:keeping])]
    return CacheSize(
        per_token=sum(numbers for kind, numbers in each if kind in _EVERYTHING),
        per_windowed_token=sum(numbers for kind, numbers in each if kind in _WINDOWED),
        window=integer(text, "sliding_window", "attention_chunk_size") or 0,
        states=sum(_state(text, sizes, kind) for kind in kinds if kind in _WITH_STATE),
    )


def cache_of_gguf(metadata: Mapping[str, Any]) -> CacheSize:
    """The cache of the model in a GGUF file, as transformers would keep it."""
    return CacheSize(per_token=sizes_of_gguf(metadata).cache_numbers)


def _kinds(text: Mapping[str, Any], sizes: Sizes) -> list[str]:
    """What each layer is."""
    count = sizes.layers or 0
    named = text.get("layer_types") or text.get("layers_block_type")
    if isinstance(named, list):
        return [str(kind) for kind in named[:count] if count] or [str(kind) for kind in named]
    if isinstance(attending := text.get("attn_layer_indices"), list):
        return ["attention" if number in attending else "mamba" for number in range(count)]
    if period := integer(text, "attn_layer_period"):
        offset = integer(text, "attn_layer_offset") or 0
        return ["attention" if number % period == offset else "mamba" for number in range(count)]
    model_type = str(text.get("model_type"))
    if model_type == "falcon_h1" or model_type in _STATES_EVERYWHERE:
        return ["hybrid" if model_type == "falcon_h1" else "mamba"] * count
    return _windowed_kinds(text, model_type, sizes, count)


def _windowed_kinds(text: Mapping[str, Any], model_type: str, sizes: Sizes, count: int) -> list[str]:
    if sizes.sliding_window is None:
        return ["full_attention"] * count
    if model_type in _WINDOWS_EVERYWHERE:
        return ["sliding_attention"] * count
    pattern = integer(text, "sliding_window_pattern") or (2 if model_type == "gemma2" else 1)
    return ["full_attention" if (number + 1) % pattern == 0 else "sliding_attention" for number in range(count)]


def _of_a_token(text: Mapping[str, Any], sizes: Sizes, layer: int) -> int:
    """The keys and values of one token in one layer."""
    if sizes.latent_dimension:
        return sizes.latent_dimension
    layers = text.get("per_layer_config")
    own = layers.get(str(layer)) if isinstance(layers, dict) else None
    own = own if isinstance(own, dict) else {}
    heads = integer(own, "num_key_value_heads") or sizes.key_value_heads or 0
    if text.get("new_decoder_architecture") is True:
        # Falcon copies its keys to every head before it keeps them.
        heads = sizes.attention_heads or heads
    return 2 * heads * (integer(own, "head_dim") or sizes.head_dimension or 0)


def _state(text: Mapping[str, Any], sizes: Sizes, kind: str) -> int:
    """What one layer with a state keeps: the state, and the last few inputs of its convolution."""
    hidden = sizes.hidden_size or 0
    if kind == "conv":
        return hidden * (integer(text, "conv_L_cache") or 0)
    kernel = integer(text, "linear_conv_kernel_dim", "mamba_d_conv", "conv_kernel") or 0
    if values := integer(text, "linear_num_value_heads"):
        key, value = (integer(text, f"linear_{each}_head_dim") or 0 for each in ("key", "value"))
        keys = integer(text, "linear_num_key_heads") or 0
        return values * key * value + (2 * keys * key + values * value) * kernel
    width = integer(text, "mamba_d_state", "ssm_state_size", "state_size")
    if width is None:
        return (sizes.attention_heads or 0) * (sizes.head_dimension or 0) ** 2
    heads = integer(text, "mamba_n_heads", "n_mamba_heads", "mamba_num_heads", "num_heads")
    if heads is None:
        return (integer(text, "mamba_expand", "expand") or 1) * hidden * (width + kernel)
    inner = heads * (integer(text, "mamba_d_head", "mamba_headdim", "mamba_head_dim", "head_dim") or 0)
    groups = integer(text, "mamba_n_groups", "mamba_ngroups", "n_groups") or 1
    return inner * width + (inner + 2 * groups * width) * kernel
