"""The size of the cache by the configuration. What it is held against was measured in the caches of tiny models that
transformers 5.23 made by these configurations, after 64 tokens in 32 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from modelfetch.model.cache_size import CacheSize, cache_of_config, cache_of_gguf

TOKENS = 64
ITEM_BYTES = 4
PLAIN = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4}
GROUPED = {**PLAIN, "num_key_value_heads": 2}
MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_d_conv": 4, "mamba_n_groups": 1}
LATENT = {"kv_lora_rank": 16, "qk_rope_head_dim": 8, "v_head_dim": 16}
DELTA = {
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_value_head_dim": 16,
}
LINEAR = ["linear_attention"] * 3 + ["full_attention"]
MEASURED: dict[str, tuple[Mapping[str, Any], int]] = {
    "every head": ({"n_embd": 64, "n_layer": 4, "n_head": 4}, 131_072),
    "heads in groups": (GROUPED, 65_536),
    "wide heads": ({**GROUPED, "head_dim": 32}, 131_072),
    "one head for all": ({**PLAIN, "multi_query": True}, 32_768),
    "heads that are copied before they are kept": (
        {**PLAIN, "new_decoder_architecture": True, "num_kv_heads": 2},
        131_072,
    ),
    "latent": ({**PLAIN, **LATENT}, 24_576),
    "the text part": ({"vision_config": {}, "text_config": GROUPED}, 65_536),
    "linear attention": ({**GROUPED, "head_dim": 16, **DELTA, "layer_types": LINEAR}, 34_816),
    "lightning attention": (
        {**GROUPED, "head_dim": 16, "layer_types": ["linear_attention", "full_attention"] * 2},
        40_960,
    ),
    "states alone": (
        {"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 4, "state_size": 8, "conv_kernel": 4,
         "expand": 2},
        24_576,
    ),
    "states with heads": (
        {"model_type": "mamba2", "hidden_size": 64, "num_hidden_layers": 4, "state_size": 8, "num_heads": 8,
         "head_dim": 16, "n_groups": 1, "conv_kernel": 4},
        25_600,
    ),
    "states, and attention by numbers": ({**GROUPED, **MAMBA2, "attn_layer_indices": [1]}, 35_584),
    "states, and attention by a period": (
        {**GROUPED, "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_conv": 4, "mamba_d_state": 16,
         "mamba_expand": 2},
        53_248,
    ),
    "both in every layer": ({**GROUPED, **MAMBA2, "model_type": "falcon_h1"}, 91_136),
    "both in some layers": (
        {**PLAIN, "num_key_value_heads": 2, "attention_head_dim": 32, "n_mamba_heads": 8, "mamba_headdim": 16,
         "mamba_d_state": 8, "mamba_d_conv": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2},
        91_136,
    ),
    "layers that are neither": (
        {**GROUPED, "head_dim": 128, "mamba_num_heads": 8, "mamba_head_dim": 16, "ssm_state_size": 8, "conv_kernel": 4,
         "layers_block_type": ["linear_attention", "full_attention", "mlp", "linear_attention"]},
        143_872,
    ),
    "convolutions": ({**GROUPED, "conv_L_cache": 3, "layer_types": ["conv", "full_attention"] * 2}, 34_304),
}  # fmt: skip
WINDOWED = {**GROUPED, "sliding_window": 16}
# transformers keeps one token less than the window holds, and eight bytes to count them.
MEASURED_WINDOWS: dict[str, tuple[Mapping[str, Any], int]] = {
    "everywhere": ({**WINDOWED, "model_type": "mistral"}, 15_392),
    "in some layers": ({**WINDOWED, "layer_types": ["sliding_attention", "full_attention"] * 2}, 40_464),
    "in every second, unsaid": ({**WINDOWED, "model_type": "gemma2"}, 40_464),
    "by a pattern": ({**WINDOWED, "sliding_window_pattern": 4}, 27_928),
    "by chunks": (
        {**GROUPED, "attention_chunk_size": 16, "layer_types": ["chunked_attention"] * 3 + ["full_attention"]},
        27_928,
    ),
    "and layers that take another's": (
        {**WINDOWED, "num_hidden_layers": 6, "num_kv_shared_layers": 2,
         "layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2},
        27_928,
    ),
    "and layers of their own width": (
        {**WINDOWED, "num_hidden_layers": 6, "layer_types": ["sliding_attention"] * 5 + ["full_attention"],
         "per_layer_config": {"5": {"head_dim": 512}}},
        543_528,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("config", "measured"), MEASURED.values(), ids=list(MEASURED))
def test_the_cache_is_as_large_as_it_was_measured(config: Mapping[str, Any], measured: int) -> None:
    assert cache_of_config(config).numbers(TOKENS) * ITEM_BYTES == measured


@pytest.mark.parametrize(("config", "measured"), MEASURED_WINDOWS.values(), ids=list(MEASURED_WINDOWS))
def test_a_window_is_counted_with_its_last_token(config: Mapping[str, Any], measured: int) -> None:
    cache = cache_of_config(config)
    assert cache.window == 16
    too_much = cache.numbers(TOKENS) * ITEM_BYTES - measured
    assert 0.9 * cache.per_windowed_token * ITEM_BYTES < too_much < cache.per_windowed_token * ITEM_BYTES


def test_a_window_that_is_not_full_yet_holds_what_there_is() -> None:
    cache = CacheSize(per_token=1, per_windowed_token=10, window=16, states=1000)
    assert [cache.numbers(tokens) for tokens in (0, 1, 16, 17)] == [1000, 1011, 1176, 1177]


def test_a_window_that_is_switched_off_or_belongs_to_unknown_layers_bounds_nothing() -> None:
    plain = cache_of_config(GROUPED)
    assert (
        cache_of_config({**WINDOWED, "model_type": "mistral", "use_sliding_window": False}).per_token == plain.per_token
    )
    assert cache_of_config({**WINDOWED, "model_type": "new"}).per_token == plain.per_token


@pytest.mark.parametrize("config", [{}, {"layer_types": "all"}, {"num_hidden_layers": "4"}, {"per_layer_config": [1]}])
def test_what_a_configuration_does_not_tell_counts_as_nothing(config: Mapping[str, Any]) -> None:
    assert cache_of_config(config).numbers(TOKENS) == 0


def test_the_cache_of_a_gguf_file_is_read_from_its_header() -> None:
    header = {"general.architecture": "llama", "llama.block_count": 4, "llama.embedding_length": 64,
              "llama.attention.head_count": 4, "llama.attention.head_count_kv": 2}  # fmt: skip
    assert cache_of_gguf(header).numbers(TOKENS) * ITEM_BYTES == 65_536
