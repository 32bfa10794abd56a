"""What a model's files say of it: kind, training, sizes, memory, context, special tokens, licence, code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelfetch.inspection import Inspection, Subject
from modelfetch.inspection.inspection import read_inspection
from modelfetch.inspection.memory import Held, estimate
from modelfetch.inspection.purpose import Training
from modelfetch.inspection.special import SpecialToken
from modelfetch.model.placement import CPU_OVERHEAD_BYTES, GPU_OVERHEAD_BYTES
from modelfetch.model.sizes import Sizes
from tests.unit.test_model_headers import gguf

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 2048,
    "eos_token_id": 2,
}
TOKENIZER: dict[str, Any] = {
    "added_tokens": [{"id": 2, "content": "<|im_end|>", "special": True}, {"id": 1, "content": "<s>", "special": True}],
    "model": {"type": "BPE", "vocab": {"<s>": 1, "<|im_end|>": 2, "a": 3}},
}
TEMPLATE = "{{ messages[0].content }}<|im_end|>"


def read(folder: Path, name: str = "owner/model", **files: Any) -> Inspection:
    """A folder with these files; what is no text is written as JSON. `__` in a name stands for a dot."""
    for file, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / file.replace("__", ".")).write_text(text, encoding="utf-8")
    return read_inspection(Subject(name, str(folder)))


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "base language model"),
        ({"architectures": ["GPT2LMHeadModel"]}, "base language model"),
        ({"architectures": ["T5ForConditionalGeneration"]}, "encoder-decoder"),
        (
            {"architectures": ["LlavaForConditionalGeneration"], "vision_config": {}},
            "vision-language model",
        ),
        ({"architectures": ["WhisperForConditionalGeneration"]}, "speech recognition"),
        ({"architectures": ["BertForMaskedLM"]}, "masked language model"),
        ({"architectures": ["BertForSequenceClassification"]}, "sequence classifier"),
        ({"architectures": ["ViTForImageClassification"]}, "image classifier"),
        ({"architectures": ["ViTModel"]}, "image encoder"),
        ({"architectures": ["BertModel"]}, "encoder"),
        ({"architectures": ["Strange"]}, "another kind of model"),
        ({"architectures": []}, "another kind of model"),
    ],
)
def test_the_class_names_the_purpose(tmp_path: Path, config: dict[str, Any], what: str) -> None:
    assert read(tmp_path, config__json=config).purpose.what == what


def test_a_chat_template_makes_a_language_model_a_chat_model(tmp_path: Path) -> None:
    assert read(tmp_path, config__json=LLAMA, chat_template__jinja=TEMPLATE).purpose.what == "chat model"


@pytest.mark.parametrize(
    ("name", "files", "training"),
    [
        ("Qwen2.5-7B-Instruct", {}, Training.INSTRUCT),
        ("gemma-3-1b-it", {"chat_template__jinja": TEMPLATE}, Training.INSTRUCT),
        ("SmolLM2-135M", {}, Training.BASE),
        ("Qwen3-0.6B-Base", {"chat_template__jinja": TEMPLATE, "tokenizer__json": TOKENIZER}, Training.BASE),
        ("Qwen3-0.6B", {"chat_template__jinja": TEMPLATE, "tokenizer__json": TOKENIZER}, Training.INSTRUCT),
        ("zephyr", {"chat_template__jinja": "{{ x + eos_token }}", "tokenizer__json": TOKENIZER}, Training.INSTRUCT),
        ("Qwen2.5-0.5B", {"chat_template__jinja": "{{ x }}<|end|>", "tokenizer__json": TOKENIZER}, Training.BASE),
    ],
)
def test_the_signs_of_a_training_are_weighed(
    tmp_path: Path, name: str, files: dict[str, Any], training: Training
) -> None:
    purpose = read(tmp_path, name, config__json=LLAMA, **files).purpose
    assert purpose.training is training
    assert purpose.signs


def test_signs_that_contradict_each_other_conclude_nothing(tmp_path: Path) -> None:
    card = "---\ntags: [conversational]\n---\n"
    files = {"chat_template__jinja": TEMPLATE, "tokenizer__json": TOKENIZER, "README__md": card}
    assert read(tmp_path, "my-base", config__json=LLAMA, **files).purpose.training is None


def test_sizes_and_the_cache_follow_from_the_configuration(tmp_path: Path) -> None:
    inspection = read(tmp_path, config__json=LLAMA)
    assert (inspection.sizes.layers, inspection.sizes.head_dimension, inspection.sizes.key_value_heads) == (2, 8, 2)
    cache = inspection.memory.cache
    assert cache is not None
    assert cache.bytes_per_1000_tokens == 2 * 2 * 2 * 8 * 2 * 1000


@pytest.mark.parametrize(
    ("more", "numbers"),
    [
        ({"head_dim": 16}, 2 * 2 * 2 * 16),
        ({"num_key_value_heads": None}, 2 * 2 * 8 * 8),
        ({"layer_types": ["full_attention", "sliding_attention"]}, 1 * 2 * 2 * 8),
        ({"kv_lora_rank": 512, "qk_rope_head_dim": 64}, 2 * 576),
    ],
)
def test_the_cache_counts_what_is_kept(tmp_path: Path, more: dict[str, Any], numbers: int) -> None:
    cache = read(tmp_path, config__json=LLAMA | more).memory.cache
    assert cache is not None
    assert cache.bytes_per_1000_tokens == numbers * 2 * 1000


@pytest.mark.parametrize(
    ("held", "on_gpu", "on_cpu"),
    [
        (Held(200, 100), 200, 400),
        (Held(60, 100, quantised=True), 60, 60),
        (Held(60, 100, quantised=True, unpacked=True), 200, 400),
        (Held(200, None), 200, 200),
    ],
    ids=["plain", "quantised", "gguf", "pickle"],
)
def test_what_a_run_takes_is_what_smoke_reckons_with(held: Held, on_gpu: int, on_cpu: int) -> None:
    to_run = estimate(held, Sizes(), generates=False).to_run
    assert to_run == {"cuda": on_gpu + GPU_OVERHEAD_BYTES, "cpu": on_cpu + CPU_OVERHEAD_BYTES}


def test_a_model_that_does_not_write_keeps_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, config__json=LLAMA | {"architectures": ["BertModel"]}).memory.cache is None


def test_the_text_part_of_a_larger_model_is_described(tmp_path: Path) -> None:
    config = {"architectures": ["LlavaForConditionalGeneration"], "vision_config": {}, "text_config": LLAMA}
    inspection = read(tmp_path, config__json=config)
    assert inspection.sizes.layers == 2
    assert inspection.context is not None
    assert inspection.context.tokens == 2048


def test_what_else_limits_the_context_is_told(tmp_path: Path) -> None:
    rope = {"rope_type": "yarn", "original_max_position_embeddings": 512}
    inspection = read(
        tmp_path,
        config__json=LLAMA | {"rope_scaling": rope, "sliding_window": 128},
        tokenizer_config__json={"model_max_length": 1024},
        sentence_bert_config__json={"max_seq_length": 256},
    )
    assert inspection.context is not None
    told = " ".join(inspection.context.notes)
    assert all(number in told for number in ("512", "yarn", "1,024", "256", "128"))


def test_no_limit_is_not_told_as_one(tmp_path: Path) -> None:
    inspection = read(tmp_path, config__json=LLAMA, tokenizer_config__json={"model_max_length": 10**30})
    assert inspection.context is not None
    assert inspection.context.notes == ()


def test_special_tokens_have_their_roles_ids_and_pieces(tmp_path: Path) -> None:
    names = {"bos_token": "<s>", "eos_token": {"content": "<|im_end|>"}, "pad_token": "<|im_end|>"}
    tokens = read(tmp_path, config__json=LLAMA, tokenizer__json=TOKENIZER, tokenizer_config__json=names).tokens
    assert tokens.special == (SpecialToken(1, "<s>", ("bos",)), SpecialToken(2, "<|im_end|>", ("eos", "pad")))
    assert (tokens.algorithm, tokens.pieces, tokens.disagreements) == ("BPE", 3, ())


def test_a_unigram_vocabulary_is_numbered_by_its_order(tmp_path: Path) -> None:
    tokenizer = {"model": {"type": "Unigram", "vocab": [["<pad>", 0.0], ["</s>", 0.0]]}}
    names = {"eos_token": "</s>"}
    tokens = read(tmp_path, config__json={}, tokenizer__json=tokenizer, tokenizer_config__json=names).tokens
    assert tokens.special == (SpecialToken(1, "</s>", ("eos",)),)


def test_files_that_do_not_agree_on_the_end_are_named(tmp_path: Path) -> None:
    tokens = read(
        tmp_path,
        config__json=LLAMA | {"eos_token_id": 0},
        generation_config__json={"eos_token_id": [2, 3]},
        tokenizer__json=TOKENIZER,
        tokenizer_config__json={"eos_token": "<|im_end|>", "bos_token": "<gone>"},
    ).tokens
    assert tokens.disagreements == (
        "bos: the tokenizer names `<gone>`, which is not in its vocabulary",
        "eos: the tokenizer has 2 `<|im_end|>`, config.json has 0",
    )


def test_generation_defaults_leave_out_where_they_came_from(tmp_path: Path) -> None:
    document = {"_from_model_config": True, "transformers_version": "5", "temperature": 0.6, "eos_token_id": [1, 2]}
    generation = read(tmp_path, config__json=LLAMA, generation_config__json=document).generation
    assert generation == {"temperature": 0.6, "eos_token_id": [1, 2]}


def test_a_default_that_is_no_number_is_shown_as_a_text(tmp_path: Path) -> None:
    generation = read(tmp_path, config__json=LLAMA, generation_config__json='{"top_p": NaN}').generation
    assert generation == {"top_p": "nan"}


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\nbase_model: a/b\n---\n# A", "apache-2.0"),
        ("---\r\nlicense: other\r\nlicense_name: qwen\r\n---\r\n", "qwen"),
        ("---\nlicense: [mit, gpl-3.0]\n---\n", "mit"),
        ("# no front matter", None),
        ("---\nlicense: {a: b}\n---\n", None),
    ],
)
def test_the_licence_is_the_cards(tmp_path: Path, card: str, licence: str | None) -> None:
    assert read(tmp_path, config__json=LLAMA, README__md=card).card.licence == licence


def test_without_a_card_the_licence_is_the_listings(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    card = read_inspection(Subject("a/b", str(tmp_path), None, "mit")).card
    assert (card.licence, card.source) == ("mit", "the hub's listing")


def test_code_of_the_models_own_is_named_with_its_digest(tmp_path: Path) -> None:
    config = LLAMA | {"auto_map": {"AutoModel": "modeling_x.X"}}
    code = read(tmp_path, config__json=config, modeling_x__py="print()").remote_code
    assert code.classes == {"AutoModel": "modeling_x.X"}
    assert "sha256" in code.files["modeling_x.py"]


def test_a_gguf_names_its_special_tokens_and_its_most_common_type(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(gguf())
    found = read_inspection(Subject("owner/name", str(tmp_path)))
    assert [(each.id, each.piece, each.roles) for each in found.tokens.special] == [
        (1, "bc", ("eos",)),
        (2, None, ("pad",)),
    ]
    assert found.tokens.pieces == 2
    assert found.quantisation == {"method": "gguf", "type": "Q4_0"}


def test_quantisation_is_told_with_its_settings(tmp_path: Path) -> None:
    config = LLAMA | {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128, "dataset": "c4"}}
    assert read(tmp_path, config__json=config).quantisation == {"method": "gptq", "bits": 4, "group_size": 128}


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"chat_template__jinja": "x"}, [("default", "chat_template.jinja")]),
        ({"tokenizer_config__json": {"chat_template": "x"}}, [("default", "tokenizer_config.json")]),
        ({"chat_template__json": {"chat_template": "x"}}, [("default", "chat_template.json")]),
        (
            {"tokenizer_config__json": {"chat_template": [{"name": "rag", "template": "x"}, {"name": 3}, 5]}},
            [("rag", "tokenizer_config.json")],
        ),
    ],
)
def test_a_template_is_found_wherever_it_is_kept(tmp_path: Path, files: Any, names: list[tuple[str, str]]) -> None:
    templates = read(tmp_path, config__json=LLAMA, **files).templates
    assert [(template.name, template.source) for template in templates] == names
