"""The journal of a partial: which of its bytes are safely on disk. The format is in docs/store.md.

- A line is `KIND START STOP CHECK`: `d` bytes that were synced to the disk before the line was written, `w` bytes
  that were written but not synced, `x` bytes that are not there any more. `b BOOT CHECK` begins a session.
- `w` holds only while the machine that wrote it has not been rebooted: the page cache outlives a killed process, not
  a power cut. `d` holds always.
- CHECK is the CRC-32 of what stands before it. A torn or altered line counts for nothing: the journal forgets, never
  invents.
- What does not begin with `HEADER` is no journal, whatever a power cut left there; one of another version is refused.
"""

from __future__ import annotations

import os
import re
import zlib

from modelfetch.errors import StoreError
from modelfetch.planning.spans import Span, SpanSet

HEADER = b"modelfetch-journal 1\n"
_ANY_HEADER = re.compile(rb"modelfetch-journal ([0-9]+)\n")
DURABLE, WRITTEN, GONE = "d", "w", "x"


def line(kind: str, span: Span) -> bytes:
    """One line about `span`."""
    return _checked(f"{kind} {span.start} {span.stop}")


def session(boot: str) -> bytes:
    """The line that begins a session on a machine started as `boot`; it ends whatever line was torn before it."""
    return b"\n" + _checked(f"b {boot}")


def append(descriptor: int, lines: bytes) -> None:
    """Write whole lines to the end of an open file, also where the disk takes them in parts."""
    while lines:
        lines = lines[os.write(descriptor, lines) :]


def read(content: bytes, *, size: int, boot: str, where: str) -> SpanSet:
    """The bytes of a file of `size` that `content` vouches for, on a machine started as `boot` (empty: not known).

    Raises:
        StoreError: the journal is of another version; `where` names it.
    """
    if not content.startswith(HEADER):
        if other := _ANY_HEADER.match(content):
            raise StoreError(
                f"`{where}` is a journal of another version",
                facts={"expected": HEADER.decode().strip(), "got": other.group().decode().strip()},
                hint="finish with the modelfetch that began it, or delete its folder to begin again",
            )
        return SpanSet()
    spans, current = SpanSet(), False
    for raw in content[len(HEADER) :].split(b"\n"):
        words = _words(raw)
        if not words:
            continue
        if words[0] == "b":
            current = boot != "" and words == ["b", boot]
            continue
        span = _span(words, size)
        if span is None:
            continue
        if words[0] == DURABLE or (words[0] == WRITTEN and current):
            spans.add(span)
        elif words[0] == GONE:
            spans.discard(span)
    return spans


def _checked(text: str) -> bytes:
    return f"{text} {zlib.crc32(text.encode()):08x}\n".encode()


def _words(raw: bytes) -> list[str]:
    text, _, check = raw.decode("ascii", "replace").rpartition(" ")
    if not text or check != f"{zlib.crc32(text.encode()):08x}":
        return []
    return text.split(" ")


def _span(words: list[str], size: int) -> Span | None:
    try:
        _, start, stop = words
        span = Span(int(start), int(stop))
    except ValueError:
        return None
    return span if span.stop <= size else None
