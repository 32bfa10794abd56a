"""Reads what a model's folder holds, short of its weights: names, sizes, configurations, headers, code.

Runs nothing, and believes no file's size: a configuration is read to `MAX_JSON_BYTES`, a folder to `MAX_FILES`.

- Whatever is broken is collected as an observation and the reading goes on: one run names every broken file.
- Every weight file in the folder is looked at, whether or not a loader would choose it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from modelfetch.errors import NotFoundError
from modelfetch.model.card import CARDS, MAX_CARD_BYTES, front_matter
from modelfetch.model.contents import INDEX, LOGIT_SCORE, PICKLE, POOLING, BrokenFile, CodeFile, ModelFolder
from modelfetch.model.gguf import GgufHeader, read_gguf
from modelfetch.model.headers import BrokenHeader, Tensor, read_safetensors, what_it_is_instead
from modelfetch.model.pickles import PickleScan, scan_pickle

# The longest configurations known, tokenizer_config.json with tens of thousands of added tokens, stay below 10 MB.
MAX_JSON_BYTES = 32 << 20
MAX_FILES = 20_000
_JSON = {
    "config.json",
    "tokenizer_config.json",
    "generation_config.json",
    "modules.json",
    "config_sentence_transformers.json",
    "model_index.json",
    "adapter_config.json",
    "chat_template.json",
    INDEX,
}

# How sentence-transformers is told what comes after the transformer.
_MODULES = (POOLING, LOGIT_SCORE)

_CONFIGURED_MODULES = frozenset({"Dense", "Pooling"})

Header = TypeVar("Header")


def read_folder(folder: Path, name: str, quant: str | None = None) -> ModelFolder:
    """Look at the model in `folder`, which is called `name`; with `quant` at its GGUF files of that quantisation alone.

    Raises:
        NotFoundError: there is no such folder, nothing is in it, or no file of that quantisation.
    """
    if not folder.is_dir():
        raise NotFoundError(f"`{folder}` is no folder", hint="modelfetch ls shows what is in the store")
    files = dict(sorted(_walk(folder)))
    if not files:
        raise NotFoundError(f"`{folder}` is empty", hint="modelfetch pull OWNER/NAME --local-dir DIR fills a folder")
    reader = _Reader(folder, files)
    documents = {path: reader.json(path) for path in files if path in _JSON or path.endswith(_MODULES)}
    safetensors: dict[str, tuple[Tensor, ...]] = {}
    ggufs: dict[str, GgufHeader] = {}
    pickles: dict[str, PickleScan] = {}
    for path in files:
        if path.endswith(".safetensors") and (tensors := reader.header(path, read_safetensors)) is not None:
            safetensors[path] = tensors
        if path.endswith(".gguf") and (header := reader.header(path, read_gguf)) is not None:
            ggufs[path] = header
            reader.check_gguf(path, header)
        if PICKLE.fullmatch(path) and (scan := reader.header(path, scan_pickle)) is not None:
            pickles[path] = scan
    reader.check_index(documents.get(INDEX), safetensors)
    reader.check_modules(documents.get("modules.json"))
    reader.check_end("tokenizer.json")
    code = tuple(_read_code(folder, path) for path, size in files.items() if path.endswith(".py") and size >= 0)
    broken, card = tuple(reader.broken), reader.card()
    found = ModelFolder(name, files, documents, safetensors, ggufs, pickles, code, broken, card)
    return found.quantised(quant) if quant else found


def _walk(folder: Path) -> Iterator[tuple[str, int]]:
    """Every file with its size, ours and git's own folders left out; a link that leads nowhere has size -1."""
    for path in islice(folder.rglob("*"), MAX_FILES):
        relative = path.relative_to(folder)
        if relative.parts[0] in {".git", ".modelfetch", ".cache"} or path.is_dir():
            continue
        yield relative.as_posix(), path.stat().st_size if path.exists() else -1


class _Reader:
    """Reads files of one folder and collects what is broken."""

    def __init__(self, folder: Path, files: Mapping[str, int]) -> None:
        self._folder = folder
        self._files = files
        self.broken = [BrokenFile(path, "a link that leads nowhere") for path, size in files.items() if size < 0]

    def json(self, path: str) -> Any:
        data = self._start(path, MAX_JSON_BYTES + 1)
        problem = what_it_is_instead(data)
        if len(data) > MAX_JSON_BYTES:
            problem = f"longer than {MAX_JSON_BYTES} bytes"
        try:
            document = None if problem else json.loads(data)
        except (ValueError, RecursionError) as error:
            problem = f"not JSON: {error}"
        if problem:
            self._note(path, problem)
            return None
        return document

    def card(self) -> Mapping[str, Any]:
        """The front matter of the card. What is wrong with it breaks no model."""
        path = next((path for path in CARDS if path in self._files), None)
        try:
            return front_matter(self._start(path, MAX_CARD_BYTES)) if path else {}
        except ValueError:
            return {}

    def header(self, path: str, read: Callable[[Path], Header]) -> Header | None:
        if self._files[path] < 0:
            return None
        try:
            return read(self._folder / path)
        except (BrokenHeader, OSError) as error:
            self._note(path, str(error))
            return None

    def check_index(self, index: Any, shards: Mapping[str, tuple[Tensor, ...]]) -> None:
        """Every weight that the index names is in the shard it names."""
        weight_map = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(weight_map, dict):
            return
        known = {path: {tensor.name for tensor in tensors} for path, tensors in shards.items()}
        lost: dict[str, list[str]] = {}
        for weight, shard in weight_map.items():
            if shard not in self._files or (shard in known and weight not in known[shard]):
                lost.setdefault(str(shard), []).append(weight)
        for shard, weights in lost.items():
            what = "without" if shard in self._files else "missing, with"
            self._note(shard, f"{what} {len(weights)} weights that {INDEX} places in it, `{weights[0]}` first")

    def check_gguf(self, path: str, header: GgufHeader) -> None:
        """A GGUF file has no more than its metadata counts."""
        if header.contradiction:
            self._note(path, header.contradiction)

    def check_modules(self, modules: Any) -> None:
        """Each module of sentence-transformers that has a configuration has it where it is said to lie."""
        for module in modules if isinstance(modules, list) else []:
            kind = str(module.get("type", "")).rpartition(".")[2] if isinstance(module, dict) else ""
            config = f"{module.get('path')}/config.json" if kind in _CONFIGURED_MODULES else None
            if config and config not in self._files:
                self._note(config, f"missing, and modules.json names it as the model's `{kind}`")

    def check_end(self, path: str) -> None:
        """A JSON object too long to be read here ends with its brace all the same."""
        if self._files.get(path, -1) < 0:
            return
        with (self._folder / path).open("rb") as file:
            problem = what_it_is_instead(file.read(64))
            file.seek(max(0, self._files[path] - 64))
            if not problem and not file.read().rstrip().endswith(b"}"):
                problem = "cut short: it does not end as JSON does"
        if problem:
            self._note(path, problem)

    def _start(self, path: str, size: int) -> bytes:
        """The first bytes of a file; none of one that cannot be read, which `broken` then holds already."""
        if self._files[path] < 0:
            return b""
        try:
            with (self._folder / path).open("rb") as file:
                return file.read(size)
        except OSError as error:
            self._note(path, str(error))
            return b""

    def _note(self, path: str, problem: str) -> None:
        if all(noted.path != path for noted in self.broken):
            self.broken.append(BrokenFile(path, problem))


def _read_code(folder: Path, path: str) -> CodeFile:
    with (folder / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return CodeFile(path, (folder / path).stat().st_size, digest)
