"""What the benchmark adds to the simulator: faults that meet every client, whatever ranges it asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar
from urllib.parse import urlsplit

from tests.simulator import Fault, Stall
from tests.simulator.exchange import Answer, Phase, Question
from tests.simulator.faults import Origin


@dataclass(frozen=True)
class FlipIn:
    """One byte of the answer is wrong, wherever in the file the answer begins."""

    phase: ClassVar[Phase] = "data"
    after_bytes: int

    def injure(self, answer: Answer) -> Answer:
        return replace(answer, flipped=answer.start + self.after_bytes)


@dataclass(frozen=True)
class StallAt:
    """Nothing more comes from this byte of the file on, and the connection stays open."""

    phase: ClassVar[Phase] = "data"
    offset: int

    def injure(self, answer: Answer) -> Answer:
        return Stall(after_bytes=self.offset - answer.start).injure(answer)


@dataclass(frozen=True)
class AtByte(Fault):
    """Hits only answers that carry the byte that its effect is about."""

    effect: StallAt

    def hits(self, question: Question, answer: Answer, origin: Origin) -> bool:
        return super().hits(question, answer, origin) and answer.start <= self.effect.offset < answer.stop


@dataclass(frozen=True)
class Document:
    """No fault: this document comes instead."""

    phase: ClassVar[Phase] = "data"
    body: bytes
    media_type: str

    def injure(self, answer: Answer) -> Answer:
        return Answer(200, "metadata", answer.body).with_body(self.body, self.media_type)


@dataclass(frozen=True)
class ForWhoAsks(Fault):
    """Hits whoever asks for `file` with `field` in the query, and nobody else."""

    file: str = ""
    field: str = ""

    def hits(self, question: Question, answer: Answer, origin: Origin) -> bool:  # noqa: ARG002 - whoever is asked
        return self.field in question.query and answer.file == self.file


@dataclass(frozen=True)
class ServedBy:
    """No fault: another server has the large files, under the same paths as the simulated content network."""

    phase: ClassVar[Phase] = "redirect"
    url: str

    def injure(self, answer: Answer) -> Answer:
        return answer.with_headers(Location=self.url + urlsplit(answer.headers["Location"]).path)
