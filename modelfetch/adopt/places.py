"""Where other tools keep models: the caches of this user, and what a path that was given turns out to be.

Reads names only; changes nothing.

- A path is what it looks like, not what it is called: its own folders and files say whose it is.
- One repository's folder inside a cache is that cache's, narrowed to that repository.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from modelfetch.config import Settings
from modelfetch.errors import NotFoundError

# What ModelScope's older clients called the folder that they downloaded into.
MODELSCOPE_TEMPORARIES = "._____temp"
# What those clients left beside a model's files: its files' commits, its id, its revision.
MODELSCOPE_MARKS = frozenset({".msc", ".mdl", ".mv"})
# Where Ollama keeps models when the system runs it, by its own installer.
_OLLAMA_SERVICE = Path("/usr/share/ollama/.ollama/models")
_GIVEN = "given"
_HUGGINGFACE_REPOSITORY = re.compile(r"(models|datasets|spaces)--[^/]+--[^/]+|models--[^/]+")


class Tool(StrEnum):
    """Whose layout a place has. A folder is the user's own."""

    HUGGINGFACE = "huggingface"
    MODELSCOPE = "modelscope"
    OLLAMA = "ollama"
    FOLDER = "folder"


@dataclass(frozen=True)
class Place:
    """A folder that may hold models in a tool's layout, and how it became known. `only` narrows it to what is there."""

    tool: Tool
    root: Path
    origin: str
    only: Path | None = None

    @property
    def path(self) -> Path:
        """What a person calls it."""
        return self.only or self.root


def known_places(settings: Settings, environment: Mapping[str, str] | None = None) -> tuple[Place, ...]:
    """The caches that this user's tools use by their settings and variables, whether they are there or not."""
    environment = os.environ if environment is None else environment
    places = [
        Place(Tool.HUGGINGFACE, settings.hf_cache, settings.origins.get("hf_cache", "default")),
        Place(Tool.MODELSCOPE, settings.modelscope_cache, settings.origins.get("modelscope_cache", "default")),
        *_ollama_places(environment),
    ]
    return tuple(places)


def place_at(path: Path) -> Place:
    """What the user's `path` is. A link there is followed: who names it means what it leads to.

    Raises:
        NotFoundError: there is nothing at `path`.
    """
    try:
        path = path.expanduser().resolve(strict=True)
    except (OSError, RuntimeError) as error:
        # RuntimeError: how Python 3.11 and 3.12 tell of links that lead in a circle.
        raise NotFoundError(f"there is nothing at `{path}`", hint="modelfetch adopt --dry-run") from error
    return _cache_at(path) or _part_of_cache(path) or Place(Tool.FOLDER, path, _GIVEN)


def is_huggingface_repository(name: str) -> bool:
    """Whether Hugging Face's cache calls a repository's folder so."""
    return _HUGGINGFACE_REPOSITORY.fullmatch(name) is not None


def _ollama_places(environment: Mapping[str, str]) -> Iterator[Place]:
    if environment.get("OLLAMA_MODELS"):
        yield Place(Tool.OLLAMA, Path(environment["OLLAMA_MODELS"]).expanduser().absolute(), "OLLAMA_MODELS")
        return
    home = Path(environment["HOME"]) if environment.get("HOME") else Path.home()
    yield Place(Tool.OLLAMA, home / ".ollama" / "models", "default")
    if _OLLAMA_SERVICE.is_dir():
        yield Place(Tool.OLLAMA, _OLLAMA_SERVICE, "Ollama's service")


def _cache_at(path: Path) -> Place | None:
    """The cache that `path` is, or that is where its tool keeps it below."""
    for tool, root in (
        (Tool.HUGGINGFACE, path),
        (Tool.HUGGINGFACE, path / "hub"),
        (Tool.OLLAMA, path),
        (Tool.OLLAMA, path / "models"),
        (Tool.MODELSCOPE, path),
    ):
        if _LOOKS_LIKE[tool](root):
            return Place(tool, root, _GIVEN)
    return None


def _part_of_cache(path: Path) -> Place | None:
    """The cache that `path` is a repository of, or lies in one of its repositories."""
    for folder in (path, *path.parents):
        parent = folder.parent
        if is_huggingface_repository(folder.name) and _is_repository(folder):
            return Place(Tool.HUGGINGFACE, parent, _GIVEN, folder)
        if parent.name == "models" and "--" in folder.name and (folder / "snapshots").is_dir():
            return Place(Tool.MODELSCOPE, parent.parent, _GIVEN, folder)
        if folder.name == "manifests" and (parent / "blobs").is_dir():
            return Place(Tool.OLLAMA, parent, _GIVEN, path)
    return None


def _is_huggingface(folder: Path) -> bool:
    return any(is_huggingface_repository(name) and _is_repository(folder / name) for name in _folders_in(folder))


def _is_ollama(folder: Path) -> bool:
    return (folder / "manifests").is_dir() and any(name.startswith("sha256-") for name in _some(folder / "blobs"))


def _is_modelscope(folder: Path) -> bool:
    """Whether `folder` has one of the layouts that this hub's clients made: see `modelscope`."""
    if any((folder / "models" / name / "snapshots").is_dir() for name in _folders_in(folder / "models")):
        return True
    tops = [folder / name for name in ("", "hub", "models", "hub/models")]
    repositories = (
        top / owner / name for top in tops for owner in _folders_in(top) for name in _folders_in(top / owner)
    )
    return any(MODELSCOPE_MARKS & _some(repository) for repository in repositories)


def _is_repository(folder: Path) -> bool:
    return bool({"blobs", "snapshots"} & _folders_in(folder))


def _folders_in(folder: Path) -> frozenset[str]:
    return frozenset(name for name in _some(folder) if (folder / name).is_dir())


def _some(folder: Path) -> frozenset[str]:
    """The names in `folder`, as far as it takes to know what it is."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry, _ in zip(entries, range(10_000), strict=False))
    except OSError:
        return frozenset()


_LOOKS_LIKE = {Tool.HUGGINGFACE: _is_huggingface, Tool.MODELSCOPE: _is_modelscope, Tool.OLLAMA: _is_ollama}
