"""Brings the bytes through the hub's own client.

- It asks one endpoint, the one whose listing is the manifest.
- It is given the token where our own requests would show it to that endpoint, and otherwise none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelfetch import events, sdk
from modelfetch.config import Endpoint, Settings
from modelfetch.errors import UsageError
from modelfetch.http.firewall import headers_for
from modelfetch.hubs import Offer, credential_for
from modelfetch.store import Destination
from modelfetch.transfer import Job, Report


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


def ordered_from(offer: Offer, destination: Destination, settings: Settings) -> ViaSdk:
    """The client of the hub that made `offer`, told what is wanted of it.

    Raises:
        UsageError, ConfigError: the client cannot do what is asked, or is not installed.
    """
    if settings.limit_rate is not None:
        raise UsageError(
            "a hub's own client cannot be held to a rate",
            hint="leave --limit-rate away and unset MODELFETCH_LIMIT_RATE, or leave --via sdk away",
        )
    sdk.check_sdk(offer.endpoint.hub)
    token = _token_for(offer.endpoint, settings)
    return ViaSdk(destination, sdk.Order(offer.manifest, offer.endpoint, token, settings.connections))


def _token_for(endpoint: Endpoint, settings: Settings) -> str | None:
    """The token, where the firewall would add it to a request for this endpoint."""
    credential = credential_for(endpoint, settings.tokens)
    return settings.tokens[endpoint.hub] if headers_for(endpoint.url, {}, credential) else None
