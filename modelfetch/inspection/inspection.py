"""What the files of a model say of it, put together. Runs nothing and reads no weights.

- Every document is judged by its type before it is believed; what is broken is a problem in the report.
- What no file says is None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelfetch.inspection.architecture import Architecture, describe
from modelfetch.inspection.memory import Held, Memory, estimate
from modelfetch.inspection.purpose import PREDICTS, WRITES, Purpose, judge
from modelfetch.inspection.reading import Papers, Template, read_papers
from modelfetch.inspection.special import Tokens, read_gguf_tokens, read_tokens
from modelfetch.model.contents import BrokenFile, ModelFolder
from modelfetch.model.folder import read_folder
from modelfetch.model.kind import loaded_files
from modelfetch.model.quantisation import method_of
from modelfetch.model.sizes import (
    Context,
    Sizes,
    context_of_config,
    context_of_gguf,
    sizes_of_config,
    sizes_of_gguf,
)

# How much of a stranger's word is kept of one value.
MAX_WORD = 200
MAX_DEFAULTS = 100


@dataclass(frozen=True)
class Subject:
    """The model by its name, and where it is. Without a commit it is a plain folder.

    `quant` is which of its GGUF files is meant.
    """

    name: str
    folder: str
    commit: str | None = None
    licence: str | None = None
    quant: str | None = None


@dataclass(frozen=True)
class Weights:
    """The files that hold the weights. `format` is `safetensors`, `pickle` or `gguf`; None where there are none."""

    format: str | None
    files: tuple[str, ...]
    stored_bytes: int
    dtype: str | None


@dataclass(frozen=True)
class Card:
    """What the model card says. `source` is where the licence was read."""

    licence: str | None
    source: str | None
    base_models: tuple[str, ...]
    languages: tuple[str, ...]


@dataclass(frozen=True)
class RemoteCode:
    """Python that comes with the model: the classes that config.json wants of it, and the files with their digests."""

    classes: Mapping[str, str]
    files: Mapping[str, str]


@dataclass(frozen=True)
class Inspection:
    """All that the files say."""

    subject: Subject
    purpose: Purpose
    weights: Weights
    architecture: Architecture | None
    sizes: Sizes
    memory: Memory
    context: Context | None
    generation: Mapping[str, Any]
    tokens: Tokens
    templates: tuple[Template, ...]
    card: Card
    remote_code: RemoteCode
    quantisation: Mapping[str, Any] | None
    problems: tuple[BrokenFile, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of `--json`, without what was asked beside it."""
        document = asdict(self)
        subject = document.pop("subject")
        return {"model": subject["name"], "folder": subject["folder"], "commit": subject["commit"], **document}


def read_inspection(subject: Subject) -> Inspection:
    """Look at the model of `subject`.

    Raises:
        NotFoundError: the folder is not there or empty.
    """
    path = Path(subject.folder)
    folder = read_folder(path, subject.name, subject.quant)
    papers = read_papers(path, folder)
    gguf = gguf_of(folder)
    metadata = folder.ggufs[gguf].metadata if gguf else {}
    tokens = read_gguf_tokens(folder.ggufs[gguf]) if gguf else read_tokens(folder, papers)
    purpose = judge(folder, papers, tokens, gguf)
    sizes = sizes_of_gguf(metadata) if gguf else sizes_of_config(folder.config)
    weights, architecture = _weights(folder, gguf, purpose, sizes)
    parameters = architecture.parameters if architecture else None
    quantisation = {"method": "gguf", "type": weights.dtype} if gguf else _quantisation(folder)
    held = Held(weights.stored_bytes, parameters, quantised=quantisation is not None, unpacked=gguf is not None)
    return Inspection(
        subject=subject,
        purpose=purpose,
        weights=weights,
        architecture=architecture,
        sizes=sizes,
        memory=estimate(held, sizes, generates=purpose.what in WRITES),
        context=context_of_gguf(metadata) if gguf else _context(folder, papers),
        generation=_defaults(folder),
        tokens=tokens,
        templates=papers.templates,
        card=_card(subject, papers, metadata),
        remote_code=_remote_code(folder),
        quantisation=quantisation,
        # A tokenizer that both look at is broken once.
        problems=tuple({each.path: each for each in (*papers.problems, *folder.broken)}.values()),
    )


def gguf_of(folder: ModelFolder) -> str | None:
    """The GGUF file that the folder is, where nothing else in it is a model; the one that smoke takes."""
    return None if folder.safetensors or folder.pickles else folder.gguf


def _weights(
    folder: ModelFolder, gguf: str | None, purpose: Purpose, sizes: Sizes
) -> tuple[Weights, Architecture | None]:
    used = sizes.experts_used
    if gguf:
        header = folder.ggufs[gguf]
        # ggml counts dimensions from the innermost; everybody else from the outermost.
        tensors = [type(each)(each.name, each.dtype, each.shape[::-1], each.size_bytes) for each in header.tensors]
        return (
            Weights("gguf", (gguf,), folder.files[gguf], _most_common(tensors)),
            describe(tensors, {}, writes=True, experts_used=used),
        )
    files = tuple(loaded_files(folder))
    stored = sum(max(0, folder.files[path]) for path in files)
    tensors = [tensor for path in files for tensor in folder.safetensors.get(path, ())]
    if not tensors:
        return Weights("pickle" if folder.pickles else None, files, stored, None), None
    architecture = describe(tensors, folder.config, writes=purpose.what in PREDICTS, experts_used=used)
    return Weights("safetensors", files, stored, _most_common(tensors)), architecture


def _most_common(tensors: list[Any]) -> str | None:
    sizes: dict[str, int] = {}
    for tensor in tensors:
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.size_bytes
    return max(sizes, key=lambda dtype: sizes[dtype], default=None)


def _context(folder: ModelFolder, papers: Papers) -> Context | None:
    return context_of_config(folder.config, folder.document("tokenizer_config.json"), papers.sentence)


def _defaults(folder: ModelFolder) -> dict[str, Any]:
    """What generation_config.json sets, short of what only records where it came from."""
    document = folder.document("generation_config.json")
    kept = [name for name in document if not name.startswith("_") and name != "transformers_version"]
    return {name[:MAX_WORD]: _plain(document[name]) for name in kept[:MAX_DEFAULTS]}


def _plain(value: Any) -> Any:
    """A single value or a short list of whole numbers as it is; anything else as a text of it."""
    if isinstance(value, float):
        # JSON has no word for what is no number.
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, list) and len(value) <= MAX_DEFAULTS and all(isinstance(each, int) for each in value):
        return value
    return value[:MAX_WORD] if isinstance(value, str) else f"{type(value).__name__} of {len(value)}"


def _card(subject: Subject, papers: Papers, metadata: Mapping[str, Any]) -> Card:
    card = papers.card
    licence = _words(card.get("license"))[:1]
    if licence and licence[0] == "other":
        licence = _words(card.get("license_name"))[:1] or licence
    sources = (
        ("README.md", licence[0] if licence else None),
        ("the hub's listing", subject.licence),
        ("the GGUF header", metadata.get("general.license")),
    )
    source, known = next(((source, said) for source, said in sources if said), (None, None))
    return Card(
        str(known)[:MAX_WORD] if known else None, source, _words(card.get("base_model")), _words(card.get("language"))
    )


def _words(value: Any) -> tuple[str, ...]:
    words = value if isinstance(value, list) else [value]
    return tuple(each[:MAX_WORD] for each in words[:MAX_DEFAULTS] if isinstance(each, str))


def _remote_code(folder: ModelFolder) -> RemoteCode:
    auto_map = folder.config.get("auto_map")
    classes = auto_map if isinstance(auto_map, dict) else {}
    return RemoteCode({str(name): str(target)[:MAX_WORD] for name, target in classes.items()}, folder.code_listing)


def _quantisation(folder: ModelFolder) -> dict[str, Any] | None:
    method = method_of(folder.config)
    if method is None:
        return None
    declared = folder.config.get("quantization_config")
    declared = declared if isinstance(declared, dict) else {}
    names = ("bits", "group_size", "fmt", "format", "bnb_4bit_quant_type", "activation_scheme", "weight_block_size")
    return {"method": method[:MAX_WORD], **{name: _plain(declared[name]) for name in names if name in declared}}
