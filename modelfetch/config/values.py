"""What can be configured, as values. Reading it from files and the environment is `config.load`'s.

- A token belongs to a hub; an endpoint gets it only when `sends_token` is true, which is the official origin's default
  and anybody else's only by name (`token: true` in mirrors.yaml, or `--send-token-to ORIGIN`).
- A value that came from somewhere says from where: `Settings.origins`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

# A transfer begins with a handful and adds while that helps. Only for small files, which wait for answers and not for
# bytes, it begins with as many.
DEFAULT_CONNECTIONS = 32

# The dialects that are built in. A plug-in's stands in the entry points of `modelfetch.hubs`.
HUBS = ("huggingface", "modelscope")

# What is behind an index's URL: `pypi` is the simple index that pip and uv read, `torch` has one of those for each
# build (URL/cu130), `torch-links` a page of links to wheels for each, `conda` channels (URL/conda-forge).
INDEX_KINDS = ("pypi", "torch", "torch-links", "conda")


@dataclass(frozen=True)
class Endpoint:
    """A base URL that speaks a hub's dialect.

    `connections` is the most lanes that may pull from it at once; `region` is `global` or a country code and is
    information only; `url` has no trailing slash, query or user information.
    """

    name: str
    hub: str
    url: str
    sends_token: bool = False
    region: str = "global"
    connections: int = DEFAULT_CONNECTIONS

    @property
    def origin(self) -> str:
        return origin_of(self.url)


@dataclass(frozen=True)
class Index:
    """Where Python packages come from; `kind` is one of INDEX_KINDS, `region` as an endpoint's."""

    name: str
    kind: str
    url: str
    region: str = "global"


@dataclass(frozen=True)
class Sample:
    """The models that the endpoints of `hub` are tried with: one that is public, and one whose terms are asked for."""

    hub: str
    repo: str
    gated: str | None = None


@dataclass(frozen=True)
class Settings:
    """Every setting, after built-in values, files and the environment were laid over each other.

    `tokens` maps a hub to its token and is never shown; `origins` maps a setting's name to where its value came from;
    `experience` is the file in which it is remembered what endpoints showed, None where nothing is.
    """

    home: Path
    hf_cache: Path
    modelscope_cache: Path
    endpoints: tuple[Endpoint, ...]
    indexes: tuple[Index, ...] = ()
    samples: tuple[Sample, ...] = ()
    source: str = "auto"
    offline: bool = False
    connections: int | None = None
    limit_rate: int | None = None
    experience: Path | None = None
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    origins: Mapping[str, str] = field(default_factory=dict)


def origin_of(url: str) -> str:
    """scheme://host[:port] in lower case, without a default port: what a token is bound to."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(parts.scheme.lower())
    port = "" if parts.port in {None, default} else f":{parts.port}"
    return f"{parts.scheme.lower()}://{host}{port}"
