"""Which endpoints a request goes to, and asking them."""

from __future__ import annotations

from dataclasses import replace

from modelfetch import events
from modelfetch.config import Endpoint, Settings
from modelfetch.config.endpoints import choose
from modelfetch.errors import UsageError
from modelfetch.http import Network
from modelfetch.hubs import Offer, Resolution, one_for_each_address, resolve
from modelfetch.pulling.plan import find, select_files
from modelfetch.pulling.request import Request
from modelfetch.reference import Reference
from modelfetch.store import Destination, Store


def endpoints_for(request: Request, settings: Settings) -> tuple[Endpoint, ...]:
    """The endpoints to ask, in order of preference.

    Raises:
        UsageError: the source does not speak the reference's dialect.
    """
    hub = request.reference.hub
    endpoints = choose(settings, "auto" if hub and request.source is None else request.source)
    speaking = tuple(endpoint for endpoint in endpoints if hub in {None, endpoint.hub})
    if not speaking:
        raise UsageError(
            f"`{request.reference}` names a hub that the endpoints do not speak",
            facts={"hub": hub, "endpoints": ", ".join(f"{each.name} ({each.hub})" for each in endpoints)},
            hint="leave the hub out of the reference, or choose another --source or --endpoint",
        )
    return speaking


def ask(
    request: Request,
    settings: Settings,
    store: Store,
    destination: Destination,
    network: Network,
    listener: events.Listener,
) -> Resolution:
    """Who offers the model. Once an offer is what was pulled before, the others are not waited for.

    The same bytes from another hub are no reason to be quick: that would name the model after whoever answered first.

    Raises:
        NotFoundError, AccessError, NoSourceError: as `hubs.resolve`.
        UsageError: as `endpoints_for`.
    """

    def enough(offer: Offer) -> bool:
        manifest = offer.manifest
        if not store.matching(Reference.of(manifest.repo, manifest.hub, manifest.commit)):
            return False
        selection = select_files(request, manifest)
        return len(find(selection, destination)) == len(selection.chosen)

    resolution = resolve(
        request.reference,
        endpoints_for(request, settings),
        tokens=settings.tokens,
        network=network,
        listener=listener,
        enough=enough,
    )
    return replace(resolution, offers=one_for_each_address(resolution.offers))
