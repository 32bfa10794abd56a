"""Where pip, uv and conda get packages from: their variables and their files, read as they read them.

What is shown of an address never holds its user or password. A file that cannot be read or parsed says nothing.
"""

from __future__ import annotations

import configparser
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelfetch.config import Settings
from modelfetch.diagnosis.machine import Machine
from modelfetch.redact import redact_url

PYPI = "https://pypi.org/simple"
CONDA = "https://conda.anaconda.org"

_LONGEST_FILE = 1 << 20
# Variable, tool, whether it stands beside the index instead of replacing it.
_VARIABLES = (
    ("PIP_INDEX_URL", "pip", False),
    ("PIP_EXTRA_INDEX_URL", "pip", True),
    ("UV_DEFAULT_INDEX", "uv", False),
    ("UV_INDEX_URL", "uv", False),
    ("UV_INDEX", "uv", True),
    ("UV_EXTRA_INDEX_URL", "uv", True),
)


@dataclass(frozen=True)
class SetIndex:
    """An index that a tool is set to. `is_extra` says that it is asked beside the others; `origin` who says so."""

    tool: str
    url: str
    origin: str
    is_extra: bool = False


@dataclass(frozen=True)
class IndexFacts:
    """What is set, strongest first. A tool that has nothing set asks the official index."""

    indexes: tuple[SetIndex, ...] = ()

    def of(self, tool: str) -> str:
        """The index that `tool` asks."""
        return next(
            (each.url for each in self.indexes if each.tool == tool and not each.is_extra),
            CONDA if tool == "conda" else PYPI,
        )


def read_indexes(machine: Machine, _settings: Settings) -> IndexFacts:
    found = [*_variables(machine.environment)]
    for file in _pip_files(machine):
        found += _from_pip(file)
    for file in _uv_files(machine):
        found += _from_uv(file)
    found += _from_conda(_home(machine) / ".condarc")
    return IndexFacts(tuple(dict.fromkeys(found)))


def _variables(environment: Mapping[str, str]) -> Iterator[SetIndex]:
    for name, tool, is_extra in _VARIABLES:
        for word in environment.get(name, "").split():
            # uv's may carry a name: `mirror=https://…`.
            url = word[word.index("=http") + 1 :] if "=http" in word else word
            yield SetIndex(tool, redact_url(url), name, is_extra)


def _home(machine: Machine) -> Path:
    return Path(machine.environment.get("HOME") or Path.home())


def _configuration(machine: Machine) -> Path:
    return Path(machine.environment.get("XDG_CONFIG_HOME") or _home(machine) / ".config")


def pip_user_file(machine: Machine) -> Path:
    """The file in which pip keeps what this user has set, whether it is there or not."""
    return _configuration(machine) / "pip/pip.conf"


def _pip_files(machine: Machine) -> list[Path]:
    files = [machine.interpreter.prefix / "pip.conf", pip_user_file(machine)]
    files += [_home(machine) / ".pip/pip.conf", machine.root / "etc/pip.conf"]
    named = machine.environment.get("PIP_CONFIG_FILE")
    return [Path(named)] if named else files


def _uv_files(machine: Machine) -> list[Path]:
    named = machine.environment.get("UV_CONFIG_FILE")
    return [Path(named)] if named else [_configuration(machine) / "uv/uv.toml", machine.root / "etc/uv/uv.toml"]


def _text(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(_LONGEST_FILE)
    except OSError:
        return ""


def _from_pip(file: Path) -> Iterator[SetIndex]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(_text(file))
    except configparser.Error:
        return
    for section in ("install", "global"):
        for key, is_extra in (("index-url", False), ("extra-index-url", True)):
            for url in parser.get(section, key, fallback="").split():
                yield SetIndex("pip", redact_url(url), str(file), is_extra)


def _from_uv(file: Path) -> Iterator[SetIndex]:
    try:
        document = tomllib.loads(_text(file))
    except tomllib.TOMLDecodeError:
        return
    for table in (document, document.get("pip")):
        yield from _of_uv_table(table if isinstance(table, dict) else {}, str(file))
    for entry in _listed(document.get("index")):
        if isinstance(entry, dict) and isinstance(entry.get("url"), str):
            yield SetIndex("uv", redact_url(entry["url"]), str(file), is_extra=not entry.get("default"))


def _of_uv_table(table: Mapping[str, Any], origin: str) -> Iterator[SetIndex]:
    if isinstance(table.get("index-url"), str):
        yield SetIndex("uv", redact_url(table["index-url"]), origin)
    for url in _listed(table.get("extra-index-url")):
        yield SetIndex("uv", redact_url(str(url)), origin, is_extra=True)


def _from_conda(file: Path) -> Iterator[SetIndex]:
    try:
        document = yaml.safe_load(_text(file))
    except yaml.YAMLError:
        return
    table = document if isinstance(document, dict) else {}
    for url in (table.get("channel_alias"), *_listed(table.get("default_channels")), *_listed(table.get("channels"))):
        if isinstance(url, str) and "://" in url:
            yield SetIndex("conda", redact_url(url), str(file))


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
