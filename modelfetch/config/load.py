"""Lays settings over each other: built-in mirrors.yaml, the user's, the environment. Options are the caller's to add.

- A later layer wins; `Settings.origins` says which layer a value is from.
- The user's mirrors.yaml replaces entries of the same name and takes away those with `enabled: false`.
- HF_ENDPOINT stands alone for all endpoints of its dialect, as it does for the hub's own client; MODELSCOPE_ENDPOINT
  likewise. Neither makes an endpoint get a token. One that mirrors.yaml knows keeps its name and its connections.
- Other tools' variables are read as those tools read them; our own ones must be right, or the ConfigError names them.
- A token is read here and never shown.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from modelfetch.config import variables
from modelfetch.config.document import Document, nearest
from modelfetch.config.endpoints import endpoint_at, named_apart, source_names
from modelfetch.config.mirrors import Entry, Mirrors, Value, read_mirrors
from modelfetch.config.urls import base_url
from modelfetch.config.values import Endpoint, Settings
from modelfetch.errors import ConfigError, UsageError
from modelfetch.redact import redact

BUILT_IN = "built-in"

# A hub's token is about forty letters. A file that is longer holds something else, and is not read to its end.
_LONGEST_TOKEN_FILE = 4096
_LONGEST_MIRRORS_FILE = 1 << 20


def load(environment: Mapping[str, str] | None = None, *, user_file: Path | None = None) -> Settings:
    """Every setting, from the files and from `environment` (the process's own where it is None).

    Raises:
        ConfigError: a mirrors.yaml or a variable holds something that cannot be used.
    """
    return _Layers(dict(os.environ) if environment is None else environment).load(user_file)


def load_built_in(environment: Mapping[str, str]) -> Settings:
    """The built-in endpoints and the user's folders, and nothing that can be wrong: for whoever must go on."""
    folders = ("HOME", "XDG_CACHE_HOME", "MODELFETCH_HOME", "HF_HOME", "HF_HUB_CACHE", "MODELSCOPE_CACHE")
    kept = {name: environment[name] for name in folders if name in environment}
    # The saved token may be what is wrong.
    return load({**kept, "HF_TOKEN_PATH": os.devnull}, user_file=_built_in_file())


def user_mirrors_file(environment: Mapping[str, str]) -> Path:
    """Where the user's mirrors.yaml is read from, whether it is there or not."""
    if environment.get("MODELFETCH_CONFIG"):
        return variables.path(environment["MODELFETCH_CONFIG"], environment)
    return (
        _platform_folder(environment, "XDG_CONFIG_HOME", platformdirs.user_config_path("modelfetch")) / "mirrors.yaml"
    )


def saved_token_file(environment: Mapping[str, str]) -> Path:
    """Where Hugging Face's own `login` saves its token, whether it is there or not."""
    if environment.get("HF_TOKEN_PATH"):
        return variables.path(environment["HF_TOKEN_PATH"], environment)
    return _hf_home(environment) / "token"


@dataclass
class _Layers:
    environment: Mapping[str, str]
    origins: dict[str, str] = field(default_factory=dict)

    def load(self, user_file: Path | None) -> Settings:
        ours, theirs, file = self._mirrors(user_file)
        endpoints = self._endpoint_variables(self._lay("endpoints", ours.endpoints, theirs.endpoints, file))
        indexes = self._lay("indexes", ours.indexes, theirs.indexes, file)
        samples = self._lay("samples", ours.samples, theirs.samples, file)
        kept = {f"endpoints.{endpoint.name}" for endpoint in endpoints}
        kept |= {f"indexes.{index.name}" for index in indexes} | {f"samples.{sample.hub}" for sample in samples}
        self.origins = {name: self.origins[name] for name in self.origins if name in kept}
        return Settings(
            home=self._path("home", ("MODELFETCH_HOME",), self._cache_folder(), ("XDG_CACHE_HOME",)),
            hf_cache=self._path(
                "hf_cache",
                ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"),
                _hf_home(self.environment) / "hub",
                ("HF_HOME", "XDG_CACHE_HOME"),
            ),
            modelscope_cache=self._path(
                "modelscope_cache",
                ("MODELSCOPE_CACHE",),
                variables.home_folder(self.environment) / ".cache" / "modelscope",
            ),
            endpoints=endpoints,
            indexes=indexes,
            samples=samples,
            source=self._source(endpoints),
            offline=self._offline(),
            connections=self._connections(),
            limit_rate=self._limit_rate(),
            experience=self._path("experience", (), self._cache_folder() / "endpoints-v1.json", ("XDG_CACHE_HOME",)),
            tokens=self._tokens(),
            origins=self.origins,
        )

    def _first(self, names: tuple[str, ...]) -> str | None:
        """The first of these variables that holds something."""
        return next((name for name in names if self.environment.get(name)), None)

    def _path(self, setting: str, names: tuple[str, ...], default: Path, moved_by: tuple[str, ...] = ()) -> Path:
        """The path that the first of `names` holds, or `default`, which the variables `moved_by` may have moved."""
        name = self._first(names)
        self.origins[setting] = name or self._first(moved_by) or "default"
        return variables.path(self.environment[name], self.environment).absolute() if name else default

    def _cache_folder(self) -> Path:
        return _platform_folder(self.environment, "XDG_CACHE_HOME", platformdirs.user_cache_path("modelfetch"))

    def _mirrors(self, user_file: Path | None) -> tuple[Mirrors, Mirrors, str]:
        """What the built-in mirrors.yaml says, what the user's says, and where that one is."""
        built_in = _built_in_file()
        ours = read_mirrors(_read(built_in), file=str(built_in))
        file = user_file or user_mirrors_file(self.environment)
        asked_for = user_file is not None or bool(self.environment.get("MODELFETCH_CONFIG"))
        if not asked_for and _is_absent(file):
            return ours, Mirrors(), str(file)
        return ours, read_mirrors(_read(file), file=str(file)), str(file)

    def _lay(
        self, section: str, ours: Iterable[Entry[Value]], theirs: Iterable[Entry[Value]], file: str
    ) -> tuple[Value, ...]:
        """The built-in entries of a section under the user's, which are from `file`."""
        laid: dict[str, Value] = {}
        for entry in ours:
            if entry.value is not None:
                laid[entry.name] = entry.value
                self.origins[f"{section}.{entry.name}"] = BUILT_IN
        for entry in theirs:
            if entry.value is not None:
                laid[entry.name] = entry.value
                self.origins[f"{section}.{entry.name}"] = f"{file}:{entry.line}"
            elif laid.pop(entry.name, None) is None:
                key, there_is_not = f"{section}.{entry.name}.enabled", f"`{entry.name}`, which there is not"
                expected = "the name of a built-in entry: " + ", ".join(f"`{name}`" for name in laid)
                like = nearest(entry.name, laid)
                raise Document(file).wrong(entry.line, key, expected, there_is_not, like)
        return tuple(laid.values())

    def _endpoint_variables(self, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        for name, hub in (("HF_ENDPOINT", "huggingface"), ("MODELSCOPE_ENDPOINT", "modelscope")):
            text = self.environment.get(name, "").strip()
            if not text:
                continue
            try:
                # ModelScope's client takes a bare host name, and people set the other variable the same way.
                url = base_url(text if "://" in text else f"https://{text}")
            except ValueError as error:
                facts = {"expected": str(error), "got": f"`{redact(text)}`"}
                raise ConfigError(f"`{name}` cannot be used", facts=facts) from error
            others = tuple(endpoint for endpoint in endpoints if endpoint.hub != hub)
            only = named_apart(endpoint_at(url, hub, endpoints), others)
            self.origins[f"endpoints.{only.name}"] = name
            endpoints = (*others, only)
        return endpoints

    def _source(self, endpoints: tuple[Endpoint, ...]) -> str:
        source = self.environment.get("MODELFETCH_SOURCE")
        if source:
            allowed = source_names(endpoints)
            if source not in allowed:
                facts = {
                    "expected": "one of " + ", ".join(f"`{name}`" for name in allowed),
                    "got": f"`{redact(source)}`",
                }
                raise ConfigError("`MODELFETCH_SOURCE` cannot be used", facts=facts)
            self.origins["source"] = "MODELFETCH_SOURCE"
            return source
        for name in ("VLLM_USE_MODELSCOPE", "SGLANG_USE_MODELSCOPE"):
            if variables.is_set(self.environment.get(name)):
                self.origins["source"] = name
                return "modelscope"
        self.origins["source"] = "default"
        return "auto"

    def _offline(self) -> bool:
        own = self.environment.get("MODELFETCH_OFFLINE")
        if own:
            self.origins["offline"] = "MODELFETCH_OFFLINE"
            return variables.switch("MODELFETCH_OFFLINE", own)
        offline = variables.is_set(self.environment.get("HF_HUB_OFFLINE"))
        self.origins["offline"] = "HF_HUB_OFFLINE" if offline else "default"
        return offline

    def _connections(self) -> int | None:
        text = self.environment.get("MODELFETCH_CONNECTIONS")
        self.origins["connections"] = "MODELFETCH_CONNECTIONS" if text else "default"
        return variables.connections("MODELFETCH_CONNECTIONS", text) if text else None

    def _limit_rate(self) -> int | None:
        text = self.environment.get("MODELFETCH_LIMIT_RATE")
        self.origins["limit_rate"] = "MODELFETCH_LIMIT_RATE" if text else "default"
        if not text:
            return None
        try:
            return variables.parse_size(text)
        except UsageError as error:
            facts = {**error.facts, "got": f"`{text}`"}
            raise ConfigError("`MODELFETCH_LIMIT_RATE` cannot be used", facts=facts) from error

    def _tokens(self) -> dict[str, str]:
        tokens: dict[str, str] = {}
        for hub, names in (
            ("huggingface", ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")),
            ("modelscope", ("MODELSCOPE_API_TOKEN",)),
        ):
            name = self._first(names)
            found = variables.token(name, self.environment[name]) if name else None
            if name and found:
                tokens[hub] = found
                self.origins[f"tokens.{hub}"] = name
        if "huggingface" not in tokens:
            file = saved_token_file(self.environment)
            saved = variables.token(str(file), _saved_token(file))
            if saved:
                tokens["huggingface"] = saved
                self.origins["tokens.huggingface"] = str(file)
        return tokens


def _hf_home(environment: Mapping[str, str]) -> Path:
    if environment.get("HF_HOME"):
        return variables.path(environment["HF_HOME"], environment).absolute()
    if environment.get("XDG_CACHE_HOME"):
        return Path(environment["XDG_CACHE_HOME"]) / "huggingface"
    return variables.home_folder(environment) / ".cache" / "huggingface"


def _platform_folder(environment: Mapping[str, str], variable: str, default: Path) -> Path:
    """`default`, unless `environment` moves the XDG folder: platformdirs only reads the process's own environment."""
    return Path(environment[variable]) / "modelfetch" if environment.get(variable) else default


def _built_in_file() -> Path:
    """mirrors.yaml beside the package's modules in a wheel, at the top of a checkout."""
    package = Path(__file__).parents[1]
    in_wheel = package / "mirrors.yaml"
    return in_wheel if in_wheel.is_file() else package.parent / "mirrors.yaml"


def _is_absent(file: Path) -> bool:
    """Whether there is certainly no such file; one in a folder that may not be looked into is not certain."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(_LONGEST_MIRRORS_FILE + 1)
        if len(content) > _LONGEST_MIRRORS_FILE:
            raise ConfigError(f"`{file}` cannot be used", facts={"expected": "at most 1 MiB", "got": "more"})
        return content.decode("utf-8-sig")
    except OSError as error:
        hint = "MODELFETCH_CONFIG=FILE names another one, XDG_CONFIG_HOME=DIR another folder"
        raise ConfigError(f"`{file}` cannot be read", facts={"why": error.strerror}, hint=hint) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"`{file}` cannot be used", facts={"expected": "UTF-8", "got": "other bytes"}) from error


def _saved_token(file: Path) -> str:
    """What the hub's own `login` left in `file`; nothing where there is no such file."""
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(_LONGEST_TOKEN_FILE)
    except FileNotFoundError:
        return ""
    except OSError as error:
        facts = {"why": error.strerror}
        raise ConfigError(f"`{file}`, which holds a token, cannot be read", facts=facts) from error
