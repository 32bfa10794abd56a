"""What the words in environment variables and options mean: truth, numbers, sizes, paths, tokens. Reads nothing itself.

- `20M` is twenty million bytes, as links and disks count; `20Mi` is 20 x 1024 x 1024.
- An empty variable is an unset one.
- A token is stripped of white space around it; one with white space, quotes or control signs inside was pasted wrongly
  and is refused without being shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

from modelfetch.errors import ConfigError, UsageError

# A hub counts requests and a disk has one head's worth of patience: more lanes than this only make each of them slower.
MOST_CONNECTIONS = 64

_TRUE = {"1", "on", "yes", "true"}
_FALSE = {"0", "off", "no", "false"}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<prefix>[kmgt]?)(?P<binary>i?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_TOKEN = re.compile(r"[!#-&(-_a-~]+")


def parse_size(text: str) -> int:
    """`20M`, `1.5G`, `512Ki` or `1000000` as bytes.

    Raises:
        UsageError: it is none of these, or it is nothing.
    """
    match = _SIZE.fullmatch(text.strip())
    size = 0
    if match and (match["prefix"] or not match["binary"]):
        unit = 1024 if match["binary"] else 1000
        size = int(float(match["number"]) * unit ** _POWERS[match["prefix"].lower()])
    if size < 1:
        raise UsageError(f"`{text}` is not a size", facts={"expected": "a size such as 20M, 1.5G, 512Ki or 1000000"})
    return size


def is_set(text: str | None) -> bool:
    """Whether another tool's switch is on, as those tools read it: whatever is not a yes is a no."""
    return (text or "").strip().lower() in _TRUE


def switch(name: str, text: str) -> bool:
    """Our own switch `name`, which must be a clear yes or no.

    Raises:
        ConfigError: it is neither.
    """
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ConfigError(f"`{name}` cannot be used", facts={"expected": "1 or 0", "got": f"`{text}`"})
    return word in _TRUE


def connections(name: str, text: str) -> int:
    """The number of lanes that `name` asks for.

    Raises:
        ConfigError: it is not a number, or not between 1 and 64.
    """
    if not text.strip().isdecimal() or not 1 <= int(text) <= MOST_CONNECTIONS:
        expected = f"a whole number between 1 and {MOST_CONNECTIONS}"
        raise ConfigError(f"`{name}` cannot be used", facts={"expected": expected, "got": f"`{text}`"})
    return int(text)


def token(source: str, text: str) -> str | None:
    """The token that `source` (a variable or a file) holds, or None where it holds nothing.

    Raises:
        ConfigError: it was pasted with something that no token has. It is not shown.
    """
    stripped = text.strip()
    if not stripped:
        return None
    if not _TOKEN.fullmatch(stripped):
        raise ConfigError(
            f"the token in `{source}` cannot be used",
            facts={
                "expected": "letters, digits and signs in one line, without quotes",
                "got": "something else (not shown)",
            },
        )
    return stripped


def path(text: str, environment: Mapping[str, str]) -> Path:
    """`text` as a path, with `~` and `$NAME` read from `environment`."""
    written = Template(text).safe_substitute(environment)
    if written == "~" or written.startswith("~/"):
        return home_folder(environment) / written[2:]
    return Path(written).expanduser()


def home_folder(environment: Mapping[str, str]) -> Path:
    """The user's home folder."""
    return Path(environment["HOME"]) if environment.get("HOME") else Path.home()
