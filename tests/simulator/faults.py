"""Faults as data: which request is hit, how often, and what becomes of its answer.

- A `Fault` hits the answers of one phase whose file or URL path matches a glob, until its budget is spent; the first
  fault of the list that matches takes the request, so a list reads as a sequence.
- An effect is a value with one pure function from the honest answer to the injured one. A new fault is a new line of
  data; a new kind of fault is one more small class here.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal, Protocol

from tests.simulator.exchange import Answer, Phase, Question

Origin = Literal["hub", "cdn"]


class Effect(Protocol):
    """What a fault does; `phase` is where it makes sense when the fault does not say."""

    @property
    def phase(self) -> Phase: ...

    def injure(self, answer: Answer) -> Answer: ...


@dataclass(frozen=True)
class Fault:
    """One line of trouble.

    `path` is a glob over the file's path in its repository or the URL's path; `phase` is the effect's own unless
    given, and `metadata` holds the listings too; `times` is the budget (None: for ever).
    """

    effect: Effect
    path: str = "*"
    phase: Phase | None = None
    times: int | None = 1
    origin: Origin | None = None

    def hits(self, question: Question, answer: Answer, origin: Origin) -> bool:
        wanted = self.phase or self.effect.phase
        if answer.phase != wanted and (answer.phase, wanted) != ("listing", "metadata"):
            return False
        if self.origin not in {None, origin}:
            return False
        return fnmatchcase(question.path, self.path) or fnmatchcase(answer.file or "", self.path)


class FaultBook:
    """The faults that are still to come. Thread-safe."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._lock = threading.Lock()
        self._left: list[tuple[Fault, int | None]] = []
        self.replace(faults)

    def replace(self, faults: Iterable[Fault]) -> None:
        """Forget every fault and take these, with fresh budgets."""
        with self._lock:
            self._left = [(fault, fault.times) for fault in faults]

    def injure(self, question: Question, answer: Answer, origin: Origin) -> Answer:
        """The answer after the first fault that hits it, whose budget shrinks; or the honest answer."""
        with self._lock:
            for index, (fault, left) in enumerate(self._left):
                if left != 0 and fault.hits(question, answer, origin):
                    self._left[index] = (fault, None if left is None else left - 1)
                    return fault.effect.injure(answer)
        return answer


@dataclass(frozen=True)
class Status:
    """A status instead of the answer: `Status(429, {"Retry-After": "1"})`, `Status(403)` for an expired link."""

    phase: ClassVar[Phase] = "data"
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"injured"

    def injure(self, answer: Answer) -> Answer:
        refused = Answer(self.status, answer.phase, answer.body, file=answer.file)
        return replace(refused.with_body(self.body, "text/plain"), headers=self.headers)


@dataclass(frozen=True)
class Cut:
    """The connection breaks after so many bytes of the body."""

    phase: ClassVar[Phase] = "data"
    after_bytes: int
    by: Literal["rst", "fin"] = "rst"

    def injure(self, answer: Answer) -> Answer:
        return replace(answer, break_after=self.after_bytes, break_by=self.by)


@dataclass(frozen=True)
class Stall:
    """Nothing more comes after so many bytes of the body, and the connection stays open."""

    phase: ClassVar[Phase] = "data"
    after_bytes: int

    def injure(self, answer: Answer) -> Answer:
        return replace(answer, break_after=self.after_bytes, break_by="stall")


@dataclass(frozen=True)
class Slow:
    """This answer comes at so many bytes a second."""

    phase: ClassVar[Phase] = "data"
    bytes_per_s: float

    def injure(self, answer: Answer) -> Answer:
        return replace(answer, rate=self.bytes_per_s)


@dataclass(frozen=True)
class IgnoreRange:
    """The whole file with 200, whatever range was asked for."""

    phase: ClassVar[Phase] = "data"

    def injure(self, answer: Answer) -> Answer:
        return replace(answer, status=200, start=0, stop=answer.body.size, partial=False)


@dataclass(frozen=True)
class Truncate:
    """Only the first bytes of the body; `lying` keeps the Content-Length of the whole and ends the connection."""

    phase: ClassVar[Phase] = "data"
    to_bytes: int
    lying: bool = False

    def injure(self, answer: Answer) -> Answer:
        if self.lying:
            return replace(answer, break_after=self.to_bytes, break_by="fin")
        length = min(self.to_bytes, answer.stop - answer.start)
        honest_range = answer.wire_headers().get("Content-Range")
        return replace(answer, stop=answer.start + length, content_range=honest_range)


@dataclass(frozen=True)
class Flip:
    """Every bit of the byte at this offset of the file is wrong, in whichever range it is sent."""

    phase: ClassVar[Phase] = "data"
    offset: int

    def injure(self, answer: Answer) -> Answer:
        return replace(answer, flipped=self.offset)


@dataclass(frozen=True)
class Gzip:
    """The body compressed though nobody asked."""

    phase: ClassVar[Phase] = "data"

    def injure(self, answer: Answer) -> Answer:
        plain = b"".join(answer.body.segments(answer.start, answer.stop))
        content_type = answer.headers.get("Content-Type", "application/octet-stream")
        return answer.with_body(gzip.compress(plain, 1), content_type).with_headers(Content_Encoding="gzip")


@dataclass(frozen=True)
class Portal:
    """A captive portal: its log-in page with status 200 instead of whatever was asked."""

    phase: ClassVar[Phase] = "data"
    page: bytes = b"<!DOCTYPE html><html><title>Log in to the network</title><body>Welcome</body></html>"

    def injure(self, answer: Answer) -> Answer:
        portal = Answer(200, answer.phase, answer.body, file=answer.file)
        return portal.with_body(self.page, "text/html; charset=utf-8")


@dataclass(frozen=True)
class Endless:
    """The body is followed by more and more, without a length, until the client goes away."""

    phase: ClassVar[Phase] = "data"

    def injure(self, answer: Answer) -> Answer:
        return replace(answer, endless=True)


@dataclass(frozen=True)
class WrongRange:
    """A 206 whose Content-Range says another place than its bytes come from (or were asked for)."""

    phase: ClassVar[Phase] = "data"
    shift: int = 1

    def injure(self, answer: Answer) -> Answer:
        first, last = answer.start + self.shift, answer.stop - 1 + self.shift
        return replace(answer, status=206, partial=True, content_range=f"bytes {first}-{last}/{answer.body.size}")


@dataclass(frozen=True)
class ContentRange:
    """A 206 whose Content-Range is this text."""

    phase: ClassVar[Phase] = "data"
    text: str

    def injure(self, answer: Answer) -> Answer:
        return replace(answer, status=206, partial=True, content_range=self.text)


@dataclass(frozen=True)
class RedirectTo:
    """The client is sent elsewhere."""

    phase: ClassVar[Phase] = "redirect"
    location: str
    status: int = 302

    def injure(self, answer: Answer) -> Answer:
        moved = Answer(self.status, answer.phase, answer.body, {"Location": self.location}, answer.file)
        return moved.with_body(b"", "text/plain")


@dataclass(frozen=True)
class HostileName:
    """The first file of a listing has this name."""

    phase: ClassVar[Phase] = "listing"
    name: str

    def injure(self, answer: Answer) -> Answer:
        return _amend_first_file(
            answer, {"path": self.name, "rfilename": self.name, "Path": self.name, "Name": self.name}
        )


@dataclass(frozen=True)
class WrongSize:
    """The first file of a listing has this size."""

    phase: ClassVar[Phase] = "listing"
    size: int

    def injure(self, answer: Answer) -> Answer:
        return _amend_first_file(answer, {"size": self.size, "Size": self.size})


@dataclass(frozen=True)
class HugeListing:
    """The listing begins with so many bytes of white space, which JSON allows."""

    phase: ClassVar[Phase] = "listing"
    size_bytes: int

    def injure(self, answer: Answer) -> Answer:
        plain = b"".join(answer.body.segments(answer.start, answer.stop))
        return answer.with_body(b" " * self.size_bytes + plain, "application/json")


@dataclass(frozen=True)
class NextElsewhere:
    """The listing says that it goes on at another address."""

    phase: ClassVar[Phase] = "listing"
    url: str

    def injure(self, answer: Answer) -> Answer:
        return answer.with_headers(Link=f'<{self.url}>; rel="next"')


def _amend_first_file(answer: Answer, changes: Mapping[str, object]) -> Answer:
    document = json.loads(b"".join(answer.body.segments(answer.start, answer.stop)))
    for entry in _files(document):
        entry.update({name: value for name, value in changes.items() if name in entry})
        if isinstance(entry.get("lfs"), dict) and "size" in changes:
            entry["lfs"]["size"] = changes["size"]
        break
    return answer.with_body(json.dumps(document).encode(), "application/json")


def _files(document: Any) -> Iterator[dict[str, Any]]:
    """The files of a listing, in whichever of the three forms it has."""
    if isinstance(document, list):
        rows = document
    elif "siblings" in document:
        rows = document["siblings"]
    else:
        rows = document["Data"]["Files"]
    yield from (row for row in rows if row.get("type", row.get("Type")) not in {"directory", "tree"})
