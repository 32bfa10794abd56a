"""The kind of a model, and whether it can be exercised here, from its files alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from modelfetch.model.contents import CodeFile, ModelFolder, NotExercised
from modelfetch.model.gguf import GgufHeader
from modelfetch.model.headers import Tensor
from modelfetch.model.kind import MAX_GGUF_BYTES, Exercise, Kind, choose
from modelfetch.model.pickles import PickleScan
from modelfetch.model.quantisation import BACKENDS, MODULES, Package, plain_bytes
from modelfetch.model.tables import Tables, read_tables
from modelfetch.smoketest.running import choose_exercise

KNOWN = Tables(
    classes={
        "MODEL": {"bert": ("BertModel",), "vit": ("ViTModel",), "llama": ("LlamaModel",)},
        "CAUSAL_LM": {"llama": ("LlamaForCausalLM",), "bert": ("BertLMHeadModel",)},
        "MASKED_LM": {"bert": ("BertForMaskedLM",), "bart": ("BartForConditionalGeneration",)},
        "SEQ_TO_SEQ_CAUSAL_LM": {
            "bart": ("BartForConditionalGeneration",),
            "marian": ("MarianMTModel",),
            "t5": ("T5ForConditionalGeneration",),
        },
        "SPEECH_SEQ_2_SEQ": {
            "dia": ("DiaForConditionalGeneration",),
            "vibevoice": ("VibeVoiceForConditionalGeneration",),
            "whisper": ("WhisperForConditionalGeneration",),
        },
        "CTC": {"wav2vec2": ("Wav2Vec2ForCTC",)},
        "TEXT_TO_WAVEFORM": {"vibevoice": ("VibeVoiceForConditionalGeneration",), "vits": ("VitsModel",)},
        "IMAGE_TEXT_TO_TEXT": {"llava": ("LlavaForConditionalGeneration",)},
        "IMAGE_CLASSIFICATION": {"vit": ("ViTForImageClassification",)},
        "SEQUENCE_CLASSIFICATION": {"bert": ("BertForSequenceClassification",)},
        "TOKEN_CLASSIFICATION": {"bert": ("BertForTokenClassification",)},
        "QUESTION_ANSWERING": {"bert": ("BertForQuestionAnswering",)},
        "TEXT_ENCODING": {"bert": ("BertModel",), "t5": ("T5EncoderModel",)},
    },
    model_types=frozenset({"llama", "bert", "bart", "t5", "marian", "whisper", "llava", "vit"}),
    quantisations=frozenset({"awq", "bitsandbytes_4bit", "fp8", "gptq"}),
)
WEIGHTS = {"model.safetensors": (Tensor("a", "BF16", (4, 8), 64), Tensor("b", "F32", (2,), 8))}
EVERYTHING = frozenset(MODULES)
# What text and sound are given to a model with.
INPUTS = ("tokenizer.json", "preprocessor_config.json")


def folder(
    config: Mapping[str, Any] | None,
    *,
    name: str = "owner/name",
    documents: Mapping[str, Any] | None = None,
    **more: Any,
) -> ModelFolder:
    read = {**({"config.json": config} if config is not None else {}), **(documents or {})}
    weights = more.pop("safetensors", WEIGHTS)
    files = {**dict.fromkeys([*read, *INPUTS], 100), **dict.fromkeys(weights, 200), **more.pop("files", {})}
    return ModelFolder(name, files, read, weights, **more)


def llama(**more: Any) -> dict[str, Any]:
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **more}


def bert(head: str) -> dict[str, Any]:
    return {"architectures": [head], "model_type": "bert"}


def exercised(here: ModelFolder, *, trust: bool = False) -> Exercise:
    chosen = choose(here, KNOWN, EVERYTHING, trust_remote_code=trust)
    assert isinstance(chosen, Exercise), chosen
    return chosen


def refused(here: ModelFolder, packages: frozenset[str] = EVERYTHING) -> NotExercised:
    chosen = choose(here, KNOWN, packages, trust_remote_code=False)
    assert isinstance(chosen, NotExercised), chosen
    return chosen


POOLED = {"modules.json": [{"type": "…Transformer"}], "1_Pooling/config.json": {"pooling_mode_mean_tokens": True}}
KINDS = {
    "base": (folder(llama()), Kind.BASE),
    "a template in the tokenizer's configuration": (
        folder(llama(), documents={"tokenizer_config.json": {"chat_template": "{{ messages }}"}}),
        Kind.CHAT,
    ),
    "a template in a file of its own": (folder(llama(), files={"chat_template.jinja": 10}), Kind.CHAT),
    "a template beside an older processor": (folder(llama(), files={"chat_template.json": 10}), Kind.CHAT),
    "one of several templates": (folder(llama(), files={"additional_chat_templates/tool_use.jinja": 10}), Kind.CHAT),
    "masked": (folder(bert("BertForMaskedLM")), Kind.MASKED),
    "in two tables at once": (
        folder({"architectures": ["BartForConditionalGeneration"], "model_type": "bart"}),
        Kind.SEQ2SEQ,
    ),
    "vision and language": (
        folder({"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava"}),
        Kind.VISION,
    ),
    "classifier": (folder(bert("BertForSequenceClassification")), Kind.CLASSIFIER),
    "tokens": (folder(bert("BertForTokenClassification")), Kind.TOKENS),
    "question": (folder(bert("BertForQuestionAnswering")), Kind.QUESTION),
    "encoder": (folder(bert("BertModel")), Kind.ENCODER),
    "speech, written": (
        folder({"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper"}),
        Kind.SPEECH,
    ),
    "speech, letter by letter": (
        folder({"architectures": ["Wav2Vec2ForCTC"], "model_type": "wav2vec2"}),
        Kind.SPEECH,
    ),
    "images": (folder({"architectures": ["ViTForImageClassification"], "model_type": "vit"}), Kind.IMAGE),
    "the encoder of an encoder-decoder": (
        folder({"architectures": ["T5EncoderModel"], "model_type": "t5"}),
        Kind.ENCODER,
    ),
    "a bare language model": (folder({"architectures": ["LlamaModel"], "model_type": "llama"}), Kind.ENCODER),
    "sentence embedding": (folder(bert("BertModel"), documents=POOLED), Kind.EMBEDDING),
    "sentence embedding by a language model": (folder(llama(), documents=POOLED), Kind.EMBEDDING),
    "sparse embedding, which pools otherwise": (
        folder(bert("BertForMaskedLM"), documents={"modules.json": [], "1_SpladePooling/config.json": {}}),
        Kind.MASKED,
    ),
    "a ranker by the tokens that it says": (
        folder(
            llama(), documents={"modules.json": [], "1_LogitScore/config.json": {}}, files={"chat_template.jinja": 1}
        ),
        Kind.JUDGE,
    ),
    "a ranker by its card": (folder(llama(), card={"pipeline_tag": "text-ranking"}), Kind.JUDGE),
    "a ranker by its name": (folder(llama(), name="Qwen/Qwen3-Reranker-0.6B"), Kind.JUDGE),
    "no architecture is named": (folder({"model_type": "bert"}), Kind.ENCODER),
}


@pytest.mark.parametrize(("here", "kind"), KINDS.values(), ids=list(KINDS))
def test_the_files_tell_the_kind(here: ModelFolder, kind: Kind) -> None:
    assert exercised(here).kind is kind


def test_the_class_is_the_one_that_the_configuration_names() -> None:
    assert exercised(KINDS["the encoder of an encoder-decoder"][0]).class_name == "T5EncoderModel"


@pytest.mark.parametrize(
    ("model_type", "said"),
    [("qwen9", "no model type `qwen9`"), ("bart", "load `BartForConditionalGeneration`"), ("bert", None)],
)
def test_a_class_that_does_not_go_with_the_model_type_is_doubted(model_type: str, said: str | None) -> None:
    doubt = exercised(folder({"architectures": ["BertForMaskedLM"], "model_type": model_type})).type_doubt
    assert doubt is None if said is None else said in str(doubt)


@pytest.mark.parametrize("model_type", ["qwen9", "bert"])
def test_a_model_that_brings_its_own_code_has_any_model_type(model_type: str) -> None:
    config = {"architectures": ["BertForMaskedLM"], "model_type": model_type, "auto_map": {"AutoModel": "own.Own"}}
    assert exercised(folder(config)).type_doubt is None


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_lasttoken": True}, "lasttoken"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
        ({"pooling_mode_weightedmean_tokens": True}, "weightedmean"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len_tokens"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "cls+mean"),
        ({}, "mean"),
    ],
)
def test_pooling_is_read_in_its_older_and_its_newer_form(config: dict[str, Any], pooling: str) -> None:
    here = folder(bert("BertModel"), documents={"modules.json": [], "1_Pooling/config.json": config})
    assert exercised(here).pooling == pooling


def test_a_pooling_that_smoke_does_not_know_is_skipped_and_not_taken_for_the_mean() -> None:
    spec = find_spec("transformers")
    assert spec is not None
    assert spec.origin is not None
    documents = {"modules.json": [], "1_Pooling/config.json": {"pooling_mode": "attention"}}
    here = folder(bert("BertModel"), documents=documents)
    plan = choose_exercise(here, Path(spec.origin).parent, trust_remote_code=False)
    assert isinstance(plan, NotExercised)
    assert "`attention`" in plan.reason


REFUSALS = {
    "a model that speaks": (
        folder({"architectures": ["VitsModel"], "model_type": "vits"}),
        "not-exercised",
        "`VitsModel` makes sound",
    ),
    "a model that speaks, and is said to listen too": (
        folder({"architectures": ["VibeVoiceForConditionalGeneration"], "model_type": "vibevoice"}),
        "not-exercised",
        "makes sound",
    ),
    "a model that speaks, and is only said to listen": (
        folder({"architectures": ["DiaForConditionalGeneration"], "model_type": "dia"}),
        "not-exercised",
        "`DiaForConditionalGeneration`",
    ),
    "a bare model that sees": (
        folder({"architectures": ["ViTModel"], "model_type": "vit"}),
        "not-exercised",
        "`ViTModel`",
    ),
    "too new": (folder({"architectures": ["QwenX"], "model_type": "qwen9"}), "not-exercised", "`qwen9`"),
    "an unknown class": (folder({"architectures": ["LlamaOwn"], "model_type": "llama"}), "not-exercised", "class"),
    "quantised for MLX": (folder(llama(quantization={"bits": 4, "group_size": 64})), "quantisation-unknown", "MLX"),
    "quantised for MLX, as it is written later": (
        folder(llama(quantization={"bits": 4}, quantization_config={"bits": 4})),
        "quantisation-unknown",
        "MLX",
    ),
    "a quantisation that is made and not read": (
        folder(llama(quantization_config={"quant_method": "nvfp4"})),
        "quantisation-unknown",
        "`nvfp4`",
    ),
    "a quantisation that is unknown": (
        folder(llama(quantization_config={"quant_method": "exl3"})),
        "quantisation-unknown",
        "`exl3`",
    ),
}


@pytest.mark.parametrize(("here", "check", "said"), REFUSALS.values(), ids=list(REFUSALS))
def test_what_cannot_be_exercised_is_refused_with_the_reason(here: ModelFolder, check: str, said: str) -> None:
    chosen = refused(here)
    assert chosen.check == check
    assert said in chosen.reason


def test_what_is_too_new_names_the_version_that_wrote_it() -> None:
    config = {"architectures": ["QwenX"], "model_type": "qwen9", "transformers_version": "5.31.0"}
    assert refused(folder(config)).hint == "pip install -U 'transformers>=5.31.0'"


@pytest.mark.parametrize("method", BACKENDS)
def test_a_quantisation_without_its_package_names_the_package(method: str) -> None:
    known = replace(KNOWN, quantisations=frozenset(BACKENDS))
    here = folder(llama(quantization_config={"quant_method": method}))
    chosen = choose(here, known, frozenset(), trust_remote_code=False)
    assert isinstance(chosen, NotExercised)
    assert chosen.check == "quantisation-backend"
    assert chosen.hint is not None
    assert chosen.hint.startswith("pip install ")


def test_a_quantisation_whose_package_is_there_is_tried() -> None:
    chosen = exercised(folder(llama(quantization_config={"quant_method": "awq", "bits": 4})))
    assert chosen.quantisation == "awq"
    assert chosen.float_elements == 0


@pytest.mark.parametrize("width", ["load_in_4bit", "load_in_8bit"])
def test_bitsandbytes_is_known_by_either_of_its_widths(width: str) -> None:
    assert exercised(folder(llama(quantization_config={width: True}))).quantisation == "bitsandbytes"


def test_a_quantisation_of_the_text_part_alone_is_seen() -> None:
    config = {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "text_config": {"quantization_config": {"quant_method": "exl3"}},
    }
    assert refused(folder(config)).check == "quantisation-unknown"


@pytest.mark.parametrize(
    ("requirement", "distribution", "version", "will_do"),
    [
        ("aqlm[gpu,cpu]", "aqlm", "0.0.1", True),
        ("bitsandbytes>=0.46.1", "bitsandbytes", "0.46.1", True),
        ("bitsandbytes>=0.46.1", "bitsandbytes", "0.46.0", False),
        ("bitsandbytes>=0.46.1", "bitsandbytes", "0.50", True),
        ("gptqmodel>=1.4.3", "gptqmodel", "4.0.0+cu128torch2.8", True),
        ("torchao>=0.15", "torchao", "0.9.0", False),
        ("accelerate>=1.1", "accelerate", "1.1.0.dev0", True),
        ("kernels>=0.18.2,<0.19", "kernels", "0.18.2", True),
    ],
)
def test_a_package_is_wanted_in_a_version(requirement: str, distribution: str, version: str, will_do: bool) -> None:
    package = Package("module", requirement)
    assert (package.distribution, package.is_new_enough(version)) == (distribution, will_do)


def test_weights_that_a_processor_cannot_calculate_with_are_counted_as_plain_ones() -> None:
    tensors = (
        Tensor("a.weight", "F8_E4M3", (4, 8), 32),
        Tensor("a.weight_scale_inv", "F32", (1, 1), 4),
        Tensor("b.gate_up_proj_blocks", "U8", (2, 8), 16),
        Tensor("norm.weight", "BF16", (8,), 16),
    )
    assert plain_bytes("fp8", tensors[:2]) == 64 + 4
    assert plain_bytes("mxfp4", tensors[2:]) == 64 + 16
    assert plain_bytes("awq", tensors) is None
    config = llama(quantization_config={"quant_method": "fp8"})
    assert exercised(folder(config, safetensors={"model.safetensors": tensors})).plain_bytes == 64 + 4 + 64 + 16


CODE = (CodeFile("modeling_own.py", 3210, "ab" * 32),)


def test_code_of_the_model_needs_consent_and_is_listed_with_its_digest() -> None:
    config = {
        "architectures": ["OwnForCausalLM"],
        "model_type": "own",
        "auto_map": {"AutoModelForCausalLM": "modeling_own.Own"},
    }
    chosen = refused(folder(config, code=CODE))
    assert chosen.check == "remote-code"
    assert chosen.evidence == {"modeling_own.py": f"3210 bytes, sha256 {'ab' * 32}"}
    consented = exercised(folder(config, code=CODE), trust=True)
    assert (consented.class_name, consented.kind, consented.remote_code) == ("AutoModelForCausalLM", Kind.BASE, True)


def test_code_that_transformers_has_a_class_for_is_not_run_even_with_consent() -> None:
    config = llama(auto_map={"AutoModelForCausalLM": "modeling_own.Own"})
    assert exercised(folder(config, code=CODE), trust=True).remote_code is False


def test_code_of_another_repository_is_said_to_be_absent() -> None:
    config = {"architectures": ["Own"], "model_type": "own", "auto_map": {"AutoModel": "other/repo--modeling.Own"}}
    why = refused(folder(config))
    assert "another repository" in why.reason
    assert why.evidence == {"code": "other/repo--modeling.Own"}
    assert choose(folder(config), KNOWN, EVERYTHING, trust_remote_code=True) == why, "consent does not bring it here"


def gguf(size: int, name: str = "model-Q4_0.gguf", **metadata: str) -> ModelFolder:
    header = GgufHeader({"general.architecture": "llama", **metadata}, (Tensor("a", "Q4_0", (64,), 36),))
    return ModelFolder("owner/name-GGUF", {name: size}, ggufs={name: header})


def test_a_gguf_file_is_read_by_transformers_where_its_packages_are() -> None:
    chosen = exercised(gguf(1000, **{"tokenizer.chat_template": "{{ messages }}"}))
    assert (chosen.kind, chosen.gguf_file, chosen.float_elements) == (Kind.CHAT, "model-Q4_0.gguf", 64)
    assert exercised(gguf(1000)).kind is Kind.BASE
    refusal = refused(gguf(1000), frozenset({"accelerate"}))
    assert (refusal.check, refusal.hint) == ("gguf", "pip install gguf")


@pytest.mark.parametrize(
    "here",
    [
        gguf(MAX_GGUF_BYTES + 1),
        gguf(1000, "model-00001-of-00002.gguf"),
        gguf(1000, **{"general.type": "mmproj"}),
    ],
    ids=["too large", "in several files", "no model"],
)
def test_a_gguf_file_that_cannot_be_dequantised_is_refused(here: ModelFolder) -> None:
    assert refused(here).check == "gguf"


def test_the_smallest_of_several_gguf_files_is_taken() -> None:
    one, other = gguf(2000, "a.gguf"), gguf(1000, "b.gguf")
    both = ModelFolder("o/n", {**one.files, **other.files}, ggufs={**one.ggufs, **other.ggufs})
    assert exercised(both).gguf_file == "b.gguf"


def test_sizes_are_counted_from_the_headers() -> None:
    chosen = exercised(folder(llama()))
    assert (chosen.float_elements, chosen.stored_bytes, chosen.stored_dtype) == (34, 200, "bfloat16")
    assert chosen.other_bytes == 200 - 72


def test_shards_are_those_that_the_index_names() -> None:
    tensors = (Tensor("a", "F16", (4,), 8),)
    shards = {f"model-0000{n}-of-00002.safetensors": tensors for n in (1, 2)}
    index = {"weight_map": {f"a{n}": name for n, name in enumerate(shards)}}
    here = ModelFolder(
        "o/n",
        {
            **dict.fromkeys(shards, 100),
            **dict.fromkeys(["consolidated.safetensors", "config.json", "model.safetensors.index.json"], 900),
            "tokenizer.json": 10,
        },
        {"config.json": llama(), "model.safetensors.index.json": index},
        {**shards, "consolidated.safetensors": tensors},
    )
    assert exercised(here).stored_bytes == 200


def test_pickles_are_taken_only_where_there_is_nothing_else() -> None:
    pickled = folder(llama(dtype="float16"), safetensors={}, files={"pytorch_model.bin": 1000})
    chosen = exercised(pickled)
    assert (chosen.weights, chosen.float_elements) == ("pickle", 500)
    assert exercised(folder(llama(), files={"pytorch_model.bin": 1000})).weights == "safetensors"


@pytest.mark.parametrize(
    ("name", "instruct"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", True),
        ("google/gemma-3-1b-it", True),
        ("meta-llama/Llama-2-7b-chat-hf", True),
        ("Qwen/Qwen2.5-0.5B", False),
        ("bert/editor-small", False),
        ("gpt2", False),
    ],
)
def test_the_name_says_whether_it_is_to_be_talked_to(name: str, instruct: bool) -> None:
    assert exercised(folder(llama(), name=name)).instruct_name is instruct


def test_a_translator_is_not_judged_by_its_english() -> None:
    config = {"architectures": ["MarianMTModel"], "model_type": "marian"}
    assert exercised(folder(config)).loss_excuse is not None


def test_the_tables_of_the_installed_transformers_are_read_without_importing_it() -> None:
    spec = find_spec("transformers")
    assert spec is not None
    assert spec.origin is not None
    known = read_tables(Path(spec.origin).parent)
    assert {"llama", "qwen3", "bert", "t5", "gpt-sw3"} <= known.model_types
    assert known.class_for("CAUSAL_LM", "qwen3") == "Qwen3ForCausalLM"
    assert known.in_table("MULTIMODAL_LM", "LlavaForConditionalGeneration")
    assert {"awq", "gptq", "fp8"} <= known.quantisations


def test_tables_that_are_not_where_they_are_looked_for_are_empty(tmp_path: Path) -> None:
    assert read_tables(tmp_path) == Tables()


def test_a_gguf_file_may_have_the_configuration_of_the_model_it_was_made_of_beside_it() -> None:
    alone = gguf(1000)
    beside = replace(alone, files={**alone.files, "config.json": 10}, documents={"config.json": llama()})
    assert exercised(beside) == exercised(alone)


PICKLED: dict[str, Any] = {"files": {"pytorch_model.bin": 200}, "safetensors": {}}


def test_a_pickle_that_names_only_weights_is_loaded_where_there_is_nothing_else() -> None:
    here = folder(llama(), **PICKLED, pickle_scans={"pytorch_model.bin": PickleScan()})
    assert exercised(here).weights == "pickle"


@pytest.mark.parametrize("beside", ["2_Dense/model.safetensors", "adapter_model.safetensors"])
def test_safetensors_that_are_not_the_models_own_make_no_pickle_safe(beside: str) -> None:
    files = {"pytorch_model.bin": 200, beside: 100}
    here = folder(llama(), files=files, safetensors={beside: WEIGHTS["model.safetensors"]})
    assert exercised(replace(here, pickle_scans={"pytorch_model.bin": PickleScan()})).weights == "pickle"
    foreign = {"pytorch_model.bin": PickleScan(("os.system",))}
    assert refused(replace(here, pickle_scans=foreign)).check == "unsafe-pickle"


def test_a_pickle_that_names_anything_else_is_refused_by_that_name() -> None:
    here = folder(llama(), **PICKLED, pickle_scans={"pytorch_model.bin": PickleScan(("os.system", "eval"))})
    why = refused(here)
    assert (why.check, why.evidence) == ("unsafe-pickle", {"file": "pytorch_model.bin", "names": "os.system, eval"})
    assert "`os.system`" in why.reason


def test_a_bare_pickle_is_refused() -> None:
    here = folder(llama(), **PICKLED, pickle_scans={"pytorch_model.bin": PickleScan(bare=True)})
    assert refused(here).check == "bare-pickle"


def test_a_pickle_beside_safetensors_is_loaded_by_nobody_and_refuses_nothing() -> None:
    scans = {"pytorch_model.bin": PickleScan(("os.system",))}
    assert exercised(folder(llama(), pickle_scans=scans)).weights == "safetensors"
