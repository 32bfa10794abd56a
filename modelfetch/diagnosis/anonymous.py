"""Text without what tells who and where somebody is: for a report that may be shown to anybody. Pure.

- No token, no password, no name of a user, a machine or a model, no path but those that every machine has, no host but
  the known ones, no address, no UUID.
- What is not known to be harmless goes: a path, an address or a name in backticks is not judged by how it looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from modelfetch.redact import redact

# Where systems keep their own files; nobody's name is in these, but for what comes below /usr/local and /opt.
_SYSTEM = re.compile(r"/(?:usr/(?:bin|lib|lib64|local/cuda[^/\s`]*)|lib|lib64|proc|sys|dev|run|etc)(?:/[\w.+@:-]+)*/?")

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://(?P<host>[^/\s`'\"<>?#:]*)[^\s`'\"<>]*(?<![,;.)])")
_QUOTED_PATH = re.compile(r"(?<=[`\"])(?:~|[A-Za-z]:)?[/\\][^`\"]*(?=[`\"])")
_PATH = re.compile(r"(?<![\w.~/])(?:~|[A-Za-z]:)?[/\\][^\s`'\",;:)]+")
_QUOTED_NAME = re.compile(r"`[\w.-]+/[\w./-]+`|`(?:[\w-]+\.)+(?!(?:so|py|json|safetensors|gguf|bin|yaml)`)[a-z]{2,}`")
_HOST = re.compile(r"(?<![\w./@-])(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:[a-z]{2,})(?=:)")
# A GPU may be named by the beginning of its UUID alone.
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|(?<=(?:GPU|MIG)-)[0-9a-fA-F-]{4,}")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
_IPV6 = re.compile(r"\[?(?<![\w:])(?:[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{0,4}(?![\w:])\]?")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


@dataclass(frozen=True)
class Private:
    """What must not be told: `words` by themselves, and every host but the `public_hosts`."""

    words: tuple[str, ...] = ()
    public_hosts: frozenset[str] = frozenset()


def anonymous(text: str, private: Private) -> str:
    """`text` with all of it replaced by a word for what it was."""
    text = _URL.sub(lambda match: match.group() if match["host"] in private.public_hosts else "URL", redact(text))
    hidden: list[str] = []
    text = _URL.sub(lambda match: _set_aside(match.group(), hidden), text)
    text = _MAIL.sub("MAIL", text)
    for pattern in (_QUOTED_PATH, _PATH):
        text = pattern.sub(lambda match: match.group() if _SYSTEM.fullmatch(match.group()) else "PATH", text)
    text = _QUOTED_NAME.sub("`NAME`", text)
    text = _HOST.sub(lambda match: match.group() if match.group() in private.public_hosts else "HOST", text)
    for pattern, word in ((_UUID, "UUID"), (_IPV4, "ADDRESS"), (_IPV6, "ADDRESS")):
        text = pattern.sub(word, text)
    for word in _longest_first(private.words):
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "NAME", text)
    return re.sub("\x00(\\d+)\x00", lambda match: hidden[int(match[1])], text)


def _set_aside(text: str, hidden: list[str]) -> str:
    hidden.append(text)
    return f"\x00{len(hidden) - 1}\x00"


def _longest_first(words: Iterable[str]) -> list[str]:
    return sorted({word for word in words if word}, key=len, reverse=True)
