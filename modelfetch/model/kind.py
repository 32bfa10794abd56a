"""What kind of model a folder holds and how it is to be exercised, from its files alone. Decides only.

- The class is the one that `architectures` names: an Auto class could invent a head that the weights do not have.
- What cannot be exercised is `NotExercised` with the reason; it is never exercised as something else instead.
- Code from the folder is asked for only where transformers has no class of its own, and runs only with consent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from modelfetch.model.cache_size import NO_CACHE, CacheSize, cache_of_config, cache_of_gguf
from modelfetch.model.contents import INDEX, POOLING, ModelFolder, NotExercised
from modelfetch.model.headers import RECAST_DTYPES, Tensor
from modelfetch.model.lacking import foreign_config, instead_of_config, lacking_ears, lacking_weights, lacking_words
from modelfetch.model.quantisation import method_of, plain_bytes, refusal
from modelfetch.model.rankers import Judge, is_ranker, judge_of
from modelfetch.model.tables import Tables

# transformers parses a GGUF header in Python and dequantises everything in memory: minutes and gigabytes beyond this.
MAX_GGUF_BYTES = 2_000_000_000
# The language these write need not be the one they read, so a loss on English judges nothing.
TRANSLATORS = frozenset({"marian", "fsmt", "m2m_100", "mbart", "nllb-moe", "seamless_m4t", "seamless_m4t_v2"})

# The name by which transformers asks for consent to run a model's own code, in its options and in its errors.
TRUST = "trust_remote_code"
ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}

_DTYPE_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
INSTRUCT_NAME = re.compile(r"instruct|chat|(^|[-_/.])it([-_/.]|$)", re.IGNORECASE)


class Kind(StrEnum):
    """What a model is for, as far as exercising it goes. The value is what people read."""

    CHAT = "chat model"
    JUDGE = "reranker that says yes or no"
    BASE = "base language model"
    VISION = "vision-language model (text only)"
    SEQ2SEQ = "encoder-decoder"
    MASKED = "masked language model"
    EMBEDDING = "sentence embedding"
    ENCODER = "encoder"
    CLASSIFIER = "sequence classifier"
    TOKENS = "token classifier"
    QUESTION = "question answering"
    SPEECH = "speech recognition"
    IMAGE = "image classifier"


GENERATES = frozenset({Kind.CHAT, Kind.BASE, Kind.VISION, Kind.SEQ2SEQ})
# What is put into these is no text.
SENSES = frozenset({Kind.SPEECH, Kind.IMAGE})

# Table of transformers -> kind, in the order in which a class that is in several of them is judged.
_TABLES = {
    "IMAGE_TEXT_TO_TEXT": Kind.VISION,
    "MULTIMODAL_LM": Kind.VISION,
    "SPEECH_SEQ_2_SEQ": Kind.SPEECH,
    "CTC": Kind.SPEECH,
    "SEQ_TO_SEQ_CAUSAL_LM": Kind.SEQ2SEQ,
    "CAUSAL_LM": Kind.BASE,
    "MASKED_LM": Kind.MASKED,
    "SEQUENCE_CLASSIFICATION": Kind.CLASSIFIER,
    "TOKEN_CLASSIFICATION": Kind.TOKENS,
    "QUESTION_ANSWERING": Kind.QUESTION,
    "IMAGE_CLASSIFICATION": Kind.IMAGE,
    "TEXT_ENCODING": Kind.ENCODER,
    "MODEL": Kind.ENCODER,
}
POOLINGS = frozenset({"mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens"})
# The switches by which each was turned on before it had a name, where the two differ.
_POOLINGS_BEFORE = {
    "cls_token": "cls",
    "max_tokens": "max",
    "mean_tokens": "mean",
    "weightedmean_tokens": "weightedmean",
}
_SPEAKERS = ("TEXT_TO_WAVEFORM", "TEXT_TO_SPECTROGRAM")
# These stand in tables beside others whose exercise is none for them: one speaks, one writes a block of text at once.
_STRANGERS = frozenset({"DiaForConditionalGeneration", "DiffusionGemmaForBlockDiffusion"})
_AUTO_CLASSES = {
    Kind.CHAT: "AutoModelForCausalLM",
    Kind.JUDGE: "AutoModelForCausalLM",
    Kind.BASE: "AutoModelForCausalLM",
    Kind.VISION: "AutoModelForImageTextToText",
    Kind.SEQ2SEQ: "AutoModelForSeq2SeqLM",
    Kind.MASKED: "AutoModelForMaskedLM",
    Kind.CLASSIFIER: "AutoModelForSequenceClassification",
    Kind.TOKENS: "AutoModelForTokenClassification",
    Kind.QUESTION: "AutoModelForQuestionAnswering",
    Kind.SPEECH: "AutoModelForSpeechSeq2Seq",
    Kind.IMAGE: "AutoModelForImageClassification",
    Kind.ENCODER: "AutoModel",
}


@dataclass(frozen=True)
class Exercise:
    """How to load a model and what to do with it. `class_name` is a class of transformers, an Auto class at need.

    `float_elements` are weights that take the type the model runs in, `other_bytes` those that stay as they are stored;
    `cache` is how much a text leaves in the cache of keys and values, `plain_bytes` what quantised weights take where
    they are made into plain ones.
    """

    kind: Kind
    class_name: str
    float_elements: int
    other_bytes: int
    stored_bytes: int
    stored_dtype: str | None = None
    weights: str = "safetensors"
    gguf_file: str | None = None
    quantisation: str | None = None
    remote_code: bool = False
    ranker: bool = False
    judge: Judge | None = None
    plain_bytes: int | None = None
    instruct_name: bool = False
    pooling: str | None = None
    loss_excuse: str | None = None
    type_doubt: str | None = None
    cache: CacheSize = NO_CACHE

    @property
    def has_structure(self) -> bool:
        """Whether the names and shapes in the files are those of the class: quantised weights are packed otherwise."""
        return self.quantisation is None and self.gguf_file is None


def choose(
    folder: ModelFolder, known: Tables, packages: frozenset[str], *, trust_remote_code: bool
) -> Exercise | NotExercised:
    """How to exercise the model in `folder` with what is installed, or why not."""
    if folder.gguf and not (folder.safetensors or folder.pickles):
        return _choose_gguf(folder, folder.gguf, packages)
    method = method_of(folder.config)
    if refused := _refused(folder, method, known, packages):
        return refused
    class_name, kind = _class_and_kind(folder, known)
    needs_code = class_name is None and "auto_map" in folder.config
    if needs_code and not (trust_remote_code and folder.code):
        return _remote_code(folder)
    if needs_code:
        class_name, kind = _from_auto_map(folder)
    if class_name is None or kind is None:
        return _unknown(folder, known, class_name)
    if lacking := _lacking(folder, kind):
        return lacking
    exercise = _exercise(folder, kind, class_name, method=method, remote_code=needs_code)
    return exercise if needs_code else replace(exercise, type_doubt=_type_doubt(folder, class_name, known))


def _refused(folder: ModelFolder, method: str | None, known: Tables, packages: frozenset[str]) -> NotExercised | None:
    """Why it is nothing that transformers loads as it is."""
    if not folder.config:
        return instead_of_config(folder)
    return foreign_config(folder) or (refusal(method, known.quantisations, packages) if method else None)


def _lacking(folder: ModelFolder, kind: Kind) -> NotExercised | None:
    if lacks := lacking_weights(folder):
        return lacks
    if kind is Kind.SPEECH and (lacks := lacking_ears(folder)):
        return lacks
    return lacking_words(folder) if kind is not Kind.IMAGE else None


def _choose_gguf(folder: ModelFolder, path: str, packages: frozenset[str]) -> Exercise | NotExercised:
    header = folder.ggufs[path]
    evidence = {"file": path, "architecture": header.architecture}
    if absent := sorted({"gguf", "accelerate"} - packages):
        install = " ".join(absent)
        return NotExercised(
            "gguf",
            "transformers reads GGUF only with a package that is not installed",
            f"pip install {install}",
            evidence,
        )
    if folder.files[path] > MAX_GGUF_BYTES or re.search(r"-of-0*[2-9]\d*\.gguf$", path):
        return NotExercised("gguf", "too large to be dequantised by transformers", "run it with llama.cpp", evidence)
    if header.metadata.get("general.type", "model") != "model":
        return NotExercised(
            "gguf", f"a GGUF of the type `{header.metadata['general.type']}`, not a model", None, evidence
        )
    return Exercise(
        kind=Kind.CHAT if "tokenizer.chat_template" in header.metadata else Kind.BASE,
        class_name=_AUTO_CLASSES[Kind.BASE],
        float_elements=sum(tensor.elements for tensor in header.tensors),
        other_bytes=0,
        stored_bytes=folder.files[path],
        weights="gguf",
        gguf_file=path,
        instruct_name=bool(INSTRUCT_NAME.search(f"{folder.name} {path}")),
        cache=cache_of_gguf(header.metadata),
    )


def _class_and_kind(folder: ModelFolder, known: Tables) -> tuple[str | None, Kind | None]:
    """The exact class, and the kind that the first table it stands in makes it; None for what is unknown."""
    architectures = folder.config.get("architectures")
    model_type = str(folder.config.get("model_type", ""))
    if isinstance(architectures, list) and architectures:
        name = str(architectures[0])
        table = next((table for table in _TABLES if known.in_table(table, name)), None)
        if name in _STRANGERS or (table == "SPEECH_SEQ_2_SEQ" and _speaks(name, known)):
            return name, None
        if table and (table != "MODEL" or _reads_text(model_type, known)):
            return name, _refine(_TABLES[table], folder)
        return (name, None) if known.has_class(name) else (None, None)
    for table in ("SEQ_TO_SEQ_CAUSAL_LM", "TEXT_ENCODING", "CAUSAL_LM", "MODEL"):
        if found := known.class_for(table, model_type):
            return found, _refine(_TABLES[table], folder)
    return None, None


def _type_doubt(folder: ModelFolder, class_name: str, known: Tables) -> str | None:
    """Why whoever goes by the model type, as the Auto classes do, comes to nothing or to another class."""
    model_type = str(folder.config.get("model_type", ""))
    if "auto_map" in folder.config or not known.model_types:
        return None
    if model_type not in known.model_types:
        return f"transformers knows no model type `{model_type}`: its Auto classes refuse the model"
    table = next((table for table in _TABLES if known.in_table(table, class_name)), "")
    usual = known.class_for(table, model_type)
    if usual is None or any(class_name in each.get(model_type, ()) for each in known.classes.values()):
        return None
    return f"for the model type `{model_type}` the Auto classes of transformers load `{usual}`"


def _speaks(class_name: str, known: Tables) -> bool:
    return any(known.in_table(table, class_name) for table in _SPEAKERS)


def _reads_text(model_type: str, known: Tables) -> bool:
    """A bare model may as well read pixels or sound; its type says by the heads there are for it."""
    text = ("CAUSAL_LM", "MASKED_LM", "SEQ_TO_SEQ_CAUSAL_LM", "TEXT_ENCODING")
    return any(known.class_for(table, model_type) for table in text)


def _refine(kind: Kind | None, folder: ModelFolder) -> Kind | None:
    """Tell apart what one table holds together, by the files beside the configuration."""
    if kind in {Kind.BASE, Kind.MASKED, Kind.ENCODER} and pooling_of(folder) is not None:
        return Kind.EMBEDDING
    if kind in {Kind.BASE, Kind.VISION} and judge_of(folder):
        return Kind.JUDGE
    if kind is Kind.BASE and has_chat_template(folder):
        return Kind.CHAT
    return kind


def has_chat_template(folder: ModelFolder) -> bool:
    """Whether any of the places in which a chat template is kept has one."""
    return (
        bool(folder.document("tokenizer_config.json").get("chat_template"))
        or "chat_template.json" in folder.files
        or any(path.endswith(".jinja") for path in folder.files)
    )


def pooling_of(folder: ModelFolder) -> str | None:
    """How sentence-transformers pools, in its newer names; None for what it does not use."""
    document = next((folder.document(path) for path in folder.documents if path.endswith(POOLING)), None)
    if document is None or "modules.json" not in folder.files:
        return None
    named = document.get("pooling_mode")
    if isinstance(named, str):
        return named
    prefix = "pooling_mode_"
    on = [key.removeprefix(prefix) for key, value in document.items() if key.startswith(prefix) and value is True]
    return "+".join(_POOLINGS_BEFORE.get(mode, mode) for mode in on) or "mean"


def _from_auto_map(folder: ModelFolder) -> tuple[str | None, Kind | None]:
    auto_map = folder.config.get("auto_map")
    names = auto_map if isinstance(auto_map, dict) else {}
    # Three kinds share a class; the last, BASE, is the one to be refined.
    kinds = {auto: kind for kind, auto in _AUTO_CLASSES.items()}
    auto = next((auto for auto in kinds if auto in names), None)
    return auto, _refine(kinds[auto], folder) if auto else None


def _remote_code(folder: ModelFolder) -> NotExercised:
    if folder.code:
        reason = "it needs Python code that came with it, which runs with your rights"
        hint = "read these files, then add --trust-remote-code"
        return NotExercised("remote-code", reason, hint, folder.code_listing)
    auto_map = folder.config.get("auto_map")
    named = str(next(iter(auto_map.values()), "")) if isinstance(auto_map, dict) else ""
    return NotExercised(
        "remote-code",
        "it needs Python code from another repository, which is not in the folder, and a test fetches nothing",
        "run it with transformers itself, once you have read that code",
        {"code": named},
    )


def _unknown(folder: ModelFolder, known: Tables, class_name: str | None) -> NotExercised:
    config = folder.config
    model_type = str(config.get("model_type", ""))
    evidence = {"model_type": model_type, "architectures": str(config.get("architectures"))}
    if class_name and _speaks(class_name, known):
        return NotExercised("not-exercised", f"`{class_name}` makes sound, which nobody here can hear", None, evidence)
    if class_name:
        return NotExercised("not-exercised", f"smoke does not exercise `{class_name}` yet", None, evidence)
    if model_type in known.model_types:
        return NotExercised(
            "not-exercised",
            "the installed transformers has no class of this name",
            "pip install -U transformers",
            evidence,
        )
    version = str(config.get("transformers_version", ""))
    wanted = f"'transformers>={version}'" if re.fullmatch(r"[0-9.]+", version) else "transformers"
    reason = f"the installed transformers does not know the model type `{model_type}`"
    return NotExercised("not-exercised", reason, f"pip install -U {wanted}", evidence)


def _exercise(folder: ModelFolder, kind: Kind, class_name: str, *, method: str | None, remote_code: bool) -> Exercise:
    chosen = loaded_files(folder)
    tensors = [tensor for path in chosen if path in folder.safetensors for tensor in folder.safetensors[path]]
    floats = [tensor for tensor in tensors if tensor.dtype in RECAST_DTYPES] if method is None else []
    stored = sum(folder.files[path] for path in chosen)
    dtype = _stored_dtype(folder, floats)
    elements = sum(tensor.elements for tensor in floats)
    float_bytes = sum(tensor.size_bytes for tensor in floats)
    if not tensors and method is None:
        elements, float_bytes = stored // ITEM_BYTES.get(dtype or "", 4), stored
    model_type = str(folder.config.get("model_type"))
    return Exercise(
        kind=kind,
        class_name=class_name,
        float_elements=elements,
        other_bytes=stored - float_bytes,
        stored_bytes=stored,
        stored_dtype=dtype,
        weights="safetensors" if any(path in folder.safetensors for path in chosen) else "pickle",
        quantisation=method,
        plain_bytes=plain_bytes(method, tensors) if method else None,
        remote_code=remote_code,
        ranker=is_ranker(folder),
        judge=judge_of(folder) if kind is Kind.JUDGE else None,
        instruct_name=bool(INSTRUCT_NAME.search(folder.name)),
        pooling=pooling_of(folder),
        loss_excuse="it may write another language than English" if model_type in TRANSLATORS else None,
        cache=cache_of_config(folder.config) if kind in GENERATES or kind is Kind.JUDGE else NO_CACHE,
    )


def _stored_dtype(folder: ModelFolder, floats: list[Tensor]) -> str | None:
    """The type most weights are stored in; where no header tells, what the configuration says."""
    elements: dict[str, int] = {}
    for tensor in floats:
        elements[tensor.dtype] = elements.get(tensor.dtype, 0) + tensor.elements
    if elements:
        return _DTYPE_NAMES.get(max(elements, key=lambda dtype: elements[dtype]))
    declared = folder.config.get("dtype") or folder.config.get("torch_dtype")
    return declared if declared in ITEM_BYTES else None


def loaded_files(folder: ModelFolder) -> list[str]:
    """The weight files that transformers would choose."""
    if "model.safetensors" in folder.safetensors:
        return ["model.safetensors"]
    index = folder.document(INDEX).get("weight_map")
    if isinstance(index, dict):
        return sorted({str(shard) for shard in index.values()} & folder.files.keys())
    named = folder.config.get("transformers_weights")
    if named in folder.safetensors:
        return [str(named)]
    return folder.pickles or [path for path in folder.safetensors if "/" not in path]
