"""Tries endpoints or package indexes at once, each for a few seconds, and says in which order they are promising.

- One that cannot be used is a line of the result, not an error.
- What was found out is remembered for this network.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelfetch import experience
from modelfetch.config import Endpoint, Sample, Settings
from modelfetch.errors import NoSourceError, UsageError
from modelfetch.experience import Place
from modelfetch.http import Network
from modelfetch.mirrors.comparing import compare
from modelfetch.mirrors.endpoint_attempt import EndpointAttempt
from modelfetch.mirrors.index_attempt import IndexAttempt
from modelfetch.mirrors.trial import IndexTrial, Trial, behind
from modelfetch.mirrors.trying import try_all
from modelfetch.planning.preference import Score, Tried, ranked, reason, score

LIMIT_S = 5.0


@dataclass(frozen=True)
class Tested:
    """The trials in the endpoints' order; `order` are the names, the most promising first, and `why` the first is."""

    trials: tuple[Trial, ...]
    scores: dict[str, Score]
    order: tuple[str, ...]
    why: str | None

    @property
    def usable(self) -> bool:
        """Whether any of them answered as it should."""
        return any(trial.is_usable for trial in self.trials)

    def to_json(self) -> dict[str, Any]:
        trials = [trial.to_json() | _seconds(self.scores[trial.endpoint.name]) for trial in self.trials]
        return {"endpoints": trials, "order": list(self.order), "why": self.why}


@dataclass(frozen=True)
class TestedIndexes:
    """The trials, of each kind the most promising first; `behind` says by name what others list that is newer."""

    trials: tuple[IndexTrial, ...]
    scores: dict[str, Score]
    behind: Mapping[str, str]

    @property
    def usable(self) -> bool:
        """Whether any of them answered as it should."""
        return any(trial.is_usable for trial in self.trials)

    def to_json(self) -> dict[str, Any]:
        return {
            "indexes": [
                trial.to_json()
                | {"behind": self.behind.get(trial.index.name)}
                | _seconds(self.scores[trial.index.name])
                for trial in self.trials
            ]
        }


def try_endpoints(settings: Settings, *, repo: str | None = None, limit_s: float = LIMIT_S) -> Tested:
    """Try every endpoint of `settings` with `repo`, or with its hub's sample. Blocks for `limit_s` and a little.

    Raises:
        NoSourceError: the network is not to be used.
        UsageError: no sample is known for the hub of any of them.
    """
    _check_network(settings)
    samples = {endpoint.name: _sample_for(endpoint, settings.samples, repo) for endpoint in settings.endpoints}
    if not any(samples.values()):
        raise UsageError(
            "no sample is known to try these endpoints with", hint="modelfetch mirrors test --repo Qwen/Qwen3-0.6B"
        )
    began, network = time.time(), Network()
    attempts = {
        endpoint.name: EndpointAttempt(endpoint, sample, network, limit_s)
        for endpoint in settings.endpoints
        if (sample := samples[endpoint.name])
    }
    done = _compared(try_all(attempts, limit_s), attempts)
    none = "no sample is known for this hub: --repo OWNER/NAME names one"
    trials = tuple(done.get(endpoint.name, Trial(endpoint, note=none)) for endpoint in settings.endpoints)
    scores = _scored(settings, {trial.endpoint: trial.tried(began) for trial in done.values()}, settings.endpoints)
    order = ranked(tuple(scores), scores)
    return Tested(trials, scores, order, reason(order, scores))


def try_indexes(settings: Settings, *, limit_s: float = LIMIT_S) -> TestedIndexes:
    """Try every package index of `settings`. Blocks for `limit_s` and a little.

    Raises:
        NoSourceError: the network is not to be used.
    """
    _check_network(settings)
    began, network = time.time(), Network()
    done = try_all({index.name: IndexAttempt(index, network, limit_s) for index in settings.indexes}, limit_s)
    scores = _scored(settings, {trial.index: trial.tried(began) for trial in done.values()}, settings.indexes)
    kinds = list(dict.fromkeys(index.kind for index in settings.indexes))
    trials = sorted(done.values(), key=lambda trial: (kinds.index(trial.index.kind), scores[trial.index.name]))
    return TestedIndexes(tuple(trials), scores, behind(trials))


def _compared(trials: Mapping[str, Trial], attempts: Mapping[str, EndpointAttempt]) -> dict[str, Trial]:
    """The trials, and who of them sends other bytes than another one."""
    beginnings = {name: attempt.beginning for name, attempt in attempts.items() if attempt.beginning}
    compared = dict(trials)
    for name, verdict in compare(beginnings).items():
        trial = compared[name]
        compared[name] = replace(trial, problem=verdict.text) if verdict.is_wrong else replace(trial, note=verdict.text)
    return compared


def _check_network(settings: Settings) -> None:
    if settings.offline:
        raise NoSourceError(
            "nothing can be tried without the network, which is not to be used",
            facts={"set by": settings.origins.get("offline", "the caller")},
            hint="unset HF_HUB_OFFLINE and MODELFETCH_OFFLINE",
        )


def _scored(settings: Settings, tried: Mapping[Place, Tried], places: Iterable[Place]) -> dict[str, Score]:
    """Remember what was tried, and score it by name together with what was remembered before."""
    experience.remember(settings.experience, tried)
    known, now = experience.recall(settings.experience, places), time.time()
    # Where nothing can be remembered, what was just seen counts all the same.
    return {place.name: score(replace(known[place.name], tried=tried.get(place)), now) for place in places}


def _seconds(score: Score) -> dict[str, float | None]:
    return {"seconds_per_gb": score.seconds if score.seconds < float("inf") else None}


def _sample_for(endpoint: Endpoint, samples: Sequence[Sample], repo: str | None) -> Sample | None:
    found = next((sample for sample in samples if sample.hub == endpoint.hub), None)
    if repo is None:
        return found
    return replace(found, repo=repo) if found else Sample(endpoint.hub, repo)
