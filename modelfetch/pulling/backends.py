"""Who brings the bytes of a plan's jobs: modelfetch itself, or the hub's own client. Either way each file is verified.

- The hub's own client asks one endpoint, the one whose listing is the manifest.
- It is given the token where our own requests would show it to that endpoint, and otherwise none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from modelfetch import events, sdk, transfer
from modelfetch.config import Endpoint, Settings
from modelfetch.errors import UsageError
from modelfetch.http import Network
from modelfetch.http.firewall import headers_for
from modelfetch.hubs import Resolution, credential_for
from modelfetch.pulling.learning import lanes_for
from modelfetch.pulling.request import Via
from modelfetch.store import Destination
from modelfetch.transfer import Job, Options, Report


class Backend(Protocol):
    """Brings the files of jobs to the destination that it was made for."""

    def resumable_bytes(self, jobs: Sequence[Job]) -> int:
        """How much of them an earlier run has left for this backend. Changes nothing."""

    def bring(self, jobs: Sequence[Job], listener: events.Listener) -> Report:
        """Bring them all, verified; blocks until then.

        Raises:
            ModelfetchError: a file cannot be had, or the disk refuses. What was fetched is kept for the next run.
        """


@dataclass(frozen=True)
class Direct:
    """Our own lanes, from every source at once."""

    destination: Destination
    network: Network
    options: Options

    def resumable_bytes(self, jobs: Sequence[Job]) -> int:
        return sum(transfer.resumable_bytes(self.destination.partial(job.entry), job.entry.size) for job in jobs)

    def bring(self, jobs: Sequence[Job], listener: events.Listener) -> Report:
        return transfer.transfer(
            jobs, landing=self.destination, network=self.network, options=self.options, listener=listener
        )


@dataclass(frozen=True)
class ViaSdk:
    """The hub's own client, in a child process."""

    destination: Destination
    order: sdk.Order

    def resumable_bytes(self, jobs: Sequence[Job]) -> int:
        return sdk.resumable_bytes(jobs, self.order, self.destination.partials)

    def bring(self, jobs: Sequence[Job], listener: events.Listener) -> Report:
        return sdk.transfer(
            jobs, order=self.order, landing=self.destination, folder=self.destination.partials, listener=listener
        )


def choose(via: Via, resolution: Resolution, destination: Destination, network: Network, settings: Settings) -> Backend:
    """The backend that the user wants for what the endpoints offer.

    Raises:
        UsageError, ConfigError: the hub's own client cannot do what is asked, or is not installed.
    """
    if via == "direct":
        endpoints = [offer.endpoint for offer in resolution.offers]
        caps = {endpoint.name: endpoint.connections for endpoint in endpoints}
        begin = lanes_for(endpoints, settings)
        return Direct(destination, network, Options(settings.connections, settings.limit_rate, caps, begin))
    if settings.limit_rate is not None:
        raise UsageError(
            "a hub's own client cannot be held to a rate",
            hint="leave --limit-rate away and unset MODELFETCH_LIMIT_RATE, or leave --via sdk away",
        )
    offer = resolution.manifest_offer
    sdk.check_sdk(offer.endpoint.hub)
    token = _token_for(offer.endpoint, settings)
    return ViaSdk(destination, sdk.Order(offer.manifest, offer.endpoint, token, settings.connections))


def _token_for(endpoint: Endpoint, settings: Settings) -> str | None:
    """The token, where the firewall would add it to a request for this endpoint."""
    credential = credential_for(endpoint, settings.tokens)
    return settings.tokens[endpoint.hub] if headers_for(endpoint.url, {}, credential) else None
