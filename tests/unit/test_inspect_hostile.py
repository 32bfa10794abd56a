"""Files of a stranger: whatever they hold, there is a report and no traceback, and the terminal gets no command."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelfetch.cli import run
from modelfetch.cli._inspect_report import render
from modelfetch.inspection import Subject
from modelfetch.inspection.inspection import read_inspection
from modelfetch.inspection.reading import MAX_TEMPLATE_BYTES
from tests.conftest import safetensors_bytes

# Names that the reports look for, so that wrong values stand where right ones are wanted.
_KEYS = st.sampled_from(
    [
        "architectures", "model_type", "auto_map", "text_config", "num_hidden_layers", "hidden_size", "layer_types",
        "num_attention_heads", "max_position_embeddings", "rope_scaling", "sliding_window", "kv_lora_rank",
        "quantization_config", "quant_method", "bits", "eos_token_id", "bos_token", "eos_token", "chat_template",
        "added_tokens_decoder", "added_tokens", "id", "content", "special", "model", "vocab", "type", "max_seq_length",
        "tie_word_embeddings", "vision_config", "base_model_name_or_path", "temperature", "weight_map", "0", "2",
    ]
)  # fmt: skip
_LEAVES = st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats() | st.text(max_size=20) | _KEYS
_JSON = st.recursive(
    _LEAVES, lambda below: st.lists(below, max_size=4) | st.dictionaries(_KEYS, below, max_size=6), max_leaves=25
)
_FILES = st.dictionaries(
    st.sampled_from(
        [
            "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.json",
            "special_tokens_map.json", "sentence_bert_config.json", "modules.json", "adapter_config.json",
        ]
    ),
    st.dictionaries(_KEYS, _JSON, max_size=10) | _JSON,
    min_size=1,
)  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_FILES, st.text(max_size=60))
def test_documents_of_any_shape_make_a_report(files: dict[str, Any], card: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        for file, document in files.items():
            Path(name, file).write_text(json.dumps(document), encoding="utf-8")
        Path(name, "README.md").write_text(f"---\n{card}\n---\n", encoding="utf-8", errors="replace")
        Path(name, "model.safetensors").write_bytes(safetensors_bytes({"a.weight": b"12", "b.0.c": b"3"}))
        inspection = read_inspection(Subject("owner/name", name))
        assert render(inspection, 80)
        json.dumps(inspection.to_json(), allow_nan=False)


def test_what_a_terminal_would_act_on_is_written_out(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\u202e"
    config = {"architectures": [f"{evil}ForCausalLM"], "auto_map": {"AutoModel": evil}, "model_type": evil}
    tokens = {
        "added_tokens": [{"id": 1, "content": evil, "special": True}],
        "model": {"type": evil, "vocab": {evil: 1}},
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokens), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": evil}), encoding="utf-8")
    (tmp_path / "generation_config.json").write_text(json.dumps({evil: evil}), encoding="utf-8")
    (tmp_path / "README.md").write_text('---\nlicense: "\\e[31m"\n---\n', encoding="utf-8")
    (tmp_path / f"{evil}.py").write_text("", encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes({f"{evil}.weight": b"1"}))
    text = render(read_inspection(Subject(evil, str(tmp_path))), 80)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b]0;owned\\x07\\u{202e}" in text


def test_a_document_has_what_could_not_be_printed_as_escapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b\x9b31m\u202e\ud83d 你"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": evil}), encoding="utf-8")
    assert run(["inspect", str(tmp_path), "--json"]) == 0
    printed = capsys.readouterr().out
    assert not set("\x1b\x9b\u202e\ud83d") & set(printed)
    assert "你" in printed
    assert json.loads(printed)["purpose"]["model_type"] == evil


@pytest.mark.parametrize("name", ["tokenizer.json", "special_tokens_map.json", "config.json"])
@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe", b"<!DOCTYPE html>", b"", b"{", b'{"a": 1e999}'])
def test_a_document_that_is_none_is_a_problem_and_no_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    inspection = read_inspection(Subject("owner/name", str(tmp_path)))
    assert [problem.path for problem in inspection.problems] in ([name], [])
    assert render(inspection, 80)


def test_yaml_that_refers_to_itself_a_million_times_is_read_without_harm(tmp_path: Path) -> None:
    bomb = "\n".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9)}]" if n else "k0: &k0 [x]" for n in range(30))
    (tmp_path / "README.md").write_text(f"---\nlicense: mit\n{bomb}\n---\n", encoding="utf-8")
    assert read_inspection(Subject("owner/name", str(tmp_path))).card.licence == "mit"


def test_a_template_without_end_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"x" * (MAX_TEMPLATE_BYTES + 1))
    inspection = read_inspection(Subject("owner/name", str(tmp_path)))
    assert inspection.templates == ()
    assert [problem.path for problem in inspection.problems] == ["chat_template.jinja"]


def test_a_link_that_leads_nowhere_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").symlink_to(tmp_path / "gone")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert [each.path for each in read_inspection(Subject("a/b", str(tmp_path))).problems] == ["tokenizer.json"]
