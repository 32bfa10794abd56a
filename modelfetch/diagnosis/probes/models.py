"""The models in the store and in other tools' caches: from their files and from what is installed, how each would be
loaded. Loads none.

- A store may hold hundreds: the newest are looked at first, and the rest is counted when the time is over.
- Of a model that is in several places the store's counts, and of several snapshots in a cache the newest.
- What a cache holds without weights (a tokenizer, a configuration) is no model to be run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelfetch.config.values import Settings
from modelfetch.diagnosis.background import Background
from modelfetch.diagnosis.machine import Machine
from modelfetch.errors import ModelfetchError

if TYPE_CHECKING:
    from modelfetch.model.contents import BrokenFile, ModelFolder, NotExercised
    from modelfetch.model.kind import Exercise
    from modelfetch.model.tables import Tables

MODELS_LIMIT_S = 2.0

# What reads a tokenizer that has no tokenizer.json, and what makes pictures into numbers.
_TOKENIZER_READERS = frozenset({"sentencepiece", "tiktoken"})
_PICTURE_READERS = frozenset({"PIL", "torchvision"})


_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth")

_CACHES = {"huggingface": "Hugging Face's cache", "modelscope": "ModelScope's cache"}


@dataclass(frozen=True)
class StoredModel:
    """One snapshot. `plan` is how it would be loaded, `refusal` why not; `lacks` are modules that part of it needs.

    `cache` is what people call the other tool's cache that it is in; empty for the store.
    """

    name: str
    plan: Exercise | None = None
    refusal: NotExercised | None = None
    broken: tuple[BrokenFile, ...] = ()
    lacks: tuple[str, ...] = ()
    cache: str = ""


@dataclass(frozen=True)
class _Place:
    """Where a model lies; `cache` as in `StoredModel`."""

    name: str
    folder: Path
    cache: str = ""


@dataclass(frozen=True)
class ModelFacts:
    """`has_transformers` is false where nothing here could load any; `unread` are those for which time was short."""

    models: tuple[StoredModel, ...] = ()
    has_transformers: bool = False
    unread: int = 0


def read_models(machine: Machine, settings: Settings, limit_s: float = MODELS_LIMIT_S) -> ModelFacts:
    # Imported here: the first lines are to be read while these are still being imported.
    from modelfetch.model.quantisation import MODULES
    from modelfetch.model.tables import Tables, read_tables

    deadline = time.monotonic() + limit_s
    places = _in_store(settings)
    places += _in_caches(machine, settings, {place.name for place in places}, deadline)
    transformers = machine.module("transformers")
    tables = read_tables(transformers) if transformers and places else Tables()
    wanted = MODULES | _TOKENIZER_READERS | _PICTURE_READERS
    modules = frozenset(name for name in wanted if machine.module(name))
    models: list[StoredModel] = []
    for number, place in enumerate(places):
        if time.monotonic() > deadline:
            return ModelFacts(tuple(models), transformers is not None, len(places) - number)
        models += _read(place, tables, modules)
    return ModelFacts(tuple(models), transformers is not None)


def _in_store(settings: Settings) -> list[_Place]:
    from modelfetch.store import Store

    try:
        snapshots = Store.open(settings.home, create=False).snapshots()
    except ModelfetchError:
        return []
    return [_Place(snapshot.manifest.repo, snapshot.folder) for snapshot in snapshots]


def _in_caches(machine: Machine, settings: Settings, known: set[str], deadline: float) -> list[_Place]:
    """The models that other tools' caches hold besides the `known` ones, as far as they are found in time."""
    search = Background(lambda: list(_found_in_caches(machine, settings)), max(0.0, deadline - time.monotonic()))
    try:
        found = search.result()
    except (TimeoutError, OSError):
        return []
    return [place for place in found if place.name not in known]


def _found_in_caches(machine: Machine, settings: Settings) -> Iterator[_Place]:
    from modelfetch.adopt import known_places
    from modelfetch.adopt.scanning import scan_place
    from modelfetch.store import Store

    payloads = Store(settings.home).blobs.root
    for cache in known_places(settings, machine.environment):
        if cache.tool in _CACHES:
            candidates = scan_place(cache, ours=payloads).candidates
            candidates.sort(key=lambda candidate: candidate.folder.stat().st_mtime)
            newest = {candidate.label: candidate.folder for candidate in candidates}
            yield from (_Place(name, folder, _CACHES[cache.tool]) for name, folder in sorted(newest.items()))


def _read(place: _Place, tables: Tables, modules: frozenset[str]) -> list[StoredModel]:
    from modelfetch.model.folder import read_folder
    from modelfetch.model.kind import Exercise, Kind, choose

    try:
        folder = read_folder(place.folder, place.name)
    except (ModelfetchError, OSError):
        # Gone meanwhile, or on a disk that is not there: `ls` tells of that.
        return []
    if place.cache and not _has_weights(folder):
        return []
    plan = choose(folder, tables, modules, trust_remote_code=False)
    lacks: list[str] = []
    if "tokenizer.model" in folder.files and "tokenizer.json" not in folder.files and not modules & _TOKENIZER_READERS:
        lacks.append("sentencepiece")
    if not isinstance(plan, Exercise):
        return [StoredModel(place.name, None, plan, folder.broken, tuple(lacks), place.cache)]
    if plan.kind is Kind.VISION:
        lacks += sorted(_PICTURE_READERS - modules)
    return [StoredModel(place.name, plan, None, folder.broken, tuple(lacks), place.cache)]


def _has_weights(folder: ModelFolder) -> bool:
    return any(path.endswith(_WEIGHTS) for path in folder.files)
