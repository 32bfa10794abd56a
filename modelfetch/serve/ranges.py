"""Decides which bytes of a file answer a request: all, one range, or none (the client has them, or there are none).

- One range is served. Several at once, another unit or a malformed header get the whole file, as RFC 9110 allows.
- A range counts only while the client's `If-Range` is the file's ETag.
- HEAD tells of the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# No file comes near so many digits, and Python counts with no limit.
_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*")


@dataclass(frozen=True)
class Selection:
    """The status of the answer and the bytes from `start` to `stop` that it carries."""

    status: int
    start: int
    stop: int


def select(headers: Mapping[str, str], *, method: str, size: int, etag: str) -> Selection:
    """Choose for a file of `size` bytes with the (quoted) `etag`."""
    if _names(headers.get("if-none-match", ""), etag):
        return Selection(304, 0, 0)
    whole = Selection(200, 0, size)
    match = _RANGE.fullmatch(headers.get("range", ""))
    if method == "HEAD" or match is None or headers.get("if-range", etag) != etag:
        return whole
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return whole
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    elif last:
        start, stop = max(0, size - int(last)), size
    else:
        return whole
    return Selection(206, start, stop) if start < stop else Selection(416, 0, 0)


def _names(condition: str, etag: str) -> bool:
    """Whether an If-None-Match names `etag`; compared weakly, as it must be."""
    tags = {tag.strip().removeprefix("W/") for tag in condition.split(",")}
    return etag in tags or "*" in tags
