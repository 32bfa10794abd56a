"""Pulling in a test: settings for simulated hubs, and a listener that remembers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelfetch import events as told
from modelfetch import reference
from modelfetch.config import Endpoint, Settings
from modelfetch.pulling import Pulled, Request, run

REPO = "own/name"
MIB = 1 << 20


@dataclass
class Heard:
    """A listener that keeps what it hears."""

    events: list[told.Event] = field(default_factory=list)

    def __call__(self, event: told.Event) -> None:
        self.events.append(event)

    @property
    def faults(self) -> list[told.Fault]:
        return [event for event in self.events if isinstance(event, told.Fault)]


def endpoint(url: str, hub: str = "huggingface", *, name: str | None = None, sends_token: bool = False) -> Endpoint:
    return Endpoint(name or f"{hub}-{url.rpartition(':')[2]}", hub, url, sends_token=sends_token)


def settings(home: Path, *endpoints: Endpoint, **changes: Any) -> Settings:
    """Settings with everything below `home`, and these endpoints only."""
    return Settings(
        home=home / "store", hf_cache=home / "hf", modelscope_cache=home / "ms", endpoints=tuple(endpoints), **changes
    )


def pull(given: Settings, text: str = REPO, *, listener: told.Listener = told.ignore, **request: Any) -> Pulled:
    """Carry out a pull of `text`."""
    return run(Request(reference.parse(text), **request), settings=given, listener=listener)


def contents(pulled: Pulled) -> dict[str, bytes]:
    """The files of a pulled model."""
    assert pulled.folder is not None
    return {
        str(path.relative_to(pulled.folder)): path.read_bytes() for path in pulled.folder.rglob("*") if path.is_file()
    }


def published_blobs(given: Settings) -> list[Path]:
    """Every blob with a final name."""
    return [path for path in (given.home / "blobs-v1" / "sha256").glob("??/*") if path.is_file()]


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that do not repeat, the same in every run."""
    return random.Random(seed).randbytes(size)


def without(files: Mapping[str, bytes], names: Sequence[str]) -> dict[str, bytes]:
    return {path: content for path, content in files.items() if path not in names}
