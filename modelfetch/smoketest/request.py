"""What the parent asks of its child: one JSON file, read once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from modelfetch.model.documents import read_value
from modelfetch.model.kind import Exercise
from modelfetch.model.placement import Wish
from modelfetch.smoketest.level import Level


@dataclass(frozen=True)
class Request:
    """One model to exercise. `generation_limit_s` ends a slow generation early; it is then judged by what there is.

    `trust_remote_code` is the user's consent; it is used where nothing works without it. `only_place`: find out
    where it would run, and stop there.
    """

    folder: str
    exercise: Exercise
    wish: Wish
    max_new_tokens: int
    prompt: str | None
    generation_limit_s: float
    trust_remote_code: bool = False
    level: Level = Level.EXERCISE
    only_place: bool = False

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_request(path: Path) -> Request:
    """What `Request.write` wrote."""
    return read_value(json.loads(path.read_text(encoding="utf-8")), Request)
