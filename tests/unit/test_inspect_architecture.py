"""The tree of a model and the count of its parameters, from names and shapes alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.inspection.architecture import MAX_DEPTH, Architecture, Part, describe
from modelfetch.model.headers import Tensor

ITEM_BYTES = {"F32": 4, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "F8_E4M3": 1}


def tensor(name: str, *shape: int, dtype: str = "F32") -> Tensor:
    size = ITEM_BYTES[dtype]
    for each in shape:
        size *= each
    return Tensor(name, dtype, shape, size)


def described(*tensors: Tensor, config: Mapping[str, Any] | None = None, writes: bool = True) -> Architecture:
    return describe(tensors, config or {}, writes=writes)


def layer(number: int, width: int = 4) -> list[Tensor]:
    return [
        tensor(f"model.layers.{number}.attention.weight", width, width),
        tensor(f"model.layers.{number}.norm.weight", width),
    ]


def flat(parts: tuple[Part, ...], above: str = "") -> dict[str, Part]:
    found = {}
    for part in parts:
        found[above + part.name] = part
        found |= flat(part.parts, f"{above}{part.name}/")
    return found


def test_layers_that_are_alike_are_one_part_with_its_repeats() -> None:
    tensors = [each for number in range(30) for each in layer(number)]
    parts = flat(described(*tensors).tree)
    layers = parts["model.layers.0–29"]
    assert (layers.repeats, layers.parameters) == (30, 30 * 20)
    assert parts["model.layers.0–29/norm"].parameters == 4


def test_layers_that_differ_stand_apart_and_runs_are_named() -> None:
    tensors = [each for number in range(8) for each in layer(number, width=8 if number in {0, 4} else 4)]
    (model,) = described(*tensors).tree
    assert {part.name: part.repeats for part in model.parts} == {"0, 4": 2, "1–3, 5–7": 6}


def test_many_runs_are_cut_short() -> None:
    tensors = [each for number in range(12) for each in layer(number, width=8 if number % 2 else 4)]
    (model,) = described(*tensors).tree
    assert [part.name for part in model.parts] == ["0, 2, 4, …", "1, 3, 5, …"]


def test_repeats_within_repeats_multiply() -> None:
    tensors = [tensor(f"h.{one}.experts.{two}.weight", 3) for one in range(2) for two in range(4)]
    (part,) = described(*tensors).tree
    assert (part.name, part.repeats, part.parameters) == ("h.0–1.experts.0–3", 8, 24)


def test_what_holds_one_part_alone_is_one_line_with_it() -> None:
    (part,) = described(tensor("pooler.dense.weight", 2, 2), tensor("pooler.dense.bias", 2)).tree
    assert part.name == "pooler.dense"
    assert [weight.name for weight in part.weights] == ["weight", "bias"]


def test_a_weight_without_a_module_has_a_line() -> None:
    (part,) = described(tensor("scale", 7)).tree
    assert (part.name, part.parameters) == ("scale", 7)


@pytest.mark.parametrize("number", ["007", "١", "12345678"])
def test_only_a_plain_number_counts_as_one(number: str) -> None:
    tensors = [tensor(f"a.{number}.x.weight", 2), tensor("a.1.x.weight", 2), tensor("a.b.weight", 1)]
    (part,) = described(*tensors).tree
    assert {each.name.partition(".")[0] for each in part.parts} == {number, "1", "b"}


def test_an_output_that_is_not_stored_is_tied_to_the_embedding() -> None:
    architecture = described(tensor("model.embed_tokens.weight", 10, 4), tensor("model.norm.weight", 4))
    assert architecture.tied
    assert (architecture.embedding_parameters, architecture.other_parameters) == (40, 4)


def test_a_model_without_an_output_is_not_tied() -> None:
    assert not described(tensor("embeddings.word_embeddings.weight", 10, 4), writes=False).tied


def test_the_head_of_a_masked_model_may_have_weights_and_still_share_its_matrix() -> None:
    head = (tensor("cls.predictions.transform.dense.weight", 4, 4), tensor("cls.predictions.bias", 10))
    architecture = described(tensor("bert.embeddings.word_embeddings.weight", 10, 4), *head)
    assert architecture.tied
    assert architecture.output_parameters == 26


def test_an_output_of_its_own_counts() -> None:
    architecture = described(tensor("model.embed_tokens.weight", 10, 4), tensor("lm_head.weight", 10, 4))
    assert not architecture.tied
    assert (architecture.parameters, architecture.output_parameters) == (80, 40)


def test_a_shared_output_that_is_stored_twice_counts_once() -> None:
    tensors = (tensor("model.embed_tokens.weight", 10, 4), tensor("lm_head.weight", 10, 4))
    architecture = described(*tensors, config={"tie_word_embeddings": True})
    assert architecture.tied
    assert architecture.parameters == 40


@pytest.mark.parametrize(
    "buffer",
    [
        tensor("embeddings.position_ids", 1, 512, dtype="I64"),
        tensor("model.layers.0.attention.rotary_emb.inv_freq", 32),
        tensor("norm.running_mean", 8),
        tensor("final_logits_bias", 1, 400),
        tensor("model.layers.0.mlp.gate.e_score_correction_bias", 8),
        tensor("norm.num_batches_tracked", dtype="I64"),
        tensor("mask", 9, dtype="U8"),
    ],
    ids=lambda each: each.name,
)
def test_a_buffer_is_no_parameter(buffer: Tensor) -> None:
    assert described(tensor("a.weight", 2), buffer).parameters == 2


@pytest.mark.parametrize(
    ("quantisation", "tensors", "parameters"),
    [
        ({"quant_method": "gptq", "bits": 4}, [("q.qweight", (8, 16), "I32"), ("q.scales", (1, 16), "BF16")], 1024),
        ({"quant_method": "gptq", "bits": 8}, [("q.qweight", (8, 16), "I32"), ("q.g_idx", (64,), "I32")], 512),
        ({"quant_method": "bitsandbytes"}, [("q.weight", (64, 1), "U8"), ("q.weight.absmax", (2,), "F32")], 128),
        ({"quant_method": "mxfp4"}, [("q_blocks", (4, 16), "U8"), ("q_scales", (4,), "U8")], 128),
        ({"quant_method": "fp8"}, [("q.weight", (4, 4), "F8_E4M3"), ("q.weight_scale_inv", (1, 1), "F32")], 16),
    ],
    ids=lambda each: each.get("quant_method") if isinstance(each, dict) else None,
)
def test_packed_weights_count_as_what_they_unpack_to(
    quantisation: dict[str, Any], tensors: list[tuple[str, tuple[int, ...], str]], parameters: int
) -> None:
    packed = [tensor(name, *shape, dtype=dtype) for name, shape, dtype in tensors]
    assert described(*packed, config={"quantization_config": quantisation}).parameters == parameters


@pytest.mark.parametrize("name", ["model.layers.0.mlp.experts.{}.up.weight", "blk.0.ffn_up_exps.{}"])
def test_of_experts_only_the_chosen_take_part_in_a_token(name: str) -> None:
    tensors = [tensor(name.format(number), 10) for number in range(4)]
    shared = (tensor("model.layers.0.mlp.shared_experts.up.weight", 3), tensor("norm.weight", 2))
    assert describe((*tensors, *shared), {}, writes=True, experts_used=0.5).active_parameters == 25
    assert describe((*tensors, *shared), {}, writes=True).active_parameters is None


def test_types_are_counted_apart() -> None:
    architecture = described(tensor("a.weight", 5, dtype="BF16"), tensor("b.weight", 3))
    assert architecture.by_dtype == {"BF16": 5, "F32": 3}


def test_a_name_of_a_thousand_dots_is_no_tree_of_a_thousand_levels() -> None:
    (part,) = described(tensor(".".join(["a"] * 5000), 1), tensor("a.b", 1)).tree
    depth = 0
    while part.parts:
        part, depth = part.parts[0], depth + 1
    assert depth <= MAX_DEPTH


_NAMES = st.lists(st.sampled_from(["a", "b", "0", "1", "2", "layers", "embed", "weight"]), min_size=1, max_size=5)


@given(st.dictionaries(_NAMES.map(".".join), st.integers(1, 9), min_size=1, max_size=40))
def test_the_parts_have_together_what_the_whole_has(sizes: dict[str, int]) -> None:
    architecture = described(*(tensor(name, size) for name, size in sizes.items()))
    assert sum(part.parameters for part in architecture.tree) == architecture.parameters == sum(sizes.values())
    assert _all_add_up(architecture.tree)


def _all_add_up(parts: tuple[Part, ...]) -> bool:
    return all(
        part.parameters
        == part.repeats
        * (sum(weight.parameters for weight in part.weights) + sum(each.parameters for each in part.parts))
        and _all_add_up(part.parts)
        for part in parts
    )
