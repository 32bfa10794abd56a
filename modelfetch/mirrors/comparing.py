"""Who sends other bytes than the others, of a file that all list with the same digest. Decides only.

Of a large file only the beginning comes when an endpoint is tried, which no digest proves. But the same digest means
the same bytes, so that two beginnings which differ show that somebody lies:

- Whoever differs from an endpoint that is trusted with a token, or from more endpoints than agree with it, is wrong.
- Where that does not decide it, each is told of the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Beginning:
    """The first bytes that an endpoint sent of the file with this digest."""

    path: str
    digest: str
    content: bytes
    is_trusted: bool

    def agrees(self, other: Beginning) -> bool:
        """Whether both may be the beginning of one file."""
        common = min(len(self.content), len(other.content))
        return self.content[:common] == other.content[:common]


@dataclass(frozen=True)
class Verdict:
    """What an endpoint is told of another one; `is_wrong` where it is this one that lies."""

    is_wrong: bool
    text: str


def compare(beginnings: Mapping[str, Beginning]) -> dict[str, Verdict]:
    """The verdict on each endpoint, by name, that sends other bytes than another one."""
    weights = {name: _weight(one, beginnings) for name, one in beginnings.items()}
    verdicts = {}
    for name, one in beginnings.items():
        others = [other for other, its in beginnings.items() if its.digest == one.digest and not its.agrees(one)]
        if not others:
            continue
        strongest = max(others, key=lambda other: weights[other])
        if weights[strongest] > weights[name]:
            verdicts[name] = Verdict(True, f"other bytes of {one.path} than {strongest} sends")
        elif weights[strongest] == weights[name]:
            text = f"sends other bytes of {one.path} than {strongest}: one of them is wrong"
            verdicts[name] = Verdict(False, text)
    return verdicts


def _weight(one: Beginning, beginnings: Mapping[str, Beginning]) -> tuple[bool, int]:
    agreeing = [other for other in beginnings.values() if other.digest == one.digest and other.agrees(one)]
    return any(other.is_trusted for other in agreeing), len(agreeing)
