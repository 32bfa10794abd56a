"""mirrors.yaml as values. Parses text; finding and layering the files is `config.load`'s.

    version: 1
    endpoints:
      NAME:
        hub: huggingface | modelscope | a plug-in's     required, as is url, unless `enabled: false`
        url: https://…
        token: true | false        whether the hub's token goes there; false unless said
        region: global | a country's two letters
        connections: 1 … 64
        enabled: true | false      false takes away an entry of that name
    indexes:
      NAME:
        kind: pypi | torch | torch-links | conda        required, as is url, unless `enabled: false`
        url: https://…
        region: global | a country's two letters
        enabled: true | false
    samples:
      HUB:
        repo: owner/name           required, unless `enabled: false`
        gated: owner/name
        enabled: true | false

- Every wrong thing is a ConfigError with file, line, key, what was expected and what is there (`config.document`); a
  key that is not above is wrong, and told the nearest one that is.
- What is written behind `token` is never shown: somebody will have put the token itself there.
- No index gets a token: what pip and conda show to whom is theirs to decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from yaml.nodes import Node, ScalarNode

from modelfetch.config.document import Document, name_lines, nearest, one_of
from modelfetch.config.urls import base_url, may_carry_token
from modelfetch.config.values import DEFAULT_CONNECTIONS, HUBS, INDEX_KINDS, Endpoint, Index, Sample
from modelfetch.config.variables import MOST_CONNECTIONS
from modelfetch.redact import redact

FORMAT_VERSION = 1

# Words that `--source` understands otherwise.
RESERVED_NAMES = ("auto", "hf", "ms")

TOP_KEYS = ("version", "endpoints", "indexes", "samples")
ENDPOINT_KEYS = ("hub", "url", "token", "region", "connections", "enabled")
INDEX_KEYS = ("kind", "url", "region", "enabled")
SAMPLE_KEYS = ("repo", "gated", "enabled")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_REGION = re.compile(r"global|[a-z]{2}")
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")

Value = TypeVar("Value")


@dataclass(frozen=True)
class Entry(Generic[Value]):
    """What a file says about the name: a value, or None where it takes one away."""

    name: str
    value: Value | None
    line: int


@dataclass(frozen=True)
class Mirrors:
    """Everything that a mirrors.yaml says, each section in the file's order."""

    endpoints: tuple[Entry[Endpoint], ...] = ()
    indexes: tuple[Entry[Index], ...] = ()
    samples: tuple[Entry[Sample], ...] = ()


def read_mirrors(text: str, *, file: str) -> Mirrors:
    """What a mirrors.yaml says; `file` is for messages.

    Raises:
        ConfigError: the text is not YAML, or not of the form above.
    """
    return _Reader(Document(file)).read(text)


@dataclass(frozen=True)
class _Reader:
    document: Document

    def read(self, text: str) -> Mirrors:
        top = self.document.members(self.document.compose(text, f"version: {FORMAT_VERSION}"), "", TOP_KEYS)
        if "version" not in top:
            raise self.document.wrong(1, "version", f"version: {FORMAT_VERSION}", "nothing")
        expected = f"{FORMAT_VERSION}, the version that this modelfetch reads"
        if self.document.whole_number(top["version"], "version", expected) != FORMAT_VERSION:
            raise self.document.refused(top["version"], "version", expected)
        return Mirrors(
            self._entries(top, "endpoints", ENDPOINT_KEYS, self._endpoint),
            self._entries(top, "indexes", INDEX_KEYS, self._index),
            self._entries(top, "samples", SAMPLE_KEYS, self._sample),
        )

    def _entries(
        self,
        top: dict[str, Node],
        section: str,
        allowed: tuple[str, ...],
        read: Callable[[_Members], Value],
    ) -> tuple[Entry[Value], ...]:
        """The entries of a section; `read` makes a value of one that is not taken away."""
        entries = []
        named = self.document.members(top[section], section, None) if section in top else {}
        lines = name_lines(top[section]) if section in top else {}
        for name, node in named.items():
            key, line = f"{section}.{name}", lines[name]
            self._check_name(name, key, line, () if section == "samples" else RESERVED_NAMES)
            members = self.document.members(node, key, allowed)
            disabled = "enabled" in members and not self.document.truth(members["enabled"], f"{key}.enabled")
            value = None if disabled else read(_Members(self.document, name, key, line, members))
            entries.append(Entry(name, value, line))
        return tuple(entries)

    def _check_name(self, name: str, key: str, line: int, reserved: tuple[str, ...]) -> None:
        if not _NAME.fullmatch(name) or name in reserved:
            expected = "a name of letters, digits, `.`, `_`, `-`, at most 64 of them"
            if reserved:
                expected += ", and none of " + ", ".join(f"`{word}`" for word in reserved)
            raise self.document.wrong(line, key, expected, f"`{redact(name)}`")

    def _endpoint(self, members: _Members) -> Endpoint:
        endpoint = Endpoint(
            name=members.name,
            hub=self._hub(members.needed("hub"), f"{members.key}.hub"),
            url=members.url(),
            sends_token=members.truth("token", secret=True),
            region=members.region(),
            connections=members.number("connections", 1, MOST_CONNECTIONS, default=DEFAULT_CONNECTIONS),
        )
        if endpoint.sends_token and not may_carry_token(endpoint.url):
            expected = "https, because `token: true` is set"
            raise self.document.refused(members.needed("url"), f"{members.key}.url", expected)
        return endpoint

    def _index(self, members: _Members) -> Index:
        kind = self.document.word(members.needed("kind"), f"{members.key}.kind", INDEX_KINDS)
        return Index(members.name, kind, members.url(), members.region())

    def _sample(self, members: _Members) -> Sample:
        if members.name not in HUBS and members.name not in (known := _known_hubs()):
            got, like = f"`{redact(members.name)}`", nearest(members.name, known)
            raise self.document.wrong(members.line, members.key, one_of(known), got, like)
        return Sample(members.name, members.repo(members.needed("repo"), "repo"), members.gated())

    def _hub(self, node: Node, key: str) -> str:
        if isinstance(node, ScalarNode) and node.value in HUBS:
            return str(node.value)
        return self.document.word(node, key, _known_hubs())


def _known_hubs() -> tuple[str, ...]:
    """Every dialect that is installed. Only asked for where a name is not one of ours: looking takes time, and so does
    importing what looks.
    """
    from importlib.metadata import entry_points

    return tuple(sorted({*HUBS, *entry_points(group="modelfetch.hubs").names}))


@dataclass(frozen=True)
class _Members:
    """The members of one entry, and how each is read."""

    document: Document
    name: str
    key: str
    line: int
    by_name: dict[str, Node]

    def needed(self, name: str) -> Node:
        return self.document.required(self.by_name, name, self.key, self.line)

    def url(self) -> str:
        node, key = self.needed("url"), f"{self.key}.url"
        if not isinstance(node, ScalarNode):
            raise self.document.refused(node, key, "a URL such as https://hub.example.com")
        try:
            return base_url(node.value)
        except ValueError as error:
            raise self.document.refused(node, key, str(error)) from error

    def region(self) -> str:
        # `no` is Norway to people and false to YAML, so the text is taken and not what YAML makes of it.
        expected = "`global` or the two small letters of a country"
        node = self.by_name.get("region")
        return self.document.text(node, f"{self.key}.region", _REGION, expected) if node else "global"

    def repo(self, node: Node, name: str) -> str:
        return self.document.text(node, f"{self.key}.{name}", _REPO, "a model's owner/name")

    def gated(self) -> str | None:
        node = self.by_name.get("gated")
        return self.repo(node, "gated") if node else None

    def truth(self, name: str, *, secret: bool = False) -> bool:
        """Whether it is true; it is not where nothing is said."""
        node = self.by_name.get(name)
        return node is not None and self.document.truth(node, f"{self.key}.{name}", secret=secret)

    def number(self, name: str, least: int, most: int, *, default: int) -> int:
        node, key = self.by_name.get(name), f"{self.key}.{name}"
        if node is None:
            return default
        expected = f"a whole number between {least} and {most}"
        number = self.document.whole_number(node, key, expected)
        if not least <= number <= most:
            raise self.document.refused(node, key, expected)
        return number
