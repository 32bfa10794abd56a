"""Loads a tokenizer and a model, with every choice made explicitly that a file of the model could make otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import torch
import transformers

from modelfetch.smoke.observations import MAX_EXAMPLES, TRUST, Loaded, Names, Placed
from modelfetch.smoke.request import Request


def load_tokenizer(request: Request) -> Any:
    """The model's own tokenizer; by code of its own only where transformers has none and the user consents."""
    exercise = request.exercise
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": exercise.remote_code}
    if exercise.gguf_file:
        options["gguf_file"] = exercise.gguf_file
    try:
        return transformers.AutoTokenizer.from_pretrained(request.folder, **options)
    except ValueError as error:
        if TRUST not in str(error) or not request.trust_remote_code:
            raise
    return transformers.AutoTokenizer.from_pretrained(request.folder, **(options | {TRUST: True}))


def load_model(request: Request, placed: Placed) -> tuple[Any, Loaded]:
    """The model, ready to run, and what was seen while it loaded."""
    model_class = getattr(transformers, request.exercise.class_name)
    options = _options(request, placed)
    started = time.perf_counter()
    # Named, because a config.json can name a kernel to be fetched from a hub instead.
    attention = "sdpa"
    try:
        model, keys = model_class.from_pretrained(request.folder, attn_implementation=attention, **options)
    except (ValueError, ImportError) as error:
        if "attention" not in str(error):
            raise
        attention = "eager"
        model, keys = model_class.from_pretrained(request.folder, attn_implementation=attention, **options)
    model.eval()
    return model, Loaded(
        class_name=type(model).__name__,
        attention=attention,
        seconds=time.perf_counter() - started,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        embedding_rows=_embedding_rows(model),
        missing=names(keys["missing_keys"]),
        unexpected=names(keys["unexpected_keys"]),
        mismatched=names(
            f"{name}: {list(stored)} stored, {list(wanted)} wanted" for name, stored, wanted in keys["mismatched_keys"]
        ),
        on_meta=names(name for name, parameter in model.named_parameters() if parameter.is_meta),
    )


def names(these: Iterable[str]) -> Names:
    """Names in order, cut to what a line can carry."""
    ordered = sorted(these)
    return Names(len(ordered), tuple(ordered[:MAX_EXAMPLES]))


def _options(request: Request, placed: Placed) -> dict[str, Any]:
    exercise = request.exercise
    options: dict[str, Any] = {
        "dtype": "auto" if placed.dtype == "auto" else getattr(torch, placed.dtype),
        "local_files_only": True,
        "trust_remote_code": exercise.remote_code,
        "output_loading_info": True,
        # Otherwise a wrong shape ends in an error that does not name it; the names are judged by the verdict.
        "ignore_mismatched_sizes": True,
    }
    if exercise.gguf_file:
        options["gguf_file"] = exercise.gguf_file
    else:
        options["use_safetensors"] = exercise.weights == "safetensors"
    if placed.device != "cpu":
        options["device_map"] = {"": placed.device}
    return options


def _embedding_rows(model: Any) -> int | None:
    try:
        return int(model.get_input_embeddings().weight.shape[0])
    except (NotImplementedError, AttributeError):
        return None
