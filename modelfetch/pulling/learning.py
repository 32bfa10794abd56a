"""What a pull knows of its endpoints from before, and what it leaves for the next.

- It changes with how many lanes an endpoint begins, and which begins first. Who is asked, whose listing is believed and
  what is published are the same without it.
- What an endpoint brought is noted as the least it can do: not of a pull that was held to a rate, and not of one so
  small that it says nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from modelfetch import experience
from modelfetch.config import Endpoint, Settings
from modelfetch.planning.preference import Brought, lanes_to_begin_with
from modelfetch.transfer import Report

LEAST_BYTES = 16 << 20


def lanes_for(endpoints: Iterable[Endpoint], settings: Settings) -> dict[str, int]:
    """How many lanes each endpoint begins with, by its name, the most promising first; none where nothing is known."""
    scores = experience.scores(settings.experience, endpoints, time.time())
    return lanes_to_begin_with(tuple(scores), scores)


def note(report: Report, seconds: float, settings: Settings) -> None:
    """Remember what came from where in `seconds`."""
    if settings.limit_rate is not None or seconds <= 0:
        return
    now = time.time()
    brought = {
        endpoint: Brought(now, count / seconds)
        for endpoint in settings.endpoints
        if (count := report.bytes_by_endpoint.get(endpoint.name, 0)) >= LEAST_BYTES
    }
    experience.remember(settings.experience, brought)
