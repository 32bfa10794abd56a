"""Makes the files of a model: noise that is the same in every run, weights with a header that can be read.

- A file is made once in a folder of models, and again only for another size.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.values import MIB, Model

_HEADER_BYTES = 120


@dataclass(frozen=True)
class MadeModel:
    """A model whose files lie in `folder`."""

    folder: Path
    files: Mapping[str, Path]
    sha256: Mapping[str, str]


def make(model: Model, folder: Path) -> MadeModel:
    """The files of `model` in `folder`, which is the model's own."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / name for name in model.files}
    for name, path in files.items():
        if not path.exists():
            _write(path, model.files[name])
    return MadeModel(folder, files, {name: sha256_of(path) for name, path in files.items()})


def sha256_of(path: Path) -> str:
    """The sha256 of the file, by the standard library."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, size: int) -> None:
    chance = random.Random(path.name)
    with path.open("wb") as file:
        if path.suffix == ".safetensors":
            file.write(_safetensors_header(size))
        while left := size - file.tell():
            file.write(chance.randbytes(min(MIB, left)))


def _safetensors_header(size: int) -> bytes:
    """The start of a safetensors file of `size` bytes that is one tensor."""
    data_bytes = size - 8 - _HEADER_BYTES
    tensors = {"noise": {"dtype": "U8", "shape": [data_bytes], "data_offsets": [0, data_bytes]}}
    return struct.pack("<Q", _HEADER_BYTES) + json.dumps(tensors).encode().ljust(_HEADER_BYTES)
