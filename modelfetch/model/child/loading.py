"""Loads a tokenizer and a model, with every choice made explicitly that a file of the model could make otherwise."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from modelfetch.model.kind import TRUST, Exercise
from modelfetch.model.placement import Placed


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run. `keys` says which weights were missing, not expected, or of another shape."""

    model: Any
    attention: str
    seconds: float
    keys: Mapping[str, Any]


def load_tokenizer(folder: str, gguf_file: str | None, *, remote_code: bool, trust_remote_code: bool) -> Any:
    """The model's own tokenizer; by code of its own only where transformers has none and the user consents.

    `remote_code` is whether the model works by code of its own, with consent; its tokenizer is then taken for so too.
    """
    options: dict[str, Any] = {"local_files_only": True, TRUST: remote_code}
    if gguf_file:
        options["gguf_file"] = gguf_file
    return _with_consent(transformers.AutoTokenizer, folder, options, trust_remote_code)


def load_feature_extractor(folder: str, *, remote_code: bool, trust_remote_code: bool) -> Any:
    """What makes of sound what the model of speech in `folder` takes; by code of its own as `load_tokenizer` says."""
    options = {"local_files_only": True, TRUST: remote_code}
    return _with_consent(transformers.AutoFeatureExtractor, folder, options, trust_remote_code)


def _with_consent(auto_class: Any, folder: str, options: Mapping[str, Any], trust_remote_code: bool) -> Any:
    try:
        return auto_class.from_pretrained(folder, **options)
    except ValueError as error:
        if TRUST not in str(error) or not trust_remote_code:
            raise
    return auto_class.from_pretrained(folder, **{**options, TRUST: True})


def load_model(folder: str, exercise: Exercise, placed: Placed) -> LoadedModel:
    """The model where and as `placed` says, in the class that `exercise` names."""
    return _load(folder, exercise, _options(exercise, placed.dtype) | _place(placed))


def load_structure(folder: str, exercise: Exercise) -> LoadedModel:
    """The model without any memory: the class that `exercise` names, held against the headers of the files."""
    return _load(folder, exercise, _options(exercise, "auto") | {"device_map": "meta"})


def _load(folder: str, exercise: Exercise, options: Mapping[str, Any]) -> LoadedModel:
    model_class = getattr(transformers, exercise.class_name)
    started = time.perf_counter()
    if _names_experts(folder):
        options = {**options, "experts_implementation": "eager"}
    # Named, because a config.json can name a kernel to be fetched from a hub instead.
    attention = "sdpa"
    try:
        model, keys = model_class.from_pretrained(folder, attn_implementation=attention, **options)
    except (ValueError, ImportError) as error:
        if "attention" not in str(error):
            raise
        attention = "eager"
        model, keys = model_class.from_pretrained(folder, attn_implementation=attention, **options)
    model.eval()
    return LoadedModel(model, attention, time.perf_counter() - started, keys)


def _names_experts(folder: str) -> bool:
    """Whether config.json says how experts are to be run, which can be a kernel to be fetched, too."""
    try:
        return "experts_implementation" in Path(folder, "config.json").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _options(exercise: Exercise, dtype: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "dtype": "auto" if dtype == "auto" else getattr(torch, dtype),
        "local_files_only": True,
        TRUST: exercise.remote_code,
        "output_loading_info": True,
        # Otherwise a wrong shape ends in an error that does not name it; the names are judged by the verdict.
        "ignore_mismatched_sizes": True,
    }
    if exercise.gguf_file:
        options["gguf_file"] = exercise.gguf_file
    else:
        options["use_safetensors"] = exercise.weights == "safetensors"
        options["weights_only"] = True
    return options


def _place(placed: Placed) -> dict[str, Any]:
    if placed.gpus > 1:
        # Named one by one: what is not named, the processor and the disk, is given nothing.
        free = {index: torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())}
        return {"device_map": "auto", "max_memory": free}
    return {} if placed.device == "cpu" else {"device_map": {"": placed.device}}
