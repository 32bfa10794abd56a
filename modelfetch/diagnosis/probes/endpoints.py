"""Whether each endpoint answers as a hub does, how fast, and what time it has. All at once, a few seconds each.

- Asked is about a model that there is not, in the endpoint's dialect: a short document proves that a hub answered.
- No token is sent.
- A web page where a document was asked for is something else's answer: a captive portal, a filter.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from modelfetch.config.values import Endpoint, Settings
from modelfetch.diagnosis.background import Background
from modelfetch.diagnosis.machine import Machine
from modelfetch.planning.retry import FaultError, Kind

if TYPE_CHECKING:
    from modelfetch.http import Answer

ENDPOINT_LIMIT_S = 3.0
_LONGEST_BODY = 1 << 20
_QUESTIONS = {"huggingface": "/api/models/modelfetch/diagnosis", "modelscope": "/api/v1/models/modelfetch/diagnosis"}


@dataclass(frozen=True)
class EndpointAnswer:
    """What came from an endpoint: `problem` is None where a hub answered, and `kind` what sort it is of, where that is
    known; `skew_s` is its clock minus ours.
    """

    name: str
    hub: str
    problem: str | None
    seconds: float
    skew_s: float | None = None
    kind: Kind | None = None


@dataclass(frozen=True)
class EndpointFacts:
    answers: tuple[EndpointAnswer, ...]


def read_endpoints(_machine: Machine, settings: Settings, limit_s: float = ENDPOINT_LIMIT_S) -> EndpointFacts:
    asked = [(endpoint, Background(partial(_ask, endpoint, limit_s), limit_s)) for endpoint in settings.endpoints]
    return EndpointFacts(tuple(_outcome(endpoint, background, limit_s) for endpoint, background in asked))


def _ask(endpoint: Endpoint, limit_s: float) -> EndpointAnswer:
    # Imported here: the first lines are to be read while these are still being imported.
    from modelfetch.http import Client

    started = time.monotonic()
    with Client(stall_s=limit_s) as client:
        answer = client.get(endpoint.url + _QUESTIONS.get(endpoint.hub, "/"), limit=_LONGEST_BODY)
    problem = _problem(endpoint, answer)
    return EndpointAnswer(
        name=endpoint.name,
        hub=endpoint.hub,
        problem=problem,
        seconds=time.monotonic() - started,
        skew_s=_skew(answer),
        kind=Kind.PORTAL if problem and answer.status < 400 else None,
    )


def _outcome(endpoint: Endpoint, background: Background[EndpointAnswer], limit_s: float) -> EndpointAnswer:
    try:
        return background.result()
    except FaultError as error:
        return EndpointAnswer(endpoint.name, endpoint.hub, str(error), seconds=limit_s, kind=error.fault.kind)
    except TimeoutError as error:
        return EndpointAnswer(endpoint.name, endpoint.hub, str(error), seconds=limit_s)


def _problem(endpoint: Endpoint, answer: Answer) -> str | None:
    if answer.status >= 500:
        return f"it answers with status {answer.status}"
    if endpoint.hub not in _QUESTIONS or answer.status == 429:
        return None
    try:
        answer.json()
    except FaultError:
        host = urlsplit(answer.url).hostname
        if answer.status < 400:
            return f"`{host}` answers with a web page: a captive portal or a filter"
        return f"`{host}` refuses with status {answer.status}"
    return None


def _skew(answer: Answer) -> float | None:
    try:
        said = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        return None
    said = said if said.tzinfo else said.replace(tzinfo=UTC)
    return (said - datetime.now(UTC)).total_seconds()
