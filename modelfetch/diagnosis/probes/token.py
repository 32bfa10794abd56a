"""Whether each hub knows the token that is set for it. A token is sent to its own hub's origin and to nobody else.

- One endpoint of each hub is asked who the token's owner is; what it answers besides yes and no is not kept.
- A web page, a fault and silence say nothing of the token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from modelfetch.config.values import Endpoint, Settings
from modelfetch.diagnosis.background import Background
from modelfetch.diagnosis.machine import Machine
from modelfetch.planning.retry import FaultError

TOKEN_LIMIT_S = 3.0
_QUESTIONS = {"huggingface": "/api/whoami-v2", "modelscope": "/openapi/v1/users/me"}
_LONGEST_ANSWER = 1 << 20
_UNKNOWN_TOKEN = 401


@dataclass(frozen=True)
class TokenAnswer:
    """`is_valid` is what the hub says at `origin`, None where it does not say."""

    hub: str
    origin: str
    is_valid: bool | None = None


@dataclass(frozen=True)
class TokenFacts:
    """One answer for each hub that has a token and an endpoint that may be shown it."""

    answers: tuple[TokenAnswer, ...] = ()


def read_token(_machine: Machine, settings: Settings, limit_s: float = TOKEN_LIMIT_S) -> TokenFacts:
    asked = []
    for hub in sorted(settings.tokens.keys() & _QUESTIONS.keys()):
        own = next((each for each in settings.endpoints if each.hub == hub and each.sends_token), None)
        if own is not None:
            asked.append((own, Background(partial(_ask, own, settings.tokens, limit_s), limit_s)))
    return TokenFacts(tuple(_outcome(endpoint, work) for endpoint, work in asked))


def _ask(endpoint: Endpoint, tokens: Mapping[str, str], limit_s: float) -> bool | None:
    # Imported here: the first lines are to be read while these are still being imported.
    from modelfetch.http import Client
    from modelfetch.hubs import credential_for

    credential = credential_for(endpoint, tokens)
    with Client(stall_s=limit_s) as client:
        answer = client.get(endpoint.url + _QUESTIONS[endpoint.hub], credential=credential, limit=_LONGEST_ANSWER)
    if answer.status == _UNKNOWN_TOKEN:
        return False
    document = answer.json()
    # ModelScope says of some refusals in its document alone that they are one.
    is_refused = isinstance(document, Mapping) and document.get("success") is False
    return True if answer.status == 200 and not is_refused else None


def _outcome(endpoint: Endpoint, work: Background[bool | None]) -> TokenAnswer:
    try:
        return TokenAnswer(endpoint.hub, endpoint.origin, work.result())
    except (FaultError, TimeoutError):
        return TokenAnswer(endpoint.hub, endpoint.origin)
