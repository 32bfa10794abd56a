"""Which host the bytes of each endpoint's files come from in the end, and whether it answers. All are asked at once.

- Asked is for one byte of a file of the hub's sample. No token is sent.
- What an endpoint itself refuses, or does not have, says nothing of where its files come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from modelfetch.config.values import Endpoint, Settings
from modelfetch.diagnosis.background import Background
from modelfetch.diagnosis.machine import Machine
from modelfetch.planning.retry import FaultError

DELIVERY_LIMIT_S = 3.0
_FILES = {
    "huggingface": "/{repo}/resolve/main/model.safetensors",
    "modelscope": "/api/v1/models/{repo}/repo?Revision=master&FilePath=model.safetensors",
}
_ONE_BYTE = {"Range": "bytes=0-0"}


@dataclass(frozen=True)
class Delivery:
    """Files of the `endpoint` come from `host`, which `is_its_own` or another; `problem` is why they do not come."""

    endpoint: str
    host: str
    problem: str | None = None
    is_its_own: bool = False


@dataclass(frozen=True)
class DeliveryFacts:
    deliveries: tuple[Delivery, ...] = ()


def read_delivery(_machine: Machine, settings: Settings, limit_s: float = DELIVERY_LIMIT_S) -> DeliveryFacts:
    samples = {sample.hub: sample.repo for sample in settings.samples}
    ways = [
        _Way(endpoint, endpoint.url + _FILES[endpoint.hub].format(repo=samples[endpoint.hub]))
        for endpoint in settings.endpoints
        if endpoint.hub in samples.keys() & _FILES.keys()
    ]
    asked = [(way, Background(partial(_go, way, limit_s), limit_s)) for way in ways]
    return DeliveryFacts(tuple(filter(None, (_outcome(way, work) for way, work in asked))))


class _Way:
    """Where the redirects have led so far: the host that is silent must be named, too."""

    def __init__(self, endpoint: Endpoint, url: str) -> None:
        self.endpoint, self.url = endpoint, url

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def has_left(self) -> bool:
        """Whether it has left the endpoint's own host and port."""
        return urlsplit(self.url).netloc != urlsplit(self.endpoint.url).netloc

    def ends(self, problem: str | None) -> Delivery | None:
        is_telling = self.has_left or problem is None
        return Delivery(self.endpoint.name, self.host, problem, not self.has_left) if is_telling else None


def _go(way: _Way, limit_s: float) -> Delivery | None:
    # Imported here: the first lines are to be read while these are still being imported.
    from modelfetch.http import Network, Session
    from modelfetch.http.client import MAX_REDIRECTS, REDIRECTS
    from modelfetch.http.firewall import redirect_target

    session = Session(Network(), stall_s=limit_s)
    try:
        for _ in range(MAX_REDIRECTS):
            response = session.open(way.url, _ONE_BYTE)
            response.close()
            if response.status not in REDIRECTS:
                return way.ends(f"status {response.status}" if response.status >= 400 else None)
            way.url = redirect_target(way.url, response.headers.get("location"))
    finally:
        session.forget()
    return way.ends("it only leads on")


def _outcome(way: _Way, work: Background[Delivery | None]) -> Delivery | None:
    try:
        return work.result()
    except (FaultError, TimeoutError) as error:
        return way.ends(str(error))
