"""Reads what only a person wants to know of a model's folder: tokenizer, chat templates, model card.

Believes no file's size and runs nothing. What cannot be read is a problem in the report, never an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelfetch.model.card import CARDS, MAX_CARD_BYTES, front_matter
from modelfetch.model.contents import BrokenFile, ModelFolder
from modelfetch.model.headers import what_it_is_instead

# The longest tokenizer.json known has 34 MB.
MAX_TOKENIZER_BYTES = 48 << 20
MAX_TEMPLATE_BYTES = 1 << 20


@dataclass(frozen=True)
class Template:
    """A chat template as it is written. `name` is `default` for the one that is used unasked."""

    name: str
    source: str
    text: str


@dataclass(frozen=True)
class Papers:
    """What was read beside the configuration and the weights."""

    tokenizer: Mapping[str, Any]
    special_tokens: Mapping[str, Any]
    sentence: Mapping[str, Any]
    card: Mapping[str, Any]
    templates: tuple[Template, ...]
    problems: tuple[BrokenFile, ...]


def read_papers(path: Path, folder: ModelFolder) -> Papers:
    """Everything of the model in `path` that `folder` does not hold yet."""
    reader = _Reader(path, folder)
    return Papers(
        tokenizer=reader.json("tokenizer.json", MAX_TOKENIZER_BYTES),
        special_tokens=reader.json("special_tokens_map.json", MAX_CARD_BYTES),
        sentence=reader.json("sentence_bert_config.json", MAX_CARD_BYTES),
        card=reader.card(),
        templates=tuple(reader.templates()),
        problems=tuple(reader.problems),
    )


def read_sentence(path: Path, folder: ModelFolder) -> Mapping[str, Any]:
    """What sentence-transformers is told of the model in `path`."""
    return _Reader(path, folder).json("sentence_bert_config.json", MAX_CARD_BYTES)


class _Reader:
    """Reads files of one folder and collects what is wrong with them."""

    def __init__(self, path: Path, folder: ModelFolder) -> None:
        self._path = path
        self._folder = folder
        self.problems: list[BrokenFile] = []

    def json(self, name: str, limit: int) -> Mapping[str, Any]:
        data = self._read(name, limit)
        if data is None:
            return {}
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            self._note(name, what_it_is_instead(data[:64]) or f"not JSON: {error}")
            return {}
        if not isinstance(document, dict):
            self._note(name, "not a JSON object")
            return {}
        return document

    def card(self) -> Mapping[str, Any]:
        """The front matter of the model card. Longer cards are read to their limit: the front matter comes first."""
        name = next((name for name in CARDS if name in self._folder.files), None)
        data = self._start(name, MAX_CARD_BYTES) if name else None
        if name is None or data is None:
            return {}
        try:
            return front_matter(data)
        except ValueError as error:
            self._note(name, str(error))
            return {}

    def templates(self) -> list[Template]:
        """Every chat template, the one that transformers would use first."""
        files = [name for name in self._folder.files if name.endswith(".jinja")]
        found = [
            Template(_template_name(name), name, data.decode("utf-8", "replace"))
            for name in sorted(files, key=lambda name: (name != "chat_template.jinja", name))
            if (data := self._read(name, MAX_TEMPLATE_BYTES)) is not None
        ]
        for source in ("chat_template.json", "tokenizer_config.json"):
            found += _declared(source, self._folder.document(source).get("chat_template"))
        for source, header in self._folder.ggufs.items():
            found += _declared(source, header.metadata.get("tokenizer.chat_template"))
        return found

    def _read(self, name: str, limit: int) -> bytes | None:
        """The whole file; None, and a problem, for one that is longer than `limit`."""
        data = self._start(name, limit + 1)
        if data is not None and len(data) > limit:
            self._note(name, f"longer than {limit} bytes; it was not read")
            return None
        return data

    def _start(self, name: str, size: int) -> bytes | None:
        if self._folder.files.get(name, -1) < 0:
            return None
        try:
            with (self._path / name).open("rb") as file:
                return file.read(size)
        except OSError as error:
            self._note(name, str(error))
            return None

    def _note(self, name: str, problem: str) -> None:
        self.problems.append(BrokenFile(name, problem))


def _template_name(file: str) -> str:
    stem = Path(file).stem
    return "default" if stem == "chat_template" else stem


def _declared(source: str, declared: Any) -> list[Template]:
    """Templates from a configuration: one text, or several with their names."""
    if isinstance(declared, str):
        return [Template("default", source, declared)]
    named = declared if isinstance(declared, list) else []
    pairs = [(each.get("name"), each.get("template")) for each in named if isinstance(each, dict)]
    if isinstance(declared, dict):
        pairs = list(declared.items())
    return [Template(str(name), source, text) for name, text in pairs if isinstance(text, str)]
