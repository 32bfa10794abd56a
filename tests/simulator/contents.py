"""What the simulated hubs hold: contents with their digests, and repositories whose branch can move."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

SEGMENT_BYTES = 256 * 1024


@dataclass(frozen=True)
class Content:
    """The bytes of one file, in memory or in a file (then nothing of it is held in memory)."""

    source: bytes | Path

    @cached_property
    def size(self) -> int:
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @cached_property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for segment in self.segments(0, self.size):
            digest.update(segment)
        return digest.hexdigest()

    @cached_property
    def git_sha1(self) -> str:
        """The id that git gives a blob of these bytes."""
        digest = hashlib.sha1(b"blob %d\0" % self.size)
        for segment in self.segments(0, self.size):
            digest.update(segment)
        return digest.hexdigest()

    @cached_property
    def pointer(self) -> Content:
        """What git itself holds where the bytes are kept by LFS."""
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n"
        return Content(text.encode())

    def segments(self, start: int, stop: int, size: int = SEGMENT_BYTES) -> Iterator[memoryview]:
        """The bytes from `start` to `stop`, copied nowhere when they are in memory."""
        if isinstance(self.source, bytes):
            view = memoryview(self.source)
            for offset in range(start, stop, size):
                yield view[offset : min(offset + size, stop)]
            return
        with self.source.open("rb") as file:
            for offset in range(start, stop, size):
                yield memoryview(os.pread(file.fileno(), min(size, stop - offset), offset))


@dataclass(frozen=True)
class Commit:
    """The files of a repository at one moment."""

    id: str
    files: Mapping[str, Content]


class Repo:
    """A repository: its branch's head and every commit that it ever had."""

    def __init__(self, name: str, files: Mapping[str, bytes | Path]) -> None:
        self.name = name
        self._commits: dict[str, Commit] = {}
        self.head = self.replace(files)

    def replace(self, files: Mapping[str, bytes | Path]) -> Commit:
        """Move the branch to a new commit; the older ones stay readable by their ids."""
        contents = {path: Content(source) for path, source in files.items()}
        rows = [f"{path} {content.size} {content.git_sha1}" for path, content in sorted(contents.items())]
        identity = "\n".join([self.name, str(len(self._commits)), *rows])
        commit = Commit(hashlib.sha1(identity.encode()).hexdigest(), contents)
        self._commits[commit.id] = commit
        self.head = commit
        return commit

    def at(self, revision: str) -> Commit | None:
        """The commit that a branch's name or a commit's id stands for."""
        return self.head if revision in {"main", "master"} else self._commits.get(revision)


@dataclass(frozen=True)
class Shelf:
    """The repositories and how both dialects show them."""

    repos: Mapping[str, Repo]
    lfs_threshold: int
    gated: frozenset[str]
    token: str | None
    page_size: int
    sha256_listed: bool

    def is_lfs(self, content: Content) -> bool:
        return content.size >= self.lfs_threshold


def front_matter(files: Mapping[str, Content]) -> dict[str, str]:
    """The `name: value` lines between the first two `---` of the model card."""
    card = files.get("README.md")
    if card is None:
        return {}
    text = b"".join(card.segments(0, card.size)).decode("utf-8", "replace")
    if not text.startswith("---\n"):
        return {}
    lines = text.removeprefix("---\n").partition("\n---")[0].splitlines()
    pairs = (line.partition(":") for line in lines if not line.startswith((" ", "-", "#")))
    return {name.strip(): value.strip() for name, colon, value in pairs if colon and value.strip()}
