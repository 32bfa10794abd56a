"""One question and its answer as values, before anything is sent: what a router returns and a fault bends."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.simulator.contents import Content

Phase = Literal["listing", "metadata", "redirect", "data"]
_SINGLE_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Question:
    """A request as it was read: `path` decoded, header names in lower case, the last value of a name in `query`."""

    method: str
    target: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def token(self) -> str | None:
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else None


@dataclass(frozen=True)
class Answer:
    """A reply that is still only a value.

    `start` and `stop` are the bytes of `body` that go out; `file` is the repository's path that it is about.
    The fields after `partial` are lies and injuries: no honest router sets them.
    """

    status: int
    phase: Phase
    body: Content
    headers: Mapping[str, str] = field(default_factory=dict)
    file: str | None = None
    start: int = 0
    stop: int = 0
    partial: bool = False
    content_length: int | None = None
    content_range: str | None = None
    flipped: int | None = None
    break_after: int | None = None
    break_by: Literal["rst", "fin", "stall"] = "fin"
    endless: bool = False
    rate: float | None = None

    def with_headers(self, **headers: str) -> Answer:
        """Header names are written with `_` for `-`."""
        return replace(
            self, headers={**self.headers, **{name.replace("_", "-"): text for name, text in headers.items()}}
        )

    def with_body(self, body: bytes, content_type: str) -> Answer:
        """Another body, sent whole."""
        changed = replace(self, body=Content(body), start=0, stop=len(body), partial=False)
        return changed.with_headers(Content_Type=content_type)

    def wire_headers(self) -> dict[str, str]:
        """The headers as sent, with the length and the range."""
        headers = dict(self.headers)
        if self.partial:
            headers["Content-Range"] = self.content_range or f"bytes {self.start}-{self.stop - 1}/{self.body.size}"
        if self.endless:
            headers["Connection"] = "close"
        else:
            length = self.stop - self.start if self.content_length is None else self.content_length
            headers["Content-Length"] = str(length)
        return headers


def json_answer(document: Any, *, phase: Phase = "metadata", status: int = 200) -> Answer:
    """A document of an API."""
    body = json.dumps(document, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    return Answer(status, phase, Content(body), headers, stop=len(body))


def file_answer(question: Question, file: str, content: Content, etag: str) -> Answer:
    """The bytes of a file, or the single range of them that was asked for."""
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "ETag": f'"{etag}"'}
    whole = Answer(200, "data", content, headers, file, 0, content.size)
    match = _SINGLE_RANGE.fullmatch(question.headers.get("range", ""))
    if match is None or match.groups() == ("", ""):
        return whole
    first, last = match.groups()
    start = int(first) if first else max(0, content.size - int(last))
    stop = min(int(last) + 1, content.size) if first and last else content.size
    if start >= content.size:
        refused = replace(whole, status=416, body=Content(b""), start=0, stop=0)
        return refused.with_headers(Content_Range=f"bytes */{content.size}")
    if stop <= start:
        return whole
    return replace(whole, status=206, start=start, stop=stop, partial=True)


def redirect_answer(location: str, *, file: str | None = None, status: int = 302) -> Answer:
    body = f"Found. Redirecting to {location}".encode()
    headers = {"Location": location, "Content-Type": "text/plain; charset=utf-8"}
    return Answer(status, "redirect", Content(body), headers, file, 0, len(body))
