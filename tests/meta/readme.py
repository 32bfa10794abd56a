"""A README as what it tells to type: its blocks of commands, and the output that it shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.meta.source import ROOT

READMES = ("README.md", "README.zh-CN.md")

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"\s+#.*")
# What differs from run to run and from machine to machine.
_SHARES = re.compile(r"from [a-z0-9-]+ \d+%(?:, [a-z0-9-]+ \d+%)*")
_MASKS = (
    (_SHARES, "from SOURCES"),
    (re.compile(r"\b[0-9a-f]{7,64}\b"), "HEX"),
    (re.compile(r"\d+ min \d+ s|[\d.]+ m?s\b"), "TIME"),
    (re.compile(r"[\d.]+ (?:B|kB|MB|GB)\b"), "SIZE"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d"), "MOMENT"),
    (re.compile(r" {2,}"), "  "),
)
# Lines of a smoke test that tell of the machine; only that they are there is the same everywhere.
_OF_THE_MACHINE = re.compile(r"^  (device|type|memory|speed|ran with) .*")


@dataclass(frozen=True)
class Step:
    """One command as it is typed, `python` where it is a block of Python; `shown` is its output, None if not shown."""

    command: str
    shown: str | None = None
    language: str = "bash"


def steps(readme: str) -> Iterator[Step]:
    """What a reader is told to do with modelfetch, in the README's order. Blocks of `sh` are about installing it."""
    for language, block in _BLOCK.findall((ROOT / readme).read_text(encoding="utf-8")):
        if language == "console":
            for part in block.removeprefix("$ ").split("\n$ "):
                command, _, shown = part.partition("\n")
                yield Step(command, shown)
        elif language == "bash":
            yield from (Step(_COMMENT.sub("", line)) for line in block.splitlines())
        elif language == "python":
            yield Step(block, language=language)


def commands(readme: str) -> list[str]:
    """Every line that is to be typed, installing included, without comments."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    installing = [line for language, block in _BLOCK.findall(text) if language == "sh" for line in block.splitlines()]
    return installing + [step.command for step in steps(readme)]


def masked(output: str, home: Path) -> list[str]:
    """The lines of an output without what differs from run to run."""
    text = output.replace(str(home), "/home/me").rstrip()
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return [_OF_THE_MACHINE.sub(r"  \1", line).rstrip() for line in text.splitlines()]
