"""A YAML text as names with values, each with its line. Knows no key of anybody's: the forms are others'.

- What is refused is a ConfigError with file, line, key, what was expected and what is there; where a word was asked
  for and one like it is there, the nearest that is allowed.
- A key that stands twice is wrong: YAML would silently take the last one.
- Nothing is constructed from tags, so that a file cannot make Python do anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from modelfetch.errors import ConfigError
from modelfetch.redact import redact

WHOLE_FILE = "(the whole file)"
_LONGEST_SHOWN = 100


@dataclass(frozen=True)
class Document:
    """The YAML of one file; `file` is for messages."""

    file: str

    def compose(self, text: str, expected: str) -> Node:
        """The text's only node; `expected` is what a text that holds nothing should begin with.

        Raises:
            ConfigError: it is not YAML, or holds nothing.
        """
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            said = ", ".join(text for text in (error.context, error.problem) if text)
            raise self.wrong(line, WHOLE_FILE, "YAML", redact(said)) from error
        except yaml.YAMLError as error:
            raise self.wrong(1, WHOLE_FILE, "YAML", redact(str(error))) from error
        except RecursionError as error:
            raise self.wrong(1, WHOLE_FILE, "YAML", "lists in lists without end") from error
        if node is None:
            raise self.wrong(1, WHOLE_FILE, expected, "an empty file")
        return node

    def members(self, node: Node, key: str, allowed: tuple[str, ...] | None) -> dict[str, Node]:
        """The members of a mapping by name, each one there once; `allowed` are the names it may have, None for any.

        Raises:
            ConfigError: it is no mapping, or one of its names is wrong.
        """
        if not isinstance(node, MappingNode):
            raise self.refused(node, key or WHOLE_FILE, "names with values, each `name: …`")
        members: dict[str, Node] = {}
        for name_node, value in node.value:
            name = _name(name_node)
            full = f"{key}.{name}" if key else name
            if allowed is not None and name not in allowed:
                raise self.wrong(line_of(name_node), full, one_of(allowed), _shown(name), nearest(name, allowed))
            if name in members:
                raise self.wrong(line_of(name_node), full, "each name once", "the name a second time")
            members[name] = value
        return members

    def required(self, members: Mapping[str, Node], name: str, key: str, line: int) -> Node:
        """The member `name`, which what stands at `line` must have."""
        if name not in members:
            raise self.wrong(line, f"{key}.{name}", f"a `{name}`", "nothing")
        return members[name]

    def truth(self, node: Node, key: str, *, secret: bool = False) -> bool:
        """`true` or `false`; what is there instead is not shown where it is `secret`."""
        if node.tag != "tag:yaml.org,2002:bool":
            got = "something else (not shown)" if secret else None
            raise self.refused(node, key, "true or false", got=got)
        return str(node.value).lower() in {"true", "yes", "on"}

    def whole_number(self, node: Node, key: str, expected: str) -> int:
        """A number of plain digits; `expected` says which ones may be there."""
        if not isinstance(node, ScalarNode) or not re.fullmatch(r"[0-9]{1,9}", node.value):
            raise self.refused(node, key, expected)
        return int(node.value)

    def word(self, node: Node, key: str, allowed: Iterable[str]) -> str:
        """One of the words that are allowed."""
        words = tuple(allowed)
        if not isinstance(node, ScalarNode) or node.value not in words:
            raise self.refused(node, key, one_of(words), near=words)
        return str(node.value)

    def text(self, node: Node, key: str, pattern: re.Pattern[str], expected: str) -> str:
        """The text as it is written, whatever YAML would make of it."""
        if not isinstance(node, ScalarNode) or not pattern.fullmatch(node.value):
            raise self.refused(node, key, expected)
        return str(node.value)

    def refused(
        self, node: Node, key: str, expected: str, *, got: str | None = None, near: tuple[str, ...] = ()
    ) -> ConfigError:
        """The error for a value that cannot be used."""
        shown, like = "a list", None
        if isinstance(node, MappingNode):
            shown = "names with values"
        elif isinstance(node, ScalarNode):
            shown, like = _shown(node.value), nearest(node.value, near)
        return self.wrong(line_of(node), key, expected, got or shown, like)

    def wrong(self, line: int, key: str, expected: str, got: str, like: str | None = None) -> ConfigError:
        """The error for `got` at `key`; `like` is the allowed word that was probably meant."""
        facts = {"key": _cut(redact(key)), "expected": expected, "got": got}
        if like is not None:
            facts["nearest"] = f"`{like}`"
        return ConfigError(f"`{self.file}` line {line} cannot be used", facts=facts)


def line_of(node: Node) -> int:
    return int(node.start_mark.line) + 1


def name_lines(node: Node) -> dict[str, int]:
    """Where the names of a mapping stand; a value may begin a line later, or elsewhere if it is an alias."""
    return {_name(name): line_of(name) for name, _ in node.value} if isinstance(node, MappingNode) else {}


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that `word` was probably meant to be."""
    return next(iter(get_close_matches(word, tuple(allowed), n=1)), None)


def one_of(words: Iterable[str]) -> str:
    return "one of " + ", ".join(f"`{word}`" for word in words)


def _name(node: Node) -> str:
    return str(node.value) if isinstance(node, ScalarNode) else "(not a name)"


def _shown(value: str) -> str:
    return f"`{_cut(redact(value))}`" if value else "nothing"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
