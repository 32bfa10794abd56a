"""Asks who has bytes that are known already: those of a lock, or of a snapshot that is to be mended.

- The manifest says what the bytes are, and no hub does: a listing makes an endpoint a source of a file, or does not.
- The manifest's own hub is asked for its commit, which it may have forgotten: then for the revision. Another hub does
  not know that commit: it is asked for the revision of that name, then for its default branch.
- Whoever is slow is waited for until somebody has every file; from then on only for a moment.
"""

from __future__ import annotations

from collections.abc import Sequence

from modelfetch import events, hubs
from modelfetch.config import Endpoint, Settings
from modelfetch.errors import ModelfetchError, NotFoundError
from modelfetch.http import Network
from modelfetch.hubs import Answers, Offer, Question
from modelfetch.manifest import Entry, Manifest
from modelfetch.planning.sources import Sources, sources_of
from modelfetch.reference import Reference, is_commit

# What stands for the manifest among the listings; no endpoint is called so.
_MANIFEST = ""


def ask_holders(
    manifest: Manifest,
    wanted: Sequence[Entry],
    endpoints: Sequence[Endpoint],
    *,
    settings: Settings,
    network: Network,
    listener: events.Listener,
) -> Answers:
    """Who lists the model where the bytes of `wanted` are likely to be; at least one endpoint does.

    Raises:
        NotFoundError, NoSourceError: nobody lists it, or nobody can be asked.
        AccessError: the model is gated, or its hub refuses the token.
    """
    missing = {entry.path for entry in wanted}

    def usable(offer: Offer) -> bool:
        missing.difference_update(path for path, names in held_by(manifest, wanted, [offer]).by_path.items() if names)
        return not missing

    reference = Reference.of(manifest.repo, manifest.hub, manifest.revision)
    listener(events.Resolving(str(reference), tuple(endpoint.name for endpoint in endpoints)))
    offers: list[Offer] = []
    refusals: dict[str, ModelfetchError] = {}
    revisions = {endpoint: _revisions(endpoint, manifest) for endpoint in endpoints}
    while revisions and missing:
        answers = hubs.ask_each(
            [Question(endpoint, manifest.repo, first) for endpoint, (first, *_) in revisions.items()],
            tokens=settings.tokens,
            network=network,
            listener=listener,
            enough=lambda _: False,
            usable=usable,
        )
        hubs.refuse_access(endpoints, answers.refusals)
        offers += answers.offers
        refusals |= answers.refusals
        revisions = {
            endpoint: rest
            for endpoint, (_, *rest) in revisions.items()
            if rest and isinstance(answers.refusals.get(endpoint.name), NotFoundError)
        }
    if not offers:
        raise hubs.nobody(reference, endpoints, refusals)
    for offer in offers:
        # What it does not have under one revision it may have had under the next.
        refusals.pop(offer.endpoint.name, None)
    return Answers(tuple(offers), refusals)


def held_by(manifest: Manifest, wanted: Sequence[Entry], offers: Sequence[Offer]) -> Sources:
    """Which endpoints have the manifest's bytes of which of `wanted`, and which list others."""
    listings = [(_MANIFEST, manifest), *((offer.endpoint.name, offer.manifest) for offer in offers)]
    sources = sources_of(wanted, listings)
    by_path = {}
    for path, names in sources.by_path.items():
        holding = hubs.one_for_each_address(offer for offer in offers if offer.endpoint.name in names)
        by_path[path] = tuple(offer.endpoint.name for offer in holding)
    return Sources(by_path, sources.contradictions)


def is_of_the_commit(offer: Offer, manifest: Manifest) -> bool:
    """Whether the offer is of the manifest's very commit, which never changes its content."""
    return (offer.manifest.hub, offer.manifest.commit) == (manifest.hub, manifest.commit)


def _revisions(endpoint: Endpoint, manifest: Manifest) -> list[str | None]:
    """Where the endpoint is likely to have these bytes, the likeliest first."""
    if endpoint.hub != manifest.hub:
        named = [] if is_commit(manifest.revision) else [manifest.revision]
        return list(dict.fromkeys((*named, None)))
    # A commit of ModelScope's is our own digest of its listing, which it cannot be asked for.
    pinned = [] if manifest.hub == "modelscope" else [manifest.commit]
    return list(dict.fromkeys((*pinned, manifest.revision)))
