"""What a model is built of, from the names and shapes of its weights. Decides only.

- Parts that are built alike and stand side by side under numbers are one part with a number of repeats.
- A weight that is stored twice because it is shared counts once; what no training changes (buffers, the scales of a
  quantisation) counts as no parameter.
- Packed weights count as what they unpack to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

from modelfetch.model.headers import Tensor

# No model nests deeper; a name with a thousand dots shall not become a tree of a thousand levels.
MAX_DEPTH = 16
_INTEGERS = frozenset({"BOOL", "U8", "I8", "I16", "U16", "I32", "U32", "I64", "U64"})
_BUFFERS = (
    *("inv_freq", "masked_bias", "position_ids", "running_mean", "running_var", "num_batches_tracked"),
    *("final_logits_bias", "e_score_correction_bias"),
)
_SCALES = (
    *("weight_scale", "weight_scale_inv", "weight_scale_2", "input_scale", "weight_shape", "weight_zero_point"),
    *("weight_global_scale", "input_global_scale", "k_scale", "v_scale", "qzeros", "scales", "g_idx", "weight_g_idx"),
    *("absmax", "quant_map", "nested_absmax", "nested_quant_map", "SCB", "weight_format"),
)
_EMBEDDINGS = frozenset({"wte", "wpe", "shared", "token_embd", "position_embd", "token_types", "tok_embeddings"})
_OUTPUTS = frozenset({"lm_head", "embed_out", "output", "proj_out", "predictions"})
# What an output's own matrix is called; the head of a masked model also has weights that come before it.
_MATRICES = frozenset({"lm_head", "embed_out", "output", "proj_out", "decoder"})


class Role(StrEnum):
    """What a weight is there for."""

    EMBEDDING = "embedding"
    OUTPUT = "output"
    BODY = "body"
    COPY = "copy"
    NONE = "none"


@dataclass(frozen=True)
class Weight:
    """One tensor that is stored, by the last part of its name; `parameters` counts what it unpacks to."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Part:
    """A module of the model, or `repeats` modules that are alike: `name` then says which, as in `layers.0–29`.

    `parameters` are those of all repeats together.
    """

    name: str
    repeats: int
    parameters: int
    weights: tuple[Weight, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Architecture:
    """The parameters of a model and where they are. `tied`: the output uses the weights of the embedding.

    `active_parameters` take part in one token, where a model chooses among experts for each.
    """

    parameters: int
    active_parameters: int | None
    embedding_parameters: int
    output_parameters: int
    other_parameters: int
    tied: bool
    by_dtype: Mapping[str, int]
    tree: tuple[Part, ...]


@dataclass(frozen=True)
class Counted:
    """A tensor with the role it has and the parameters it counts for."""

    tensor: Tensor
    role: Role
    parameters: int


def describe(
    tensors: Iterable[Tensor], config: Mapping[str, Any], *, writes: bool, experts_used: float | None = None
) -> Architecture:
    """What the weights say of the model.

    `writes`: it is of a kind that has an output for each piece. `experts_used` is the share of its experts that one
    token goes through.
    """
    counted = count(tensors, config)
    by_dtype: dict[str, int] = {}
    by_role = dict.fromkeys(Role, 0)
    for each in counted:
        by_role[each.role] += each.parameters
        if each.parameters:
            by_dtype[each.tensor.dtype] = by_dtype.get(each.tensor.dtype, 0) + each.parameters
    whole = sum(by_role.values())
    in_experts = sum(each.parameters for each in counted if _is_expert(each.tensor.name))
    has_embedding = any(each.role is Role.EMBEDDING for each in counted)
    return Architecture(
        parameters=whole,
        active_parameters=None if experts_used is None else whole - round(in_experts * (1 - experts_used)),
        embedding_parameters=by_role[Role.EMBEDDING],
        output_parameters=by_role[Role.OUTPUT],
        other_parameters=by_role[Role.BODY],
        tied=writes and has_embedding and not any(map(_is_output_matrix, counted)),
        by_dtype=by_dtype,
        tree=grow(counted),
    )


def count(tensors: Iterable[Tensor], config: Mapping[str, Any]) -> tuple[Counted, ...]:
    """Each tensor with its role and its parameters."""
    quantisation = config.get("quantization_config")
    bits = quantisation.get("bits") if isinstance(quantisation, dict) else None
    packing = 32 // bits if type(bits) is int and bits in {2, 4, 8} else 8
    judged = [_judge(tensor, packing, quantised=isinstance(quantisation, dict)) for tensor in tensors]
    matrices = {each.tensor.shape for each in judged if each.role is Role.EMBEDDING}
    tied = config.get("tie_word_embeddings") is True
    return tuple(
        Counted(each.tensor, Role.COPY, 0)
        if tied and each.role is Role.OUTPUT and each.tensor.shape in matrices
        else each
        for each in judged
    )


def _is_output_matrix(counted: Counted) -> bool:
    module = counted.tensor.name.split(".")[-2:-1]
    return counted.role is Role.OUTPUT and len(counted.tensor.shape) > 1 and not _MATRICES.isdisjoint(module)


def _is_expert(name: str) -> bool:
    """Whether a weight is one of those that are chosen among; GGUF calls them so that the name ends in `_exps`."""
    return any(part == "experts" or part.endswith("_exps") for part in name.split("."))


def _judge(tensor: Tensor, packing: int, *, quantised: bool) -> Counted:
    *modules, last = tensor.name.split(".")
    if last in _BUFFERS or (quantised and (last in _SCALES or last.startswith("quant_state") or "_scales" in last)):
        return Counted(tensor, Role.NONE, 0)
    if last in {"qweight", "weight_packed"}:
        return Counted(tensor, Role.BODY, tensor.elements * packing)
    if quantised and tensor.dtype == "U8" and (last == "weight" or last.endswith("_blocks")):
        return Counted(tensor, Role.BODY, tensor.elements * 2)
    if tensor.dtype in _INTEGERS and not (quantised and last == "weight"):
        return Counted(tensor, Role.NONE, 0)
    return Counted(tensor, _role(modules, len(tensor.shape)), tensor.elements)


def _role(modules: list[str], dimensions: int) -> Role:
    # Deeper down, `output` is the name of a layer's end.
    if (len(modules) <= 2 and set(modules[-1:]) & _OUTPUTS) or {"predictions", "lm_head"} & set(modules):
        return Role.OUTPUT
    embeds = any("embed" in name or name in _EMBEDDINGS for name in modules)
    return Role.EMBEDDING if embeds and dimensions == 2 else Role.BODY


def grow(counted: Iterable[Counted]) -> tuple[Part, ...]:
    """The tree of modules that the dots in the names make."""
    root = _Node()
    for each in counted:
        *modules, last = each.tensor.name.split(".", MAX_DEPTH)
        if last in _BUFFERS:
            continue
        node = root
        for name in modules:
            node = node.nodes.setdefault(name, _Node())
        tensor = each.tensor
        node.weights.append(Weight(last, tensor.dtype, tensor.shape, each.parameters))
    whole = _part("", root)
    loose = [Part(weight.name, 1, weight.parameters, (weight,), ()) for weight in whole.weights]
    return (*whole.parts, *loose)


class _Node:
    """A module while the tree grows."""

    def __init__(self) -> None:
        self.weights: list[Weight] = []
        self.nodes: dict[str, _Node] = {}


def _part(name: str, node: _Node) -> Part:
    weights = tuple(sorted(node.weights, key=lambda weight: weight.name != "weight"))
    parts = _fold({below: _part(below, each) for below, each in node.nodes.items()})
    parameters = sum(weight.parameters for weight in weights) + sum(part.parameters for part in parts)
    if name and not weights and len(parts) == 1:
        # What holds one part and nothing else is one line with it: `layers.0–29`, `pooler.dense`.
        only = parts[0]
        return Part(f"{name}.{only.name}", only.repeats, parameters, only.weights, only.parts)
    return Part(name, 1, parameters, weights, parts)


def _fold(parts: Mapping[str, Part]) -> tuple[Part, ...]:
    """Numbered parts that are alike become one; the others stay, in the order in which they are stored."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for name, part in parts.items():
        if _is_number(name):
            built = (part.name.removeprefix(name), part.repeats, part.weights, part.parts)
            alike.setdefault(built, []).append(int(name))
    named = [part for name, part in parts.items() if not _is_number(name)]
    folded = []
    for numbers in sorted(map(sorted, alike.values())):
        count, first = len(numbers), str(numbers[0])
        one = parts[first]
        name = _ranges(numbers) + one.name.removeprefix(first)
        folded.append(Part(name, count * one.repeats, count * one.parameters, one.weights, one.parts))
    return (*named, *folded)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= 6 and str(int(name)) == name


def _ranges(numbers: list[int]) -> str:
    """`0–2, 4–6, …`: at most three runs, for a person to read."""
    starts = [numbers[0], *(after for before, after in pairwise(numbers) if after != before + 1)]
    ends = [*(before for before, after in pairwise(numbers) if after != before + 1), numbers[-1]]
    runs = [f"{start}–{end}" if end > start else str(start) for start, end in zip(starts, ends, strict=True)]
    return ", ".join(runs[:3]) + (", …" if len(runs) > 3 else "")
