"""Reads JSON as a loader would, from a file that may hold anything. Decides only.

- UTF-8 without a mark in front, as loaders open it. NaN and Infinity are let through: configurations have them.
- What a parser may be made to build is bounded before it begins: by the length, and by the lists and objects.
- A name that stands twice in one object is told, since a parser silently takes the last one.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

# The largest tokenizers come to 40 MB, with a million lists and objects.
LONGEST_BYTES = 64 << 20
_MOST_CONTAINERS = 4_000_000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class BadDocument(Exception):
    """The content is no JSON that a loader could read; the message says why."""


@dataclass(frozen=True)
class Document:
    """What the content says; `repeated` are the names that one object has twice."""

    value: Any
    repeated: tuple[str, ...] = ()


def read_json(content: bytes) -> Document:
    """The document of a file's content.

    Raises:
        BadDocument: it is no JSON, or more of it than a loader's could be.
    """
    if len(content) > LONGEST_BYTES or content.count(b"[") + content.count(b"{") > _MOST_CONTAINERS:
        raise BadDocument(f"larger than any loader's: {len(content)} bytes")
    if content.startswith(_BYTE_ORDER_MARK):
        raise BadDocument("begins with a byte order mark, which loaders do not take for JSON")
    repeated: dict[str, None] = {}

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) != len(pairs):
            counts = Counter(name for name, _ in pairs)
            repeated.update(dict.fromkeys(name for name in counts if counts[name] > 1))
        return values

    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=collect)
    except UnicodeDecodeError as error:
        raise BadDocument(f"not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise BadDocument(f"does not parse: {error}") from error
    return Document(value, tuple(repeated))
