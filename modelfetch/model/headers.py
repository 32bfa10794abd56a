"""What the first bytes of a weight file say: its tensors, or why it is no weight file. Reads headers, never weights.

- A length is believed only within the file and within `MAX_HEADER_BYTES`: no allocation on a hostile number's word.
- A safetensors file is whole when its tensors lie one after another, without gap or overlap, to the file's end.
- A Git LFS pointer and a page of HTML are called by their names: they are what a broken download leaves behind.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The safetensors library itself refuses longer headers.
MAX_HEADER_BYTES = 100_000_000
# NumPy's and torch's own limit. With the next one it also keeps the product of a hostile shape small.
MAX_DIMENSIONS = 64
_TOO_LARGE = 1 << 63
DTYPE_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "I16": 16,
    "U16": 16,
    "I32": 32,
    "U32": 32,
    "I64": 64,
    "U64": 64,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F8_E4M3": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E8M0": 8,
    "F16": 16,
    "BF16": 16,
    "F32": 32,
    "F64": 64,
    "C64": 64,
}
# Types that a loader recasts to the type it runs in. The 8-bit floats are left out: they belong to a quantisation.
RECAST_DTYPES = frozenset({"F16", "BF16", "F32", "F64"})


class BrokenHeader(Exception):
    """The file is not what its name says; the message says what it is instead."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file, as its header describes it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


def what_it_is_instead(start: bytes) -> str | None:
    """Name the usual impostors by their first bytes."""
    if not start:
        return "the file is empty"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer stands in its place: the weights themselves were never fetched"
    if start.lstrip()[:15].lower().startswith((b"<!doctype", b"<html")):
        return "a page of HTML stands in its place: an error page was saved as the file"
    if not start.strip(b"\0"):
        return "the file begins with zeros: its bytes were never written"
    return None


def read_safetensors(path: Path) -> tuple[Tensor, ...]:
    """The tensors of a safetensors file, in the order of their bytes.

    Raises:
        BrokenHeader: the file is cut short, is something else, or its header contradicts itself.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(64)
        if impostor := what_it_is_instead(start):
            raise BrokenHeader(impostor)
        length = int.from_bytes(start[:8], "little")
        if size < 10 or not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
            raise BrokenHeader(f"its header claims {length} bytes in a file of {size}")
        file.seek(8)
        header = file.read(length)
    return _judge(_parse(header), size - 8 - length)


def _parse(header: bytes) -> Mapping[str, Any]:
    try:
        # The library reads UTF-8 and nothing else.
        document = json.loads(header.decode("utf-8"), object_pairs_hook=_each_name_once)
    except (ValueError, RecursionError) as error:
        raise BrokenHeader(f"its header is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BrokenHeader("its header is not a JSON object")
    metadata = document.get("__metadata__") or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BrokenHeader("its `__metadata__` is not a table of texts")
    return document


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name stands in it twice")
    return document


def _judge(document: Mapping[str, Any], data_bytes: int) -> tuple[Tensor, ...]:
    placed = sorted(
        (_read_tensor(name, entry) for name, entry in document.items() if name != "__metadata__"),
        key=lambda pair: pair[0],
    )
    end = 0
    for (begin, stop), tensor in placed:
        if begin != end:
            raise BrokenHeader(f"`{tensor.name}` begins at byte {begin} of the data, expected {end}")
        end = stop
    if end > data_bytes:
        raise BrokenHeader(f"cut short: {data_bytes} bytes of data, {end} expected")
    if end < data_bytes:
        raise BrokenHeader(f"too long: {data_bytes} bytes of data, {end} expected")
    return tuple(tensor for _, tensor in placed)


def _read_tensor(name: str, entry: Any) -> tuple[tuple[int, int], Tensor]:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise BrokenHeader(f"`{name}` is not described in the header") from error
    numbers = [*shape, begin, end] if isinstance(shape, list) and len(shape) <= MAX_DIMENSIONS else [None]
    if not all(type(number) is int and 0 <= number < _TOO_LARGE for number in numbers) or end < begin:
        raise BrokenHeader(f"`{name}` has an impossible shape or place")
    tensor = Tensor(name, str(dtype), tuple(shape), end - begin)
    bits = DTYPE_BITS.get(tensor.dtype)
    if bits is not None and tensor.size_bytes != -(-tensor.elements * bits // 8):
        raise BrokenHeader(f"`{name}` has {tensor.size_bytes} bytes, its shape needs {tensor.elements * bits // 8}")
    return (begin, end), tensor
