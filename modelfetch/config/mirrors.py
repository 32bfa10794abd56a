"""mirrors.yaml as endpoints. Parses text; finding and layering the files is `config.load`'s.

    version: 1
    endpoints:
      NAME:
        hub: huggingface | modelscope | a plug-in's     required, as is url, unless `enabled: false`
        url: https://…
        token: true | false        whether the hub's token goes there; false unless said
        region: global | a country's two letters
        connections: 1 … 64
        enabled: true | false      false takes away an entry of that name

- Every wrong thing is a ConfigError with file, line, key, what was expected and what is there; a key that is not above
  is wrong.
- A key that stands twice is wrong: YAML would silently take the last one.
- Nothing is constructed from tags, so that a file cannot make Python do anything.
- What is written behind `token` is never shown: somebody will have put the token itself there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from modelfetch.config.urls import base_url, may_carry_token
from modelfetch.config.values import DEFAULT_CONNECTIONS, HUBS, Endpoint
from modelfetch.config.variables import MOST_CONNECTIONS
from modelfetch.errors import ConfigError
from modelfetch.redact import redact

FORMAT_VERSION = 1

# Words that `--source` understands otherwise.
RESERVED_NAMES = {"auto", "hf", "ms"}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_REGION = re.compile(r"global|[a-z]{2}")
_TOP_KEYS = ("version", "endpoints")
_ENTRY_KEYS = ("hub", "url", "token", "region", "connections", "enabled")


@dataclass(frozen=True)
class Entry:
    """What a file says about the name: an endpoint, or None where it takes one away."""

    name: str
    endpoint: Endpoint | None
    line: int


def read_mirrors(text: str, *, file: str) -> tuple[Entry, ...]:
    """The entries of a mirrors.yaml, in its order; `file` is for messages.

    Raises:
        ConfigError: the text is not YAML, or not of the form above.
    """
    return _Reader(file).read(text)


@dataclass(frozen=True)
class _Reader:
    file: str

    def read(self, text: str) -> tuple[Entry, ...]:
        top = self._members(self._compose(text), "", _TOP_KEYS)
        if "version" not in top:
            raise self._wrong(1, "version", f"version: {FORMAT_VERSION}", "nothing")
        if self._whole_number(top["version"], "version") != FORMAT_VERSION:
            raise self._refused(top["version"], "version", f"{FORMAT_VERSION}, the version that this modelfetch reads")
        if "endpoints" not in top:
            return ()
        entries = self._members(top["endpoints"], "endpoints", None)
        return tuple(self._entry(name, node) for name, node in entries.items())

    def _compose(self, text: str) -> Node:
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            raise self._wrong(line, "(the whole file)", "YAML", str(error.problem or error.context)) from error
        except yaml.YAMLError as error:
            raise self._wrong(1, "(the whole file)", "YAML", redact(str(error))) from error
        if node is None:
            raise self._wrong(1, "(the whole file)", f"version: {FORMAT_VERSION}", "an empty file")
        return node

    def _entry(self, name: str, node: Node) -> Entry:
        key = f"endpoints.{name}"
        if not _NAME.fullmatch(name) or name in RESERVED_NAMES:
            expected = "letters, digits, `.`, `_`, `-`, at most 64 of them, and none of " + _listed(RESERVED_NAMES)
            raise self._wrong(_line(node), key, f"a name of {expected}", f"`{redact(name)}`")
        members = self._members(node, key, _ENTRY_KEYS)
        if "enabled" in members and not self._truth(members["enabled"], f"{key}.enabled"):
            return Entry(name, None, _line(node))
        for needed in ("hub", "url"):
            if needed not in members:
                raise self._wrong(_line(node), f"{key}.{needed}", f"a `{needed}`", "nothing")
        endpoint = Endpoint(
            name=name,
            hub=self._hub(members["hub"], f"{key}.hub"),
            url=self._url(members["url"], f"{key}.url"),
            sends_token="token" in members and self._truth(members["token"], f"{key}.token", secret=True),
            region=self._region(members["region"], f"{key}.region") if "region" in members else "global",
            connections=self._connections(members.get("connections"), f"{key}.connections"),
        )
        if endpoint.sends_token and not may_carry_token(endpoint.url):
            raise self._refused(members["url"], f"{key}.url", "https, because `token: true` is set")
        return Entry(name, endpoint, _line(node))

    def _members(self, node: Node, key: str, allowed: tuple[str, ...] | None) -> dict[str, Node]:
        """The members of a mapping by name, each one known and there once."""
        if not isinstance(node, MappingNode):
            raise self._refused(node, key or "(the whole file)", "names with values, each `name: …`")
        members: dict[str, Node] = {}
        for name_node, value in node.value:
            name = str(name_node.value) if isinstance(name_node, ScalarNode) else "(not a name)"
            full = f"{key}.{name}" if key else name
            if allowed is not None and name not in allowed:
                raise self._wrong(_line(name_node), full, f"one of {_listed(allowed)}", f"`{redact(name)}`")
            if name in members:
                raise self._wrong(_line(name_node), full, "each name once", "the name a second time")
            members[name] = value
        return members

    def _truth(self, node: Node, key: str, *, secret: bool = False) -> bool:
        if node.tag != "tag:yaml.org,2002:bool":
            got = "something else (not shown)" if secret else None
            raise self._refused(node, key, "true or false", got=got)
        return str(node.value).lower() in {"true", "yes", "on"}

    def _whole_number(self, node: Node, key: str) -> int:
        if not isinstance(node, ScalarNode) or not re.fullmatch(r"[0-9]{1,9}", node.value):
            raise self._refused(node, key, "a whole number")
        return int(node.value)

    def _connections(self, node: Node | None, key: str) -> int:
        if node is None:
            return DEFAULT_CONNECTIONS
        number = self._whole_number(node, key)
        if not 1 <= number <= MOST_CONNECTIONS:
            raise self._refused(node, key, f"a whole number between 1 and {MOST_CONNECTIONS}")
        return number

    def _hub(self, node: Node, key: str) -> str:
        if isinstance(node, ScalarNode) and node.value in HUBS:
            return str(node.value)
        # Only asked for where the name is not one of ours: looking through what is installed takes time, and so does
        # importing what looks.
        from importlib.metadata import entry_points

        known = sorted({*HUBS, *entry_points(group="modelfetch.hubs").names})
        if not isinstance(node, ScalarNode) or node.value not in known:
            raise self._refused(node, key, f"one of {_listed(known)}")
        return str(node.value)

    def _url(self, node: Node, key: str) -> str:
        if not isinstance(node, ScalarNode):
            raise self._refused(node, key, "a URL such as https://hub.example.com")
        try:
            return base_url(node.value)
        except ValueError as error:
            raise self._refused(node, key, str(error)) from error

    def _region(self, node: Node, key: str) -> str:
        # `no` is Norway to people and false to YAML, so the text is taken and not what YAML makes of it.
        if not isinstance(node, ScalarNode) or not _REGION.fullmatch(node.value):
            raise self._refused(node, key, "`global` or the two small letters of a country")
        return str(node.value)

    def _refused(self, node: Node, key: str, expected: str, *, got: str | None = None) -> ConfigError:
        shown = (
            f"`{redact(node.value)}`"
            if isinstance(node, ScalarNode)
            else "names with values"
            if isinstance(node, MappingNode)
            else "a list"
        )
        return self._wrong(_line(node), key, expected, got or shown)

    def _wrong(self, line: int, key: str, expected: str, got: str) -> ConfigError:
        return ConfigError(
            f"`{self.file}` line {line} cannot be used",
            facts={"key": redact(key), "expected": expected, "got": got},
        )


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in (words if isinstance(words, tuple) else sorted(words)))
