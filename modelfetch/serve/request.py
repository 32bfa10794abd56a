"""Reads the head of an HTTP request: from bytes to a value, or to the status that refuses it. Opens and sends nothing.

- Only GET and HEAD are known, and no request has a body: nothing that a client sends is ever kept.
- A control character, a folded line, a name that is no token, a length said twice: refused, never repaired.
- The path is cut at its slashes before it is decoded, so `refs%2Fpr%2F1` stays one segment.
- A path is data to look up. It is never joined to a folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

# Sixteen times what the hubs' clients send; a cookie jar fits too.
MAX_HEAD_BYTES = 16 * 1024
MAX_HEADERS = 100
MAX_QUERY_FIELDS = 50

_REQUEST_LINE = re.compile(r"([A-Z]{1,20}) (/[\x21-\x7e]*) HTTP/1\.([01])")
# White space around the text is stripped afterwards: matched here, a line of blanks would be tried in every way.
_HEADER_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\x20-\x7e\x80-\xff\t]*)")


class RefusedRequest(Exception):
    """The request is not answered; the connection ends after saying so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Request:
    """A request. Header names are in lower case; `segments` are decoded."""

    method: str
    target: str
    segments: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    keep_alive: bool


def parse_head(head: bytes) -> Request:
    """Read everything before the empty line that ends a head.

    Raises:
        RefusedRequest: malformed, unknown method or version, or a body is announced.
    """
    lines = head.decode("latin-1").split("\r\n")
    match = _REQUEST_LINE.fullmatch(lines[0])
    if match is None:
        raise RefusedRequest(400, "malformed request line")
    method, target, minor_version = match.groups()
    if method not in {"GET", "HEAD"}:
        raise RefusedRequest(405, "only GET and HEAD are served")
    headers = _parse_headers(lines[1:])
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        raise RefusedRequest(413, "requests with a body are not served")
    path, _, query = target.partition("?")
    try:
        fields = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="strict"))
        segments = tuple(unquote(segment, errors="strict") for segment in path[1:].split("/"))
    except ValueError as error:
        raise RefusedRequest(400, "malformed address") from error
    wishes = {wish.strip().lower() for wish in headers.get("connection", "").split(",")}
    keep_alive = "close" not in wishes and (minor_version == "1" or "keep-alive" in wishes)
    return Request(method, target, segments, fields, headers, keep_alive)


def _parse_headers(lines: list[str]) -> dict[str, str]:
    if len(lines) > MAX_HEADERS:
        raise RefusedRequest(431, "too many headers")
    headers: dict[str, str] = {}
    for line in lines:
        match = _HEADER_LINE.fullmatch(line)
        if match is None:
            raise RefusedRequest(400, "malformed header")
        name, text = match.group(1).lower(), match.group(2).strip(" \t")
        if name in headers and name in {"content-length", "host", "range"}:
            raise RefusedRequest(400, f"the header `{name}` is given twice")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers
