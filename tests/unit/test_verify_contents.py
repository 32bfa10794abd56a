"""What has the right bytes is opened: headers, indexes, JSON, pickles."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.store import Store
from modelfetch.verify import Finding, Problem, Severity, verify
from modelfetch.verify.contents import safetensors_problem
from tests.conftest import safetensors_bytes
from tests.stored import bring, manifest_of

SHARD = safetensors_bytes({"a": b"1234", "b": b"56"})
INDEX = {"metadata": {}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}


def findings_of(tmp_path: Path, files: dict[str, bytes], left_out: dict[str, bytes] | None = None) -> list[Finding]:
    store = Store.open(tmp_path / "home")
    bring(store, files, manifest_of({**files, **(left_out or {})}))
    report = verify(store)
    assert report.ok is not any(finding.severity is Severity.ERROR for finding in report.findings)
    return list(report.findings)


def as_safetensors(header: Any, data: bytes = b"") -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def test_a_whole_model_has_no_findings(tmp_path: Path) -> None:
    files = {
        "config.json": b"{}",
        "model-1.safetensors": SHARD,
        "model-2.safetensors": SHARD,
        "model.safetensors.index.json": json.dumps(INDEX).encode(),
        "data/lines.json": b'{"a": 1}\n{"a": 2}\n',
    }
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
    findings = findings_of(tmp_path, {"model.safetensors": content})
    assert [(finding.problem, finding.severity) for finding in findings] == [(Problem.BAD_SAFETENSORS, Severity.ERROR)]


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_every_safetensors_file_that_is_right_passes(tensors: list[bytes]) -> None:
    content = safetensors_bytes({str(number): data for number, data in enumerate(tensors)})
    declared = struct.unpack("<Q", content[:8])[0]
    assert safetensors_problem(content[8 : 8 + declared], declared, len(content)) is None
    assert safetensors_problem(content[8 : 8 + declared], declared, len(content) + 1) is not None


def test_a_shard_that_the_repository_does_not_have_is_an_error(tmp_path: Path) -> None:
    files = {"model-1.safetensors": SHARD, "model.safetensors.index.json": json.dumps(INDEX).encode()}
    findings = findings_of(tmp_path, files)
    assert [(finding.problem, finding.got) for finding in findings] == [
        (Problem.MISSING_SHARD, "`model-2.safetensors` is not in the repository")
    ]


def test_a_shard_that_was_left_out_is_told(tmp_path: Path) -> None:
    files = {"model-1.safetensors": SHARD, "model.safetensors.index.json": json.dumps(INDEX).encode()}
    findings = findings_of(tmp_path, files, left_out={"model-2.safetensors": SHARD})
    assert [(finding.problem, finding.severity) for finding in findings] == [(Problem.LEFT_OUT, Severity.INFO)]


def test_the_shards_of_an_index_in_a_folder_are_in_that_folder(tmp_path: Path) -> None:
    files = {
        "unet/model.safetensors.index.json": json.dumps(INDEX).encode(),
        "unet/model-1.safetensors": SHARD,
        "unet/model-2.safetensors": SHARD,
    }
    assert findings_of(tmp_path, files) == []


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"weight_map": []}', b'{"weight_map": {"a": 1}}'])
def test_an_index_that_is_none_is_an_error(tmp_path: Path, content: bytes) -> None:
    findings = findings_of(tmp_path, {"model.safetensors.index.json": content})
    assert [(finding.problem, finding.severity) for finding in findings] == [(Problem.BAD_JSON, Severity.ERROR)]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_json_that_does_not_parse_is_a_warning(tmp_path: Path, content: bytes) -> None:
    findings = findings_of(tmp_path, {"tokenizer_config.json": content})
    assert [(finding.problem, finding.severity) for finding in findings] == [(Problem.BAD_JSON, Severity.WARNING)]


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
    findings = findings_of(tmp_path, {path: content})
    assert [(finding.problem, finding.severity) for finding in findings] == [(Problem.PICKLE, Severity.INFO)] * named
