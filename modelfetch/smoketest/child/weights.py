"""Looks at every weight once, a slice at a time, so that looking needs little memory of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from modelfetch.smoketest.child.loaded import names
from modelfetch.smoketest.observations import MAX_EXAMPLES, WeightsScanned, ZeroRows

# No trained weight comes near; a flipped exponent bit makes 1e37.
MAX_MAGNITUDE = 1e6
MIN_MATRIX_ELEMENTS = 4096
MIN_VECTOR_ELEMENTS = 8
MIN_MATRICES = 4
_SLICE_ELEMENTS = 1 << 24


def scan(model: Any) -> WeightsScanned:
    """Numbers that are none, numbers too large, rows and norms of zeros, and norms that nothing ever trained."""
    not_finite, huge, zero_rows = [], [], []
    tensors = 0
    constant: dict[str, bool] = {}
    zero_norms = []
    with torch.inference_mode():
        for name, weight in _plain_weights(model):
            tensors += 1
            largest = _largest(weight)
            if largest is None:
                not_finite.append(name)
            elif largest > MAX_MAGNITUDE:
                huge.append(name)
            if weight.dim() > 1 and weight.numel() >= MIN_MATRIX_ELEMENTS:
                if zeros := _zero_rows(weight):
                    zero_rows.append(ZeroRows(name, zeros, weight.shape[0]))
            elif weight.dim() == 1 and weight.numel() >= MIN_VECTOR_ELEMENTS:
                constant[name] = bool((weight.float() == weight[0].float()).all())
                if largest == 0 and _is_norm(name) and name.endswith("weight"):
                    zero_norms.append(ZeroRows(name, weight.numel(), weight.numel()))
    # Some classes give such norms random weights; what they counted of their inputs begins as ones all the same.
    counted = [bool((each == each[0]).all()) for name, each in model.named_buffers() if name.endswith("running_var")]
    norms = counted or [is_constant for name, is_constant in constant.items() if _is_norm(name)]
    if not all(norms):
        # Some classes add one to a norm's weight and begin at zero; where training moved the others, zero is a hole.
        zero_rows += zero_norms
    return WeightsScanned(
        tensors=tensors,
        vectors=len(constant),
        constant_vectors=sum(constant.values()),
        not_finite=names(not_finite),
        huge=names(huge),
        zero_rows=tuple(zero_rows[:MAX_EXAMPLES]),
        norms=len(norms),
        constant_norms=sum(norms),
        spread=None if constant else _spread(model),
    )


def _plain_weights(model: Any) -> Iterator[tuple[str, Any]]:
    """The weights that are numbers of their own; what a backend packs in a class of its own, it unpacks one by one."""
    for name, weight in model.named_parameters():
        if not weight.is_meta and weight.is_floating_point() and weight.numel():
            yield name, weight if type(weight) in {torch.Tensor, torch.nn.Parameter} else weight.dequantize()


def _is_norm(name: str) -> bool:
    return "norm" in name.lower()


def _largest(weight: Any) -> float | None:
    """The largest magnitude, None where a value is no number or infinite."""
    largest = 0.0
    for part in _slices(weight.reshape(-1)):
        magnitude = float(part.abs().max())
        if not math.isfinite(magnitude):
            return None
        largest = max(largest, magnitude)
    return largest


def _spread(model: Any) -> float | None:
    """How much the matrices differ in width; None where there are too few to tell."""
    with torch.inference_mode():
        matrices = [
            weight
            for weight in model.parameters()
            if weight.dim() > 1 and weight.numel() >= MIN_MATRIX_ELEMENTS and weight.is_floating_point()
        ]
        widths = [float(weight.float().std()) for weight in matrices if not weight.is_meta]
    return max(widths) / min(widths) if len(widths) >= MIN_MATRICES and min(widths) > 0 else None


def _zero_rows(weight: Any) -> int:
    return sum(int((~part.flatten(1).any(dim=1)).sum()) for part in _slices(weight))


def _slices(weight: Any) -> Iterator[Any]:
    """Parts along the first dimension, as float32: the 8-bit floats have few operations of their own."""
    rows = max(1, _SLICE_ELEMENTS * weight.shape[0] // weight.numel())
    for part in weight.split(rows):
        yield part.float()
