"""The numbers that a configuration gives a model: layers, widths, heads, context. Decides only.

- A value of the wrong type is no value.
- The text part of a model that also sees or hears is the part that is described.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config", "decoder")
# A number beyond this is a slip, or says that there is no limit.
MAX_NUMBER = 1 << 40
_CONTEXT = (
    "max_position_embeddings",
    "n_positions",
    "max_sequence_length",
    "max_target_positions",
    "seq_length",
    "n_ctx",
)


@dataclass(frozen=True)
class Sizes:
    """What is not said is None. `full_layers` are those whose cache grows with every token."""

    layers: int | None = None
    full_layers: int | None = None
    hidden_size: int | None = None
    attention_heads: int | None = None
    key_value_heads: int | None = None
    head_dimension: int | None = None
    feed_forward: int | None = None
    vocabulary: int | None = None
    experts: int | None = None
    experts_per_token: int | None = None
    sliding_window: int | None = None
    latent_dimension: int | None = None

    @property
    def cache_numbers(self) -> int:
        """What each token leaves in the cache of keys and values; 0 where the configuration does not tell."""
        if self.latent_dimension:
            return (self.full_layers or 0) * self.latent_dimension
        return 2 * (self.full_layers or 0) * (self.key_value_heads or 0) * (self.head_dimension or 0)

    @property
    def experts_used(self) -> float | None:
        """The share of the experts that one token goes through."""
        if self.experts is None or self.experts_per_token is None:
            return None
        return min(1.0, self.experts_per_token / self.experts)


@dataclass(frozen=True)
class Context:
    """How many tokens a model reads at once, and which word of which file says so."""

    tokens: int
    source: str
    notes: tuple[str, ...] = ()


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a configuration that is about text."""
    return next((config[name] for name in _TEXT_PARTS if isinstance(config.get(name), dict)), config)


def integer(document: Mapping[str, Any], *names: str) -> int | None:
    """The first of `names` that holds a positive number."""
    values = (document.get(name) for name in names)
    return next((value for value in values if type(value) is int and 0 < value < MAX_NUMBER), None)


def sizes_of_config(config: Mapping[str, Any]) -> Sizes:
    """The sizes in a config.json."""
    text = text_config(config)
    layers = integer(
        text, "num_decoder_layers", "decoder_layers", "num_hidden_layers", "n_layer", "n_layers", "num_layers"
    )
    hidden = integer(text, "hidden_size", "d_model", "n_embd", "dim")
    heads = integer(text, "decoder_attention_heads", "num_attention_heads", "n_head", "n_heads", "num_heads")
    one_head = text.get("multi_query") is True and text.get("new_decoder_architecture") is not True
    latent = integer(text, "kv_lora_rank")
    return Sizes(
        layers=layers,
        full_layers=_full_layers(text, layers),
        hidden_size=hidden,
        attention_heads=heads,
        key_value_heads=1 if one_head else integer(text, "num_key_value_heads", "num_kv_heads", "n_kv_heads") or heads,
        head_dimension=integer(text, "head_dim", "attention_head_dim", "d_kv") or _share(hidden, heads),
        feed_forward=integer(text, "decoder_ffn_dim", "intermediate_size", "d_ff", "ffn_dim", "n_inner"),
        vocabulary=integer(text, "vocab_size"),
        experts=integer(text, "num_experts", "num_local_experts", "n_routed_experts"),
        experts_per_token=integer(text, "num_experts_per_tok", "num_experts_per_token"),
        sliding_window=integer(text, "sliding_window") if text.get("use_sliding_window") is not False else None,
        latent_dimension=latent + (integer(text, "qk_rope_head_dim") or 0) if latent else None,
    )


def sizes_of_gguf(metadata: Mapping[str, Any]) -> Sizes:
    """The sizes in the header of a GGUF file."""
    name = metadata.get("general.architecture")
    layers = integer(metadata, f"{name}.block_count")
    hidden = integer(metadata, f"{name}.embedding_length")
    heads = integer(metadata, f"{name}.attention.head_count")
    return Sizes(
        layers=layers,
        full_layers=layers,
        hidden_size=hidden,
        attention_heads=heads,
        key_value_heads=integer(metadata, f"{name}.attention.head_count_kv") or heads,
        head_dimension=integer(metadata, f"{name}.attention.key_length") or _share(hidden, heads),
        feed_forward=integer(metadata, f"{name}.feed_forward_length"),
        vocabulary=integer(metadata, f"{name}.vocab_size"),
        experts=integer(metadata, f"{name}.expert_count"),
        experts_per_token=integer(metadata, f"{name}.expert_used_count"),
        sliding_window=integer(metadata, f"{name}.attention.sliding_window"),
    )


def context_of_config(
    config: Mapping[str, Any], tokenizer_config: Mapping[str, Any], sentence: Mapping[str, Any]
) -> Context | None:
    """How long a text may be by config.json, and what else has a say in it."""
    text = text_config(config)
    name = next((name for name in _CONTEXT if integer(text, name)), None)
    if name is None:
        return None
    tokens = integer(text, name)
    assert tokens is not None
    return Context(tokens, f"{name} in config.json", tuple(_context_notes(text, tokens, tokenizer_config, sentence)))


def context_of_gguf(metadata: Mapping[str, Any]) -> Context | None:
    """How long a text may be by a GGUF file."""
    name = f"{metadata.get('general.architecture')}.context_length"
    tokens = integer(metadata, name)
    return Context(tokens, name) if tokens else None


def _context_notes(
    text: Mapping[str, Any], tokens: int, tokenizer_config: Mapping[str, Any], sentence: Mapping[str, Any]
) -> list[str]:
    notes = []
    rope = text.get("rope_scaling") or text.get("rope_parameters")
    if isinstance(rope, dict) and (original := integer(rope, "original_max_position_embeddings")):
        kind = rope.get("rope_type") or rope.get("type")
        notes.append(f"trained on {original:,}, stretched by the rope type `{kind}`")
    if (limit := integer(tokenizer_config, "model_max_length")) and limit != tokens:
        notes.append(f"the tokenizer warns beyond {limit:,} (model_max_length)")
    if (limit := integer(sentence, "max_seq_length")) and limit != tokens:
        notes.append(f"sentence-transformers cuts texts at {limit:,} (max_seq_length)")
    if (window := integer(text, "sliding_window")) and text.get("use_sliding_window") is not False:
        notes.append(f"layers with a sliding window look back {window:,}")
    return notes


def _full_layers(text: Mapping[str, Any], layers: int | None) -> int | None:
    """The layers that attend to everything before; those with a window or a state keep a bounded cache."""
    kinds = text.get("layer_types")
    if isinstance(kinds, list) and kinds:
        return [str(kind) for kind in kinds].count("full_attention")
    return layers


def _share(hidden: int | None, heads: int | None) -> int | None:
    return hidden // heads if hidden and heads else None
