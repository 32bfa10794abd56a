"""What keeps a folder from being loaded at all: files that are absent, or another thing in a model's place.

Decides only.

- What a model cannot work without and is not there is `missing-files`, and names the files; what was never made for
  transformers is `not-exercised`, and names what reads it.
- A file is absent only where none of those is there that would do in its place.
- Pickled weights are loaded only where there are no others, and only when they name nothing but weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from modelfetch.model.contents import INDEX, ModelFolder, NotExercised

_PULL = "modelfetch pull OWNER/NAME brings what transformers loads; --all-files brings everything"
_WEIGHTS = "model.safetensors"
# The names that transformers looks for weights under.
_LOADED = (_WEIGHTS, INDEX, "pytorch_model.bin", "pytorch_model.bin.index.json")
_SHARD = re.compile(r"(model|pytorch_model)-\d+-of-\d+\.(safetensors|bin)")
_ADAPTER = "adapter_config.json"
# What words are read from, in any of the forms that transformers' tokenizers know.
_VOCABULARY = re.compile(
    r"tokenizer\.json|.*vocab.*|.*\.(model|spm|tiktoken|tokenizer)|tekken\.json|bpe\.codes|dict\.txt|byte_maps\.json"
)
# Their tokenizers read bytes, or code points, and need no file.
_NEED_NO_VOCABULARY = frozenset({"byt5", "canine", "dia", "perceiver", "rag"})
_HEARING = frozenset({"preprocessor_config.json", "processor_config.json"})
# How the weights of other tools are called -> what they are, and what runs them.
_OTHER_FORMATS = (
    (re.compile(r"(.*/)?consolidated(\.\d+)?\.(safetensors|pth)"), "the layout of its authors", "serve it with vLLM"),
    (re.compile(r".*\.onnx"), "ONNX", "run it with onnxruntime, or with optimum"),
    (re.compile(r"(.*/)?openvino_.*\.(xml|bin)"), "OpenVINO", "run it with optimum-intel"),
    (re.compile(r".*\.mlpackage/.*|.*\.mlmodelc/.*|.*\.mlmodel"), "Core ML", "run it with coremltools on a Mac"),
    (re.compile(r".*\.(tflite|litertlm|task)"), "LiteRT", "run it with LiteRT"),
    (re.compile(r".*\.(engine|plan)"), "TensorRT", "run it with the TensorRT that built it"),
    (re.compile(r".*\.nemo"), "NeMo", "run it with NeMo"),
    (re.compile(r".*\.msgpack"), "Flax", "look for a revision of the model that has safetensors"),
    (re.compile(r".*\.h5"), "TensorFlow", "look for a revision of the model that has safetensors"),
    (
        re.compile(r"(?!optimizer|scheduler|rng_state).*\.(pt|pth|ckpt)"),
        "torch, for code of its own",
        "run it with that",
    ),
)
_DATA = re.compile(r".*\.(parquet|arrow|jsonl|csv|tsv)(\.(gz|zst|xz|bz2))?")


def instead_of_config(folder: ModelFolder) -> NotExercised:
    """What a folder without config.json is."""
    if other := _other_library(folder):
        return other
    if any(name in folder.files for name in _LOADED):
        return _missing("the weights are here, and no config.json that says what they belong to", "config.json")
    if nested := sorted(path for path in folder.files if path.endswith("/config.json")):
        inside = str(PurePosixPath(nested[0]).parent)
        return _other("the model lies in a folder inside of this one", f"name that folder: …/{inside}", inside=inside)
    if other := _other_format(folder.files):
        return other
    if any(_DATA.fullmatch(path) for path in folder.files):
        return _other("this looks like a data set, which is not run", None)
    return _other("no config.json says what kind of model this is", _PULL)


def foreign_config(folder: ModelFolder) -> NotExercised | None:
    """What a config.json belongs to that other libraries wrote; None for one of transformers."""
    config = folder.config
    if "_diffusers_version" in config:
        part = config.get("_class_name")
        return _other("a part of a diffusers pipeline, which works only as a whole", "run it with diffusers", part=part)
    if "pretrained_cfg" in config:
        return _other("a model of timm", "run it with timm", architecture=config.get("architecture"))
    return None


def lacking_weights(folder: ModelFolder) -> NotExercised | None:
    """Why there is nothing to load: no weights that transformers would find, or pickled ones that may hold code."""
    named = folder.config.get("transformers_weights")
    if _WEIGHTS in folder.files or INDEX in folder.files or named in folder.safetensors:
        return None
    if any(name in folder.files for name in _LOADED):
        return _refuse_pickles(folder)
    return _adapter(folder) if _ADAPTER in folder.files else _weights_elsewhere(folder)


def _weights_elsewhere(folder: ModelFolder) -> NotExercised:
    """What there is under other names than those that transformers looks for."""
    if shard := next((path for path in folder.files if _SHARD.fullmatch(path)), None):
        index = INDEX if shard in folder.safetensors else "pytorch_model.bin.index.json"
        return _missing(f"the weights are in parts such as `{shard}`, and nothing says which parts there are", index)
    if other := _other_format(folder.files):
        return other
    if strange := next((path for path in folder.safetensors if "/" not in path), None):
        return _missing(f"the weights are in `{strange}`, where transformers does not look for them", _WEIGHTS)
    return _missing("no weights are in the folder", _WEIGHTS)


def lacking_words(folder: ModelFolder) -> NotExercised | None:
    """Why no text can be given to the model: nothing that a tokenizer could be made of."""
    settings = folder.document("tokenizer_config.json")
    if "auto_map" in settings or str(folder.config.get("model_type")) in _NEED_NO_VOCABULARY:
        return None
    named = str(settings.get("tokenizer_class") or folder.config.get("tokenizer_class") or "").lower()
    if named and named.removesuffix("fast").removesuffix("tokenizer") in _NEED_NO_VOCABULARY:
        return None
    if any(_VOCABULARY.fullmatch(path) for path in folder.files if "/" not in path):
        return None
    return _missing("no tokenizer is in the folder, so no text can be given to it", "tokenizer.json")


def lacking_ears(folder: ModelFolder) -> NotExercised | None:
    """Why no sound can be given to a model of speech."""
    if not _HEARING.isdisjoint(folder.files):
        return None
    return _missing("nothing in the folder says how sound is given to it", "preprocessor_config.json")


def _other_library(folder: ModelFolder) -> NotExercised | None:
    """The library whose description of a model stands in the place of a config.json."""
    if "model_index.json" in folder.files:
        pipeline = folder.document("model_index.json").get("_class_name")
        return _other("a diffusers pipeline; only its files were looked at", "run it with diffusers", pipeline=pipeline)
    if _ADAPTER in folder.files:
        return _adapter(folder)
    if "modules.json" in folder.files:
        reason = "a model of sentence-transformers that has no transformer in this folder"
        return _other(reason, "run it with sentence-transformers")
    return None


def _refuse_pickles(folder: ModelFolder) -> NotExercised | None:
    for path, scan in folder.pickle_scans.items():
        if scan.foreign:
            return NotExercised(
                "unsafe-pickle",
                f"the pickled weights name `{scan.foreign[0]}`, which is no weight: reading them could run code",
                "do not load this file anywhere; look for a revision of the model that has safetensors",
                {"file": path, "names": ", ".join(scan.foreign[:10])},
            )
        if scan.bare:
            return NotExercised(
                "bare-pickle",
                "the weights are a bare pickle, as torch wrote before version 1.6, which is not scanned for code",
                "look for a revision of the model that has safetensors",
                {"file": path},
            )
    return None


def _adapter(folder: ModelFolder) -> NotExercised:
    base = folder.document(_ADAPTER).get("base_model_name_or_path") or "its base model"
    return _other(
        f"an adapter, which works only together with `{base}`",
        "load both with peft, save what merge_and_unload() makes of them, and test that",
        base=base,
    )


def _other_format(paths: Iterable[str]) -> NotExercised | None:
    ordered = list(paths)
    for pattern, what, hint in _OTHER_FORMATS:
        if found := next((path for path in ordered if pattern.fullmatch(path)), None):
            return _other(f"its weights are in a format that transformers does not load: {what}", hint, file=found)
    return None


def _other(reason: str, hint: str | None, **evidence: object) -> NotExercised:
    return NotExercised("not-exercised", reason, hint, {name: str(value) for name, value in evidence.items() if value})


def _missing(reason: str, absent: str) -> NotExercised:
    return NotExercised("missing-files", reason, _PULL, {"missing": absent})
