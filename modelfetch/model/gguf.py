"""What the header of a GGUF file says: its architecture, its tensors, and whether the file is as long as they need.

Reads the header, never weights.

- Every count and length is bounded before it is believed.
- A tensor type that is not in the table is left unjudged: new quantisations appear, and they are no fault of the file.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from modelfetch.model.headers import BrokenHeader, Tensor, what_it_is_instead

# Vocabularies make the longest headers; the largest known come to 20 MB.
MAX_HEADER_BYTES = 128 << 20
MAX_ENTRIES = 1_000_000
MAX_STRING_BYTES = 32 << 20
MAX_ARRAY = 16_000_000
# Four times the largest known; they are all in memory for a moment.
MAX_PIECES = 1_000_000
MAX_DIMENSIONS = 8
DEFAULT_ALIGNMENT = 32

_STRING, _ARRAY = 8, 9
_VOCABULARY = "tokenizer.ggml.tokens"
_FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# Tensor type -> (its name, elements in a block, bytes of a block), as ggml lays them out.
_TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    30: ("BF16", 1, 2),
}
# The most digits that a number of layers will ever have.
_BLOCK = re.compile(r"blk\.(\d{1,6})\.")


@dataclass(frozen=True)
class GgufHeader:
    """`metadata` holds the single values of the header; arrays are passed over. Of the vocabulary, `pieces` has those
    that a single value names by their ids, and `vocabulary` counts them all.
    """

    metadata: Mapping[str, str | int | float | bool]
    tensors: tuple[Tensor, ...]
    pieces: Mapping[int, str] = field(default_factory=dict)
    vocabulary: int | None = None

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def contradiction(self) -> str | None:
        """What it has beyond what it counts: loaders leave blocks out without a word, and stumble over a token."""
        counted = self.metadata.get(f"{self.architecture}.block_count")
        blocks = [int(match[1]) for tensor in self.tensors if (match := _BLOCK.match(tensor.name))]
        last = max(blocks, default=-1)
        if isinstance(counted, int) and last >= counted:
            return f"its metadata counts {counted} blocks, and it has weights of block {last}"
        # Of the other special tokens this is common and harmless: nothing looks for them.
        end = self.metadata.get("tokenizer.ggml.eos_token_id")
        if isinstance(end, int) and self.vocabulary is not None and end >= self.vocabulary:
            return f"its metadata ends a text with token {end}, and has {self.vocabulary} of them"
        return None


def read_gguf(path: Path) -> GgufHeader:
    """The header of a GGUF file.

    Raises:
        BrokenHeader: the file is cut short, is something else, or its header contradicts itself.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(64)
        if not start.startswith(b"GGUF"):
            raise BrokenHeader(what_it_is_instead(start) or "it does not begin with the letters GGUF")
        file.seek(4)
        try:
            return _read(_Reader(file), size)
        except (struct.error, UnicodeDecodeError, EOFError) as error:
            raise BrokenHeader(f"its header is cut short or garbled: {error}") from error


class _Reader:
    """Little-endian values from a file, each bounded."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    @property
    def position(self) -> int:
        return self._file.tell()

    def take(self, size: int) -> bytes:
        if self.position + size > MAX_HEADER_BYTES:
            raise BrokenHeader(f"its header is longer than {MAX_HEADER_BYTES} bytes")
        data = self._file.read(size)
        if len(data) != size:
            raise EOFError(f"{size} bytes expected, {len(data)} left")
        return data

    def number(self, form: str) -> int | float | bool:
        value = struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))[0]
        assert isinstance(value, int | float | bool)
        return value

    def count(self, form: str, limit: int, what: str) -> int:
        value = int(self.number(form))
        if value > limit:
            raise BrokenHeader(f"its header claims {value} {what}")
        return value

    def text(self) -> str:
        return self.take(self.count("Q", MAX_STRING_BYTES, "bytes in one string")).decode("utf-8", "replace")

    def pieces(self) -> list[bytes]:
        """An array of strings that is a vocabulary."""
        count = self.count("Q", MAX_PIECES, "pieces in the vocabulary")
        return [self.take(self.count("Q", MAX_STRING_BYTES, "bytes in one string")) for _ in range(count)]

    def skip(self, kind: int) -> None:
        """Pass over an array of `kind`."""
        count = self.count("Q", MAX_ARRAY, "values in one array")
        if kind == _STRING:
            for _ in range(count):
                self.take(self.count("Q", MAX_STRING_BYTES, "bytes in one string"))
        elif kind in _FIXED:
            self.take(count * struct.calcsize(f"<{_FIXED[kind]}"))
        else:
            raise BrokenHeader(f"an array of the unknown type {kind}")


def _read(reader: _Reader, size: int) -> GgufHeader:
    version = int(reader.number("I"))
    if version not in {2, 3}:
        raise BrokenHeader(f"GGUF version {version}, expected 2 or 3")
    tensor_count = reader.count("Q", MAX_ENTRIES, "tensors")
    metadata_count = reader.count("Q", MAX_ENTRIES, "values")
    metadata: dict[str, str | int | float | bool] = {}
    vocabulary: list[bytes] = []
    for _ in range(metadata_count):
        name, kind = reader.text(), int(reader.number("I"))
        if kind == _STRING:
            metadata[name] = reader.text()
        elif kind == _ARRAY:
            of = int(reader.number("I"))
            if name == _VOCABULARY and of == _STRING:
                vocabulary = reader.pieces()
            else:
                reader.skip(of)
        elif kind in _FIXED:
            metadata[name] = reader.number(_FIXED[kind])
        else:
            raise BrokenHeader(f"`{name}` has the unknown type {kind}")
    placed = [_read_tensor(reader) for _ in range(tensor_count)]
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment <= 0:
        raise BrokenHeader(f"an alignment of {alignment!r}")
    data_start = -(-reader.position // alignment) * alignment
    needed = max((data_start + offset + tensor.size_bytes for offset, tensor in placed), default=data_start)
    if needed > size:
        raise BrokenHeader(f"cut short: {size} bytes, {needed} expected")
    pieces = {place: vocabulary[place].decode("utf-8", "replace") for place in _named(metadata, len(vocabulary))}
    return GgufHeader(metadata, tuple(tensor for _, tensor in placed), pieces, len(vocabulary) or None)


def _named(metadata: Mapping[str, str | int | float | bool], size: int) -> set[int]:
    """The ids of tokens that have a role, and stand in a vocabulary of that size."""
    ids = (number for name, number in metadata.items() if name.startswith("tokenizer.") and name.endswith("_token_id"))
    return {number for number in ids if type(number) is int and 0 <= number < size}


def _read_tensor(reader: _Reader) -> tuple[int, Tensor]:
    name = reader.text()
    dimensions = reader.count("I", MAX_DIMENSIONS, "dimensions of one tensor")
    shape = tuple(int(reader.number("Q")) for _ in range(dimensions))
    kind, offset = int(reader.number("I")), int(reader.number("Q"))
    type_name, block_elements, block_bytes = _TYPES.get(kind, (f"type {kind}", 1, 0))
    return offset, Tensor(name, type_name, shape, -(-math.prod(shape) // block_elements) * block_bytes)
