"""What is sent back, as values: a status, headers, and either bytes or a span of a file. Sends nothing.

- No text from a request reaches a header: what a client writes comes back only inside a JSON body.
- A file's name in Content-Disposition is percent-encoded, and nothing served may be taken for a page by a browser.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from modelfetch.manifest import Entry
from modelfetch.serve.ranges import select
from modelfetch.serve.request import Request


@dataclass(frozen=True)
class FileSpan:
    """The bytes from `start` to `stop` of the file at `path`, which is served only if it is `size` bytes long."""

    path: Path
    size: int
    start: int
    stop: int


@dataclass(frozen=True)
class Reply:
    """An answer. `length` is what Content-Length says, which a HEAD keeps though no body follows."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FileSpan = b""

    @property
    def length(self) -> int:
        return self.body.stop - self.body.start if isinstance(self.body, FileSpan) else len(self.body)

    def with_headers(self, headers: Mapping[str, str]) -> Reply:
        return replace(self, headers={**self.headers, **headers})

    def head(self, *, date: str, keep_alive: bool) -> bytes:
        """The head as sent.

        Raises:
            ValueError: a header would end its line early.
        """
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}", f"Date: {date}", "Server: modelfetch"]
        lines += [f"{name}: {text}" for name, text in self.headers.items()]
        if self.status != HTTPStatus.NOT_MODIFIED:
            lines.append(f"Content-Length: {self.length}")
        lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}")
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a header holds a line break")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def json_reply(document: Any, *, status: int = 200) -> Reply:
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(status, {"Content-Type": "application/json; charset=utf-8"}, body)


def text_reply(text: str, *, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "text/plain; charset=utf-8"}, text.encode())


def file_reply(request: Request, entry: Entry, file: Path) -> Reply:
    """The bytes of `entry`, which are at `file`, as far as the request wants them."""
    etag = f'"{etag_of(entry)}"'
    selection = select(request.headers, method=request.method, size=entry.size, etag=etag)
    headers = {"ETag": etag, "Accept-Ranges": "bytes"}
    if selection.status == 304:
        return Reply(304, headers)
    if selection.status == 416:
        return Reply(416, headers | {"Content-Range": f"bytes */{entry.size}"})
    if selection.status == 206:
        headers["Content-Range"] = f"bytes {selection.start}-{selection.stop - 1}/{entry.size}"
    name = quote(entry.path.rpartition("/")[2], safe="")
    headers |= {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "X-Content-Type-Options": "nosniff",
    }
    return Reply(selection.status, headers, FileSpan(file, entry.size, selection.start, selection.stop))


def etag_of(entry: Entry) -> str:
    """The hubs' own choice: sha256 for what git keeps elsewhere, the blob's id for the rest."""
    preferred = entry.digests.sha256 if entry.shown_as_large else entry.digests.git_sha1
    return preferred or entry.digests.strongest
