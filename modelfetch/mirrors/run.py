"""Tries endpoints at once, each for a few seconds, and says in which order they are promising.

- An endpoint that cannot be used is a line of the result, not an error.
- Whoever is not done in time is left: what it showed until then counts, and if it showed nothing, that does.
- What was found out is remembered for this network.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelfetch import experience
from modelfetch.config import Endpoint, Sample, Settings
from modelfetch.errors import NoSourceError, UsageError
from modelfetch.http import Network
from modelfetch.mirrors.attempt import Attempt
from modelfetch.mirrors.trial import Trial
from modelfetch.planning.preference import Score, ranked, reason, score

LIMIT_S = 5.0
_LEAVE_WITHIN_S = 0.5


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
        return any(trial.problem is None and trial.latency_s is not None for trial in self.trials)

    def to_json(self) -> dict[str, Any]:
        seconds = {name: each.seconds if each.seconds < float("inf") else None for name, each in self.scores.items()}
        trials = [trial.to_json() | {"seconds_per_gb": seconds[trial.endpoint.name]} for trial in self.trials]
        return {"endpoints": trials, "order": list(self.order), "why": self.why}


def try_endpoints(settings: Settings, *, repo: str | None = None, limit_s: float = LIMIT_S) -> Tested:
    """Try every endpoint of `settings` with `repo`, or with its hub's sample. Blocks for `limit_s` and a little.

    Raises:
        NoSourceError: the network is not to be used.
        UsageError: no sample is known for the hub of any of them.
    """
    if settings.offline:
        raise NoSourceError(
            "endpoints cannot be tried without the network, which is not to be used",
            facts={"set by": settings.origins.get("offline", "the caller")},
            hint="unset HF_HUB_OFFLINE and MODELFETCH_OFFLINE",
        )
    samples = {endpoint.name: _sample_for(endpoint, settings.samples, repo) for endpoint in settings.endpoints}
    if not any(samples.values()):
        raise UsageError(
            "no sample is known to try these endpoints with", hint="modelfetch mirrors test --repo Qwen/Qwen3-0.6B"
        )
    began = time.time()
    trials = _try_all(settings.endpoints, samples, limit_s)
    tried = {trial.endpoint: trial.tried(began) for trial in trials if samples[trial.endpoint.name]}
    experience.remember(settings.experience, tried)
    known = experience.recall(settings.experience, settings.endpoints)
    # Where nothing can be remembered, what was just seen counts all the same.
    scores = {
        endpoint.name: score(replace(known[endpoint.name], tried=tried.get(endpoint)), began)
        for endpoint in settings.endpoints
    }
    order = ranked(tuple(scores), scores)
    return Tested(trials, scores, order, reason(order, scores))


def _sample_for(endpoint: Endpoint, samples: Sequence[Sample], repo: str | None) -> Sample | None:
    found = next((sample for sample in samples if sample.hub == endpoint.hub), None)
    if repo is None:
        return found
    return replace(found, repo=repo) if found else Sample(endpoint.hub, repo)


def _try_all(endpoints: Sequence[Endpoint], samples: dict[str, Sample | None], limit_s: float) -> tuple[Trial, ...]:
    network = Network()
    attempts = {
        endpoint.name: Attempt(endpoint, sample, network, limit_s)
        for endpoint in endpoints
        if (sample := samples[endpoint.name])
    }
    # Daemons: an endpoint that never answers must not keep the process from ending.
    threads = {name: threading.Thread(target=attempt.run, daemon=True) for name, attempt in attempts.items()}
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + limit_s
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    late = {name: attempts[name].abort() for name, thread in threads.items() if thread.is_alive()}
    for name in late:
        threads[name].join(_LEAVE_WITHIN_S)
    done = {name: attempt.trial for name, attempt in attempts.items() if name not in late}
    none = "no sample is known for this hub: --repo OWNER/NAME names one"
    unasked = {endpoint.name: Trial(endpoint, note=none) for endpoint in endpoints if endpoint.name not in attempts}
    trials = {**late, **done, **unasked}
    return tuple(trials[endpoint.name] for endpoint in endpoints)
