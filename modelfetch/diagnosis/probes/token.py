"""Whether the Hugging Face token is one that its hub knows. It is sent to the hub's own origin and to nobody else."""

from __future__ import annotations

from dataclasses import dataclass

from modelfetch.config.values import Endpoint, Settings
from modelfetch.diagnosis.background import Background
from modelfetch.diagnosis.machine import Machine
from modelfetch.planning.retry import FaultError

TOKEN_LIMIT_S = 3.0
_HUB = "huggingface"
_QUESTION = "/api/whoami-v2"
_LONGEST_ANSWER = 1 << 20


@dataclass(frozen=True)
class TokenFacts:
    """`is_valid` is what the hub says, None where it was not asked or does not say; `origin` is who was asked."""

    origin: str | None = None
    is_valid: bool | None = None


def read_token(_machine: Machine, settings: Settings, limit_s: float = TOKEN_LIMIT_S) -> TokenFacts:
    token = settings.tokens.get(_HUB)
    asked = next((each for each in settings.endpoints if each.hub == _HUB and each.sends_token), None)
    if token is None or asked is None:
        return TokenFacts()
    try:
        return Background(lambda: _ask(asked, token, limit_s), limit_s).result()
    except (FaultError, TimeoutError):
        return TokenFacts(asked.origin)


def _ask(endpoint: Endpoint, token: str, limit_s: float) -> TokenFacts:
    # Imported here: the first lines are to be read while these are still being imported.
    from modelfetch.http import Client
    from modelfetch.http.firewall import Credential

    credential = Credential(endpoint.origin, {"Authorization": f"Bearer {token}"})
    with Client(stall_s=limit_s) as client:
        status = client.get(endpoint.url + _QUESTION, credential=credential, limit=_LONGEST_ANSWER).status
    return TokenFacts(endpoint.origin, {200: True, 401: False}.get(status))
