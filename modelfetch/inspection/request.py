"""What the parent asks of its child: one JSON file, read once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from modelfetch.model.documents import read_value
from modelfetch.model.kind import Exercise
from modelfetch.model.placement import Wish


@dataclass(frozen=True)
class Questions:
    """What a tokenizer (the first three) and the weights (the others) are asked. Empty is not asked."""

    template: bool = False
    tokens: tuple[str, ...] = ()
    vocabulary: str | None = None
    next: str | None = None
    top_k: int = 10
    embed: tuple[str, ...] = ()
    word: str | None = None

    @property
    def need_tokenizer(self) -> bool:
        return self.template or bool(self.tokens) or self.vocabulary is not None or self.need_weights

    @property
    def need_weights(self) -> bool:
        return self.next is not None or bool(self.embed)


@dataclass(frozen=True)
class Request:
    """One model to ask. `exercise` says how its weights are loaded, where they are needed.

    `cut_at` is the length to which sentence-transformers cuts texts of this model, `notes` are what else it would do.
    `trust_remote_code` is the user's consent; it is used where nothing works without it.
    """

    folder: str
    gguf_file: str | None
    exercise: Exercise | None
    wish: Wish
    trust_remote_code: bool
    questions: Questions
    cut_at: int | None = None
    notes: tuple[str, ...] = ()

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_request(path: Path) -> Request:
    """What `Request.write` wrote."""
    return read_value(json.loads(path.read_text(encoding="utf-8")), Request)
