"""The models in the store: from their files and from what is installed, how each would be loaded. Loads none.

A store may hold hundreds: the newest are looked at first, and the rest is counted when the time is over.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelfetch.config.values import Settings
from modelfetch.diagnosis.machine import Machine
from modelfetch.errors import ModelfetchError

if TYPE_CHECKING:
    from modelfetch.model.contents import BrokenFile, NotExercised
    from modelfetch.model.kind import Exercise
    from modelfetch.model.tables import Tables
    from modelfetch.store import Snapshot

MODELS_LIMIT_S = 2.0

# What reads a tokenizer that has no tokenizer.json, and what makes pictures into numbers.
_TOKENIZER_READERS = frozenset({"sentencepiece", "tiktoken"})
_PICTURE_READERS = frozenset({"PIL", "torchvision"})


@dataclass(frozen=True)
class StoredModel:
    """One snapshot. `plan` is how it would be loaded, `refusal` why not; `lacks` are modules that part of it needs."""

    name: str
    plan: Exercise | None = None
    refusal: NotExercised | None = None
    broken: tuple[BrokenFile, ...] = ()
    lacks: tuple[str, ...] = ()


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
    from modelfetch.store import Store

    deadline = time.monotonic() + limit_s
    try:
        snapshots = Store.open(settings.home, create=False).snapshots()
    except ModelfetchError:
        return ModelFacts()
    transformers = machine.module("transformers")
    tables = read_tables(transformers) if transformers and snapshots else Tables()
    wanted = MODULES | _TOKENIZER_READERS | _PICTURE_READERS
    modules = frozenset(name for name in wanted if machine.module(name))
    models: list[StoredModel] = []
    for number, snapshot in enumerate(snapshots):
        if time.monotonic() > deadline:
            return ModelFacts(tuple(models), transformers is not None, len(snapshots) - number)
        models += _read(snapshot, tables, modules)
    return ModelFacts(tuple(models), transformers is not None)


def _read(snapshot: Snapshot, tables: Tables, modules: frozenset[str]) -> list[StoredModel]:
    from modelfetch.model.folder import read_folder
    from modelfetch.model.kind import Exercise, Kind, choose

    try:
        folder = read_folder(snapshot.folder, snapshot.manifest.repo)
    except (ModelfetchError, OSError):
        # Gone meanwhile, or on a disk that is not there: `ls` tells of that.
        return []
    plan = choose(folder, tables, modules, trust_remote_code=False)
    lacks: list[str] = []
    if "tokenizer.model" in folder.files and "tokenizer.json" not in folder.files and not modules & _TOKENIZER_READERS:
        lacks.append("sentencepiece")
    if not isinstance(plan, Exercise):
        return [StoredModel(snapshot.manifest.repo, None, plan, folder.broken, tuple(lacks))]
    if plan.kind is Kind.VISION:
        lacks += sorted(_PICTURE_READERS - modules)
    return [StoredModel(snapshot.manifest.repo, plan, None, folder.broken, tuple(lacks))]
