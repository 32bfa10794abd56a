"""Says why bytes come from where they come, where that was settled before this command. Asks nobody.

- What the environment chose is told, with the variable's name: it may have been set long ago, by somebody else.
- What is remembered of endpoints is told when one begins before others because of it.
- What the command itself chose is not repeated, and an order that is built in is not explained.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from modelfetch import experience
from modelfetch.config import Endpoint, Settings
from modelfetch.planning.preference import clause
from modelfetch.pulling.plan import Plan
from modelfetch.pulling.request import Request

_ENDPOINT_VARIABLES = frozenset({"HF_ENDPOINT", "MODELSCOPE_ENDPOINT"})


def reasons(request: Request, plan: Plan, settings: Settings) -> tuple[str, ...]:
    """The sentences for what `plan` fetches."""
    names = {source.endpoint for job in plan.jobs for source in job.sources}
    sending = tuple(endpoint for endpoint in settings.endpoints if endpoint.name in names)
    told = list(_chosen_by_variables(request, sending, settings))
    if request.via == "direct" and (first := _first(sending, settings)):
        told.append(first)
    return tuple(told)


def _chosen_by_variables(request: Request, sending: tuple[Endpoint, ...], settings: Settings) -> Iterator[str]:
    names_no_hub = request.locked is not None or request.reference.hub is None
    if request.source is None and names_no_hub and settings.source != "auto":
        yield f"only {settings.source} is asked: {settings.origins.get('source', 'the caller')} says so"
    for endpoint in sending:
        variable = settings.origins.get(f"endpoints.{endpoint.name}")
        if variable in _ENDPOINT_VARIABLES:
            yield f"for {endpoint.hub} only {endpoint.name} is asked: {variable} says so"


def _first(sending: tuple[Endpoint, ...], settings: Settings) -> str | None:
    now = time.time()
    scores = experience.scores(settings.experience, sending, now)
    return clause(tuple(scores), scores, now) if scores else None
