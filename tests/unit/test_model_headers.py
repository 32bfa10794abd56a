"""A weight file is known by its header: whole, cut short, or something else."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.model.gguf import read_gguf
from modelfetch.model.headers import BrokenHeader, Tensor, read_safetensors

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a2146" * 8 + b"\nsize 269060552\n"


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors(header: object, data: bytes) -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


WHOLE = {"__metadata__": {"format": "pt"}, "b": entry("BF16", [2, 3], 8, 20), "a": entry("F32", [2], 0, 8)}


def test_tensors_are_read_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(WHOLE, bytes(20)))
    assert read_safetensors(path) == (Tensor("a", "F32", (2,), 8), Tensor("b", "BF16", (2, 3), 12))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (POINTER, "Git LFS pointer"),
        (b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", "page of HTML"),
        (b"\n\n  <html>", "page of HTML"),
        (bytes(5000), "begins with zeros"),
        (safetensors(WHOLE, bytes(19)), "cut short: 19 bytes of data, 20 expected"),
        (safetensors(WHOLE, bytes(21)), "too long"),
        (safetensors(WHOLE, bytes(20))[:60], "its header claims"),
        (struct.pack("<Q", 1 << 62) + b"{}", "its header claims"),
        (struct.pack("<Q", 0) + b"{}x", "its header claims"),
        (safetensors(b"{not json}", b""), "not JSON"),
        (safetensors([], b""), "not a JSON object"),
        (safetensors(b"[" * 50_000, b""), "not JSON"),
        (safetensors({"a": 3}, b""), "not described"),
        (safetensors({"a": entry("F32", [2], 0, 4)}, bytes(4)), "its shape needs 8"),
        (safetensors({"a": entry("F32", [-2], 0, 8)}, bytes(8)), "impossible shape"),
        (safetensors({"a": entry("F32", [1] * 65, 0, 4)}, bytes(4)), "impossible shape"),
        (safetensors({"a": entry("F32", [1 << 63], 0, 4)}, bytes(4)), "impossible shape"),
        (safetensors({"a": entry("F32", "1", 0, 4)}, bytes(4)), "impossible shape"),  # type: ignore[arg-type] # wrong
        (safetensors({"a": entry("F32", [True], 0, 4)}, bytes(4)), "impossible shape"),
        (safetensors(b'{"a": {}, "a": {}}', b""), "twice"),
        (safetensors({"__metadata__": {"format": 1}}, b""), "not a table of texts"),
        (safetensors({"__metadata__": ["a"]}, b""), "not a table of texts"),
        (safetensors(json.dumps({}).encode("utf-16"), b""), "not JSON"),
        (safetensors({"a": entry("F32", [2], 4, 12)}, bytes(12)), "begins at byte 4"),
        (safetensors({"a": entry("F32", [2], 8, 0)}, bytes(8)), "impossible shape"),
        (safetensors({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 2, 6)}, bytes(6)), "begins at byte 2"),
    ],
)
def test_what_is_no_whole_safetensors_file_is_refused_with_the_reason(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(BrokenHeader, match=reason):
        read_safetensors(path)


def test_a_type_that_is_unknown_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors({"a": entry("F2_NEW", [16], 0, 4)}, bytes(4)))
    assert read_safetensors(path)[0].dtype == "F2_NEW"


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(
    *, tensors: int = 1, version: int = 3, kind: int = 2, data: int = 64, name: str = "token_embd.weight", end: int = 1
) -> bytes:
    """One Q4_0 tensor of 64 elements, 36 bytes, after a few values of metadata."""
    values = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("llama.block_count") + struct.pack("<II", 4, 30),
        text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("bc"),
        text("tokenizer.ggml.eos_token_id") + struct.pack("<II", 4, end),
        text("tokenizer.ggml.padding_token_id") + struct.pack("<II", 4, 2),
        text("tokenizer.ggml.scores") + struct.pack("<IIQ", 9, 6, 2) + struct.pack("<ff", 0.5, 1.5),
    ]
    described = text(name) + struct.pack("<IQQIQ", 2, 32, 2, kind, 0)
    header = b"GGUF" + struct.pack("<IQQ", version, tensors, len(values)) + b"".join(values) + described
    return header + bytes(-len(header) % 32) + bytes(data)


def test_a_gguf_header_names_its_architecture_and_its_tensors(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf())
    header = read_gguf(path)
    assert header.architecture == "llama"
    assert header.metadata["llama.block_count"] == 30
    assert header.tensors == (Tensor("token_embd.weight", "Q4_0", (32, 2), 36),)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (POINTER, "Git LFS pointer"),
        (b"GGML" + bytes(100), "does not begin with the letters GGUF"),
        (gguf(version=1), "GGUF version 1"),
        (gguf(tensors=1 << 40), "claims 1099511627776 tensors"),
        (gguf(data=30), "cut short"),
        (gguf()[:70], "cut short or garbled"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 60), "bytes in one string"),
    ],
)
def test_what_is_no_whole_gguf_file_is_refused_with_the_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(BrokenHeader, match=reason):
        read_gguf(path)


def test_a_gguf_header_is_read_to_its_longest_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    large = struct.pack("<Q", 32 << 20)
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 100))
        for _ in range(6):
            file.write(text("a") + struct.pack("<I", 8) + large)
            file.seek(32 << 20, 1)
        file.write(b"\0")
    with pytest.raises(BrokenHeader, match="longer than"):
        read_gguf(path)


def test_a_quantisation_that_is_unknown_is_no_fault_of_a_gguf_file(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf(kind=99, data=0))
    assert read_gguf(path).tensors[0].dtype == "type 99"


@pytest.mark.parametrize("read", [read_safetensors, read_gguf])
@given(data=st.data())
def test_a_damaged_header_is_refused_or_read_but_never_ends_in_another_error(
    read: Callable[[Path], object], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = bytearray(gguf() if read is read_gguf else safetensors(WHOLE, bytes(20)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "model"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with suppress(BrokenHeader):
        read(path)
