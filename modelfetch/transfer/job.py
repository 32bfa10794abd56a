"""What a transfer is given and what it tells afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from modelfetch.hashing import Pieces
from modelfetch.http import Credential
from modelfetch.manifest import Digests, Entry


@dataclass(frozen=True)
class Source:
    """One file at one endpoint. `credential` is shown to its own origin only, whatever `url` redirects to.

    `trusted`: the endpoint is the hub's own, or its user trusts it with a token. Its bytes are checked like any others.
    """

    endpoint: str
    url: str
    credential: Credential | None = None
    trusted: bool = False


@dataclass(frozen=True)
class Job:
    """One file to bring, from any of `sources`; the first is the manifest's own endpoint."""

    entry: Entry
    sources: tuple[Source, ...]

    def source(self, endpoint: str) -> Source:
        return next(source for source in self.sources if source.endpoint == endpoint)


class Landing(Protocol):
    """Who keeps partials and takes what is whole. Called from several threads, once at a time for one entry.

    What is handed over has been verified against the entry's digests; `digests` are what was computed (sha256 always).
    """

    def find(self, entry: Entry) -> Digests | None:
        """The digests of these bytes when they are there already."""

    def partial(self, entry: Entry) -> Path:
        """The folder for the entry's partial; need not exist."""

    def pieces(self, entry: Entry) -> Pieces | None:
        """What is known of the entry's pieces, from when it was whole somewhere."""

    def salvage(self, entry: Entry, *, beyond: int) -> Path | None:
        """What is left of a damaged copy, if that is more than `beyond` bytes: a file to write to, which the caller
        takes away by renaming it.

        The caller owns the entry's partial, and has just not found the entry.
        """

    def publish(self, entry: Entry, data: Path, digests: Digests, pieces: Pieces | None = None) -> None:
        """Take the file `data`, which nobody writes to any more."""

    def publish_bytes(self, entry: Entry, content: bytes | memoryview, digests: Digests) -> None:
        """Take a small file's content."""


@dataclass(frozen=True)
class Report:
    """What came from where: bytes and failures by endpoint, the digests of every file brought, by path."""

    bytes_by_endpoint: Mapping[str, int]
    failures_by_endpoint: Mapping[str, int]
    digests: Mapping[str, Digests]
    resumed_bytes: int
    wrong_senders: Mapping[str, tuple[str, ...]]

    @property
    def transferred_bytes(self) -> int:
        return sum(self.bytes_by_endpoint.values())


@dataclass(frozen=True)
class Options:
    """How a transfer goes about it. `connections` caps the lanes of every endpoint; `caps` are the endpoints' own.

    `begin` is how many lanes an endpoint begins with, where that is known; the first of them begins before the others.
    """

    connections: int | None = None
    limit_rate: int | None = None
    caps: Mapping[str, int] = field(default_factory=dict)
    begin: Mapping[str, int] = field(default_factory=dict)
