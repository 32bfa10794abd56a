"""What has the right bytes is opened: headers, indexes, JSON, pickles, and what weights need beside them."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from modelfetch.store import Store
from modelfetch.verification import Finding, Problem, Severity, documents, verify
from modelfetch.verification.companions import lacks
from modelfetch.verification.contents import check_contents
from tests.conftest import safetensors_bytes
from tests.stored import bring, manifest_of

SHARD = safetensors_bytes({"a": b"1234"})
SECOND = safetensors_bytes({"b": b"56"})
INDEX = json.dumps({"metadata": {}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()
SHARDED = {"config.json": b"{}", "model-1.safetensors": SHARD, "model-2.safetensors": SECOND}
INDEX_PATH = "model.safetensors.index.json"


def findings_of(tmp_path: Path, files: dict[str, bytes], left_out: dict[str, bytes] | None = None) -> list[Finding]:
    store = Store.open(tmp_path / "home")
    bring(store, files, manifest_of({**files, **(left_out or {})}))
    report = verify(store)
    assert report.ok is not any(finding.severity is Severity.ERROR for finding in report.findings)
    return list(report.findings)


def as_safetensors(header: Any, data: bytes = b"") -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def seen(findings: list[Finding]) -> list[tuple[str, Problem, Severity]]:
    return [(finding.path, finding.problem, finding.severity) for finding in findings]


def test_a_whole_model_has_no_findings(tmp_path: Path) -> None:
    files = {**SHARDED, INDEX_PATH: INDEX, "data/lines.json": b'{"a": 1}\n{"a": 2}\n', "notes.json": b"[NaN, Infinity]"}
    assert findings_of(tmp_path, files) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        b"\xff" * 64,
        SHARD + b"x",
        SHARD[:-1],
        as_safetensors(b"{"),
        as_safetensors([]),
        as_safetensors({"a": {"dtype": "U8"}}),
        as_safetensors({"a": {"data_offsets": [0]}}, b"x"),
        as_safetensors({"a": {"data_offsets": ["0", "1"]}}, b"x"),
        as_safetensors({"a": {"data_offsets": [1, 2]}}, b"xx"),
        as_safetensors({"a": {"data_offsets": [0, 2]}, "b": {"data_offsets": [1, 3]}}, b"xxx"),
        as_safetensors({"a": {"data_offsets": [0, -1]}}),
    ],
)
def test_a_safetensors_file_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes) -> None:
    findings = findings_of(tmp_path, {"config.json": b"{}", "model.safetensors": content})
    assert seen(findings) == [("model.safetensors", Problem.BAD_SAFETENSORS, Severity.ERROR)]


@pytest.mark.parametrize(
    "content",
    [b"", b"GGML" + bytes(64), b"GGUF", b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 0), b"<!DOCTYPE html><html>"],
)
def test_a_gguf_file_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes) -> None:
    findings = findings_of(tmp_path, {"model.gguf": content})
    assert seen(findings) == [("model.gguf", Problem.BAD_GGUF, Severity.ERROR)]


def test_a_gguf_file_that_is_right_passes(tmp_path: Path) -> None:
    assert findings_of(tmp_path, {"model.gguf": b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(8)}) == []


GGUF = b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(8)


class TestGgufInParts:
    def part(self, number: int, count: int = 3) -> str:
        return f"Q4/model-{number:05}-of-{count:05}.gguf"

    def test_parts_that_are_all_there_are_no_finding(self, tmp_path: Path) -> None:
        assert findings_of(tmp_path, {self.part(number): GGUF for number in (1, 2, 3)}) == []

    def test_a_part_that_is_missing_is_said_once(self, tmp_path: Path) -> None:
        (finding,) = findings_of(tmp_path, {self.part(2): GGUF, self.part(3): GGUF})
        assert (finding.path, finding.problem, finding.severity) == (
            self.part(2),
            Problem.MISSING_SHARD,
            Severity.ERROR,
        )
        assert finding.got == f"`{self.part(1)}` is not in the repository"

    def test_a_part_that_was_left_out_is_told(self, tmp_path: Path) -> None:
        files = {self.part(1): GGUF, self.part(2): GGUF}
        (finding,) = findings_of(tmp_path, files, left_out={self.part(3): GGUF})
        assert (finding.problem, finding.severity) == (Problem.LEFT_OUT, Severity.WARNING)

    @pytest.mark.parametrize(("number", "count"), [(4, 3), (0, 3), (1, 99_999)])
    def test_a_name_that_makes_no_sense_is_no_part(self, tmp_path: Path, number: int, count: int) -> None:
        assert findings_of(tmp_path, {self.part(number, count): GGUF}) == []


def test_one_broken_file_does_not_hide_another(tmp_path: Path) -> None:
    files = {"config.json": b"{", "model.safetensors": b"", "b.gguf": b"", INDEX_PATH: b"[]"}
    assert seen(findings_of(tmp_path, files)) == [
        ("b.gguf", Problem.BAD_GGUF, Severity.ERROR),
        ("model.safetensors", Problem.BAD_SAFETENSORS, Severity.ERROR),
        (INDEX_PATH, Problem.BAD_JSON, Severity.ERROR),
        ("config.json", Problem.BAD_JSON, Severity.WARNING),
    ]


class TestIndex:
    def test_a_shard_that_the_repository_does_not_have_is_an_error(self, tmp_path: Path) -> None:
        files = {"config.json": b"{}", "model-1.safetensors": SHARD, INDEX_PATH: INDEX}
        (finding,) = findings_of(tmp_path, files)
        assert (finding.problem, finding.severity) == (Problem.MISSING_SHARD, Severity.ERROR)
        assert finding.got == "`model-2.safetensors` is not in the repository"

    def test_it_is_none_where_a_loader_takes_a_single_file_before_the_index(self, tmp_path: Path) -> None:
        files = {"config.json": b"{}", "model.safetensors": SHARD, INDEX_PATH: INDEX}
        findings = findings_of(tmp_path, files)
        assert {finding.severity for finding in findings} == {Severity.WARNING}
        assert [finding.problem for finding in findings] == [Problem.MISSING_SHARD, Problem.MISSING_SHARD]

    def test_a_shard_that_was_left_out_is_told_and_no_damage(self, tmp_path: Path) -> None:
        files = {"config.json": b"{}", "model-1.safetensors": SHARD, INDEX_PATH: INDEX}
        (finding,) = findings_of(tmp_path, files, left_out={"model-2.safetensors": SECOND})
        assert (finding.problem, finding.severity) == (Problem.LEFT_OUT, Severity.WARNING)
        assert finding.got == "`model-2.safetensors` was not pulled: the model cannot be loaded without it"

    def test_a_shard_that_nobody_has_told_of_is_none_that_is_lost(self, tmp_path: Path) -> None:
        store = Store.open(tmp_path / "home")
        files = {"config.json": b"{}", "model-1.safetensors": SHARD, INDEX_PATH: INDEX}
        snapshot = bring(store, files)
        (finding,) = check_contents(replace(snapshot, whole_listing=False), snapshot.entries)
        assert (finding.problem, finding.severity) == (Problem.LEFT_OUT, Severity.WARNING)
        assert finding.got == "`model-2.safetensors` is not here: the model cannot be loaded without it"

    def test_the_shards_of_an_index_in_a_folder_are_in_that_folder(self, tmp_path: Path) -> None:
        files = {f"unet/{path}": content for path, content in SHARDED.items()}
        assert findings_of(tmp_path, {**files, f"unet/{INDEX_PATH}": INDEX}) == []

    def test_a_tensor_that_is_not_in_the_shard_it_was_placed_in_is_an_error(self, tmp_path: Path) -> None:
        weight_map = {"a": "model-1.safetensors", "b": "model-1.safetensors", "c": "model-1.safetensors"}
        index = json.dumps({"weight_map": weight_map}).encode()
        (finding,) = findings_of(tmp_path, {"config.json": b"{}", "model-1.safetensors": SHARD, INDEX_PATH: index})
        assert (finding.problem, finding.severity) == (Problem.WRONG_INDEX, Severity.ERROR)
        assert finding.got == "`model-1.safetensors` has not `b` and 1 more tensors, which it places there"

    def test_a_tensor_that_no_map_names_is_told(self, tmp_path: Path) -> None:
        shard = safetensors_bytes({"a": b"1", "x": b"2"})
        (finding,) = findings_of(tmp_path, {**SHARDED, "model-1.safetensors": shard, INDEX_PATH: INDEX})
        assert (finding.problem, finding.severity) == (Problem.WRONG_INDEX, Severity.WARNING)
        assert finding.got == "it does not name `x` of `model-1.safetensors`: a loader leaves that out"

    def test_a_shard_that_no_map_names_is_told(self, tmp_path: Path) -> None:
        stray = "model-00003-of-00003.safetensors"
        files = {**SHARDED, stray: safetensors_bytes({"c": b"7"}), "other.safetensors": safetensors_bytes({"d": b"8"})}
        (finding,) = findings_of(tmp_path, {**files, INDEX_PATH: INDEX})
        assert (finding.problem, finding.severity) == (Problem.WRONG_INDEX, Severity.WARNING)
        assert finding.got == f"it does not name `c` of `{stray}`: a loader leaves that out"

    def test_a_shard_that_cannot_be_opened_is_one_finding(self, tmp_path: Path) -> None:
        findings = findings_of(tmp_path, {**SHARDED, "model-1.safetensors": b"", INDEX_PATH: INDEX})
        assert seen(findings) == [("model-1.safetensors", Problem.BAD_SAFETENSORS, Severity.ERROR)]

    def test_a_shard_that_is_damaged_on_the_disk_is_one_finding(self, tmp_path: Path) -> None:
        store = Store.open(tmp_path / "home")
        snapshot = bring(store, {**SHARDED, INDEX_PATH: INDEX})
        blob = snapshot.file("model-1.safetensors").resolve()
        blob.unlink()
        blob.write_bytes(bytes(len(SHARD)))
        findings = verify(store, deep=True).findings
        assert seen(list(findings)) == [("model-1.safetensors", Problem.CHANGED, Severity.ERROR)]

    def test_the_shards_of_pickled_weights_are_looked_for(self, tmp_path: Path) -> None:
        index = json.dumps({"weight_map": {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}}).encode()
        files = {"config.json": b"{}", "pytorch_model-1.bin": b"x", "pytorch_model.bin.index.json": index}
        (finding,) = findings_of(tmp_path, files)
        assert (finding.problem, finding.got) == (
            Problem.MISSING_SHARD,
            "`pytorch_model-2.bin` is not in the repository",
        )

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"[]",
            b"{}",
            b'{"weight_map": []}',
            b'{"weight_map": {"a": 1}}',
            b'{"weight_map": null}',
            b"[" * 100_000,
        ],
    )
    def test_an_index_that_is_none_is_an_error(self, tmp_path: Path, content: bytes) -> None:
        findings = findings_of(tmp_path, {INDEX_PATH: content})
        assert seen(findings) == [(INDEX_PATH, Problem.BAD_JSON, Severity.ERROR)]

    @pytest.mark.parametrize("shard", ["../../etc/passwd", "/etc/passwd", "\x1b[31m", "x" * 5000])
    def test_a_shard_with_a_hostile_name_is_only_quoted(self, tmp_path: Path, shard: str) -> None:
        (finding,) = findings_of(tmp_path, {INDEX_PATH: json.dumps({"weight_map": {"a": shard}}).encode()})
        assert finding.problem is Problem.MISSING_SHARD
        assert finding.got is not None
        assert finding.got.isprintable()
        assert len(finding.got) < 400


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not parse"),
        (b"{", "does not parse"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        ('{"ä": 1}'.encode("latin-1"), "not UTF-8 at byte 2"),
        ("{}".encode("utf-8-sig"), "byte order mark"),
        (b"[" * 100_000, "does not parse"),
        (b"1" * 5000, "does not parse"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "`c` stands twice"),
    ],
)
@pytest.mark.parametrize("path", ["tokenizer_config.json", "unet/config.json"])
def test_json_that_a_loader_would_not_take_is_a_warning(tmp_path: Path, content: bytes, reason: str, path: str) -> None:
    (finding,) = findings_of(tmp_path, {path: content})
    assert (finding.path, finding.problem, finding.severity) == (path, Problem.BAD_JSON, Severity.WARNING)
    assert reason in str(finding.got)


def test_json_is_not_built_larger_than_a_loaders_could_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_MOST_CONTAINERS", 100)
    (finding,) = findings_of(tmp_path, {"tokenizer.json": b"[" + b"[]," * 200 + b"1]"})
    assert "larger than any loader's" in str(finding.got)


def zipped() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("path", "content", "named"),
    [
        ("pytorch_model.bin", zipped(), True),
        ("old.pt", pickle.dumps({}), True),
        ("weights.bin", b"GGUF....", False),
        ("archive.zip", zipped(), False),
    ],
)
def test_pickled_weights_are_named(tmp_path: Path, path: str, content: bytes, named: bool) -> None:
    findings = findings_of(tmp_path, {"config.json": b"{}", path: content})
    assert seen(findings) == [(path, Problem.PICKLE, Severity.INFO)] * named


LANGUAGE_MODEL = {"architectures": ["LlamaForCausalLM"]}


@pytest.mark.parametrize(
    "tokenizer",
    [
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "tokenizer.model.v3",
        "tekken.json",
        "vocab.json",
        "vocab.txt",
        "spiece.model",
        "sentencepiece.bpe.model",
        "qwen.tiktoken",
        "tokenization_qwen.py",
    ],
)
def test_a_tokenizer_of_any_kind_is_one(tokenizer: str) -> None:
    paths = frozenset({"config.json", "model.safetensors", tokenizer})
    assert list(lacks(paths, paths, LANGUAGE_MODEL)) == []


def test_a_model_of_text_without_a_tokenizer_is_a_warning(tmp_path: Path) -> None:
    files = {"config.json": json.dumps(LANGUAGE_MODEL).encode(), "model.safetensors": SHARD, "README.md": b""}
    findings = findings_of(tmp_path, files)
    assert seen(findings) == [("tokenizer.json", Problem.MISSING_TOKENIZER, Severity.WARNING)]


def test_a_tokenizer_that_was_left_out_is_told(tmp_path: Path) -> None:
    files = {"config.json": json.dumps(LANGUAGE_MODEL).encode()}
    findings = findings_of(tmp_path, files, left_out={"vocab.txt": b"a"})
    assert seen(findings) == [("vocab.txt", Problem.LEFT_OUT, Severity.INFO)]


@pytest.mark.parametrize(
    "config", [None, [], {}, {"architectures": None}, {"architectures": ["BertModel"]}, {"architectures": [7]}]
)
def test_what_writes_no_text_needs_no_tokenizer(config: Any) -> None:
    paths = frozenset({"config.json", "model.safetensors"})
    assert list(lacks(paths, paths, config)) == []


@pytest.mark.parametrize(
    "weights",
    [
        "model.safetensors",
        "model-00001-of-00002.safetensors",
        "model.fp16.safetensors",
        "pytorch_model.bin",
        "unet/diffusion_pytorch_model.safetensors",
    ],
)
def test_weights_without_a_configuration_are_a_warning(weights: str) -> None:
    paths = frozenset({weights, "README.md", "vae/config.json"})
    (lack,) = lacks(paths, paths, None)
    assert (lack.path, lack.problem) == (
        f"{weights.rpartition('/')[0]}/config.json".lstrip("/"),
        Problem.MISSING_CONFIG,
    )
    (lack,) = lacks(paths | {lack.path}, paths, None)
    assert (lack.problem, lack.severity) == (Problem.LEFT_OUT, Severity.INFO)


@pytest.mark.parametrize(
    "paths",
    [
        {"model.gguf"},
        {"adapter_model.safetensors", "adapter_config.json"},
        {"model.safetensors", "adapter_config.json"},
        {"flux1-dev.safetensors"},
        {"model.bin"},
        {"consolidated.safetensors", "params.json"},
        {"openvino_model.bin"},
    ],
)
def test_weights_of_another_kind_need_none(paths: set[str]) -> None:
    assert list(lacks(frozenset(paths), frozenset(paths), None)) == []
