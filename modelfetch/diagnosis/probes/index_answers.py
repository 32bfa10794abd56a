"""Which package indexes answer from here, and how fast: the ones that are set and the ones in mirrors.yaml.

All are asked at once, for their headers alone, a few seconds each. No name or password is sent. How fast those are
that `modelfetch mirrors test` has tried on this network is remembered.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from modelfetch.config.values import Index, Settings
from modelfetch.diagnosis.background import Background
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes.index_settings import read_indexes
from modelfetch.planning.retry import FaultError

INDEX_LIMIT_S = 3.0
# What there is below each: the page of a package that every index has, or the builds for the CPU.
_PAGES = {"pypi": "/pip/", "torch": "/cpu/", "torch-links": "/cpu/", "conda": "/conda-forge/"}


@dataclass(frozen=True)
class IndexAnswer:
    """One index, and `problem` where it does not answer. `is_set` says that pip, uv or conda is set to it.

    `bytes_per_s` is what it showed when it was last tried on this network.
    """

    index: Index
    is_set: bool
    problem: str | None
    seconds: float
    bytes_per_s: float | None = None


@dataclass(frozen=True)
class IndexAnswers:
    answers: tuple[IndexAnswer, ...] = ()


def read_index_answers(machine: Machine, settings: Settings, limit_s: float = INDEX_LIMIT_S) -> IndexAnswers:
    facts = read_indexes(machine, settings)
    # A folder is an index, too, and answers nobody.
    uses_conda = bool(machine.environment.get("CONDA_PREFIX")) or (machine.interpreter.prefix / "conda-meta").is_dir()
    uses_uv = shutil.which("uv", path=machine.environment.get("PATH", "")) is not None
    tools = {"pip": "pypi", **({"uv": "pypi"} if uses_uv else {}), **({"conda": "conda"} if uses_conda else {})}
    own = {url.rstrip("/"): kind for tool, kind in tools.items() if (url := facts.of(tool)).startswith("http")}
    known = [index for index in settings.indexes if index.kind in _PAGES and (uses_conda or index.kind != "conda")]
    new = sorted(own.keys() - {index.url.rstrip("/") for index in known})
    set_up = [Index("own", own[url], url) for url in new]
    asked = [(index, Background(partial(_ask, index, limit_s), limit_s)) for index in _different([*set_up, *known])]
    answers = (_outcome(index, index.url.rstrip("/") in own, work) for index, work in asked)
    rates = _measured(settings, [index for index, _ in asked])
    return IndexAnswers(tuple(replace(answer, bytes_per_s=rates.get(answer.index)) for answer in answers))


def _measured(settings: Settings, indexes: Sequence[Index]) -> dict[Index, float | None]:
    from modelfetch.experience import recall
    from modelfetch.planning.preference import score

    # By its name alone one would hide another: what is set is called by no name of mirrors.yaml's.
    now = time.time()
    return {index: score(recall(settings.experience, [index])[index.name], now).bytes_per_s for index in indexes}


def _different(indexes: Iterable[Index]) -> list[Index]:
    return list({(index.kind, index.url): index for index in indexes}.values())


def _ask(index: Index, limit_s: float) -> tuple[str | None, float]:
    # Imported here: the first lines are to be read while these are still being imported.
    from modelfetch.http import Network, Session
    from modelfetch.http.client import follow

    started = time.monotonic()
    session = Session(Network(), stall_s=limit_s)
    try:
        response = follow(session, index.url + _PAGES[index.kind], {}, None, method="HEAD")
        response.close()
    finally:
        session.forget()
    return None if response.status < 400 else f"status {response.status}", time.monotonic() - started


def _outcome(index: Index, is_set: bool, work: Background[tuple[str | None, float]]) -> IndexAnswer:
    try:
        problem, seconds = work.result()
    except (FaultError, TimeoutError) as error:
        return IndexAnswer(index, is_set, str(error), INDEX_LIMIT_S)
    return IndexAnswer(index, is_set, problem, seconds)
