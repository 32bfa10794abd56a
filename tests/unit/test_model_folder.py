"""What a model's folder holds is read without running anything, and every broken file is named in one run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from modelfetch.errors import NotFoundError
from modelfetch.model.folder import read_folder
from tests.conftest import safetensors_bytes
from tests.unit.test_model_headers import gguf


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes({"a": b"12345678"}))
    return tmp_path


def broken(folder: Path) -> dict[str, str]:
    return {each.path: each.problem for each in read_folder(folder, "owner/name").broken}


def test_a_sound_folder_has_nothing_broken_in_it(folder: Path) -> None:
    read = read_folder(folder, "owner/name")
    assert read.broken == ()
    assert read.config == {"model_type": "llama"}
    assert [tensor.name for tensor in read.safetensors["model.safetensors"]] == ["a"]


def test_every_broken_file_is_named_at_once(folder: Path) -> None:
    (folder / "config.json").write_text("<html>not found</html>")
    (folder / "generation_config.json").write_text("{")
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (folder / "pytorch_model.bin").write_bytes(b"not a pickle")
    (folder / "model-Q4_0.gguf").write_bytes(b"")
    (folder / "tokenizer_config.json").symlink_to("nowhere")
    found = broken(folder)
    assert set(found) == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "pytorch_model.bin",
        "model-Q4_0.gguf",
        "tokenizer_config.json",
    }
    assert "HTML" in found["config.json"]
    assert "Git LFS pointer" in found["model.safetensors"]
    assert "nowhere" in found["tokenizer_config.json"]


def test_a_shard_that_the_index_names_must_be_there_with_its_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    weight_map = {"a": "model-00001-of-00002.safetensors", "b": "model-00001-of-00002.safetensors"}
    weight_map["c"] = "model-00002-of-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    found = broken(folder)
    assert found["model-00002-of-00002.safetensors"].startswith("missing, with 1 weights")
    assert "`b`" in found["model-00001-of-00002.safetensors"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (gguf(name="blk.29.attn_q.weight"), None),
        (gguf(name="blk.30.attn_q.weight"), "counts 30 blocks, and it has weights of block 30"),
        (gguf(end=2), "ends a text with token 2, and has 2 of them"),
    ],
)
def test_a_gguf_file_has_no_more_than_its_metadata_counts(content: bytes, problem: str | None, folder: Path) -> None:
    (folder / "model.gguf").write_bytes(content)
    assert broken(folder) == ({} if problem is None else {"model.gguf": f"its metadata {problem}"})


def test_a_module_that_modules_json_names_must_have_its_configuration(folder: Path) -> None:
    pooling = {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    normalize = {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
    (folder / "modules.json").write_text(json.dumps([{"path": "", "type": "…Transformer"}, pooling, normalize]))
    assert list(broken(folder)) == ["1_Pooling/config.json"]
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text("{}")
    assert broken(folder) == {}


@pytest.mark.parametrize("text", ['{"model": {"vocab": {"a": 1, "b', "", "<html>not found</html>"])
def test_a_tokenizer_that_does_not_end_is_cut_short(folder: Path, text: str) -> None:
    (folder / "tokenizer.json").write_text('{"model": {}}\n')
    assert broken(folder) == {}
    (folder / "tokenizer.json").write_text(text)
    assert list(broken(folder)) == ["tokenizer.json"]


def test_a_bin_file_that_transformers_does_not_load_is_not_judged(folder: Path) -> None:
    (folder / "openvino_model.bin").write_bytes(bytes(64))
    assert broken(folder) == {}


def test_links_into_a_store_are_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("blobs") / "abcd"
    (folder / "model.safetensors").rename(elsewhere)
    (folder / "model.safetensors").symlink_to(elsewhere)
    assert broken(folder) == {}
    assert read_folder(folder, "owner/name").files["model.safetensors"] == elsewhere.stat().st_size


def test_code_is_listed_with_its_digest_and_not_run(folder: Path) -> None:
    source = b"raise SystemExit('this must not run')\n"
    (folder / "modeling_own.py").write_bytes(source)
    (code,) = read_folder(folder, "owner/name").code
    assert (code.path, code.size, code.sha256) == ("modeling_own.py", len(source), hashlib.sha256(source).hexdigest())


def test_state_that_is_ours_or_gits_is_no_part_of_the_model(folder: Path) -> None:
    for name in (".git", ".modelfetch", ".cache"):
        (folder / name).mkdir()
        (folder / name / "half.safetensors").write_bytes(b"half")
    assert set(read_folder(folder, "owner/name").files) == {"config.json", "model.safetensors"}


def test_a_folder_that_is_not_there_or_empty_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder"):
        read_folder(tmp_path / "none", "owner/name")
    with pytest.raises(NotFoundError, match="is empty"):
        read_folder(tmp_path, "owner/name")
