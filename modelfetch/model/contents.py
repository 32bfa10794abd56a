"""What a model's folder holds, as a value: what `folder` reads and `kind` judges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modelfetch.model.gguf import GgufHeader
from modelfetch.model.headers import Tensor
from modelfetch.model.pickles import PickleScan
from modelfetch.selection import of_quantisation

INDEX = "model.safetensors.index.json"
POOLING = "_Pooling/config.json"
LOGIT_SCORE = "_LogitScore/config.json"
# What transformers loads. Other `.bin` files, OpenVINO's for one, are not pickles.
PICKLE = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin")


@dataclass(frozen=True)
class BrokenFile:
    """A file of the model that is missing, cut short, or not what its name says."""

    path: str
    problem: str


@dataclass(frozen=True)
class NotExercised:
    """Why the model was not run at all; `check` is the finding it becomes."""

    check: str
    reason: str
    hint: str | None = None
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CodeFile:
    """A Python file that comes with the model and would run with trust_remote_code."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class ModelFolder:
    """What is in the folder. `documents` are the JSON files that were read, by name; `name` is the model's own,
    `card` the front matter of its card.
    """

    name: str
    files: Mapping[str, int]
    documents: Mapping[str, Any] = field(default_factory=dict)
    safetensors: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)
    ggufs: Mapping[str, GgufHeader] = field(default_factory=dict)
    pickle_scans: Mapping[str, PickleScan] = field(default_factory=dict)
    code: tuple[CodeFile, ...] = ()
    broken: tuple[BrokenFile, ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)

    def document(self, name: str) -> Mapping[str, Any]:
        """The JSON object in the file `name`; empty where there is none."""
        document = self.documents.get(name)
        return document if isinstance(document, dict) else {}

    @property
    def config(self) -> Mapping[str, Any]:
        return self.document("config.json")

    @property
    def code_listing(self) -> dict[str, str]:
        """The code by its path, as somebody who is asked to trust it wants to see it."""
        return {each.path: f"{each.size} bytes, sha256 {each.sha256}" for each in self.code}

    @property
    def pickles(self) -> list[str]:
        return [path for path in self.files if PICKLE.fullmatch(path)]

    @property
    def gguf(self) -> str | None:
        """The GGUF file that the model is, where there is one: of several the smallest, but none that sees or hears for
        another.
        """
        models = [
            path for path, header in self.ggufs.items() if header.metadata.get("general.type", "model") == "model"
        ]
        return min(models or self.ggufs, key=lambda path: (self.files[path], path), default=None)

    def quantised(self, quant: str) -> ModelFolder:
        """The same with no other weights than the GGUF files of one quantisation.

        Raises:
            NotFoundError: it has none.
        """
        kept = of_quantisation([path for path in self.files if path.endswith(".gguf")], quant)
        gone = {
            path for path in self.files if path.endswith((".gguf", ".safetensors")) or PICKLE.fullmatch(path)
        } - kept
        files = {path: size for path, size in self.files.items() if path not in gone}
        return replace(
            self,
            files=files,
            safetensors={},
            ggufs={path: header for path, header in self.ggufs.items() if path in kept},
            broken=tuple(each for each in self.broken if each.path in files),
        )
