"""Fetches files of a snapshot again that were damaged on disk, from any source that has their digests.

- The snapshot says what the bytes are, not a hub: a branch that moved on, or another hub, is a source as far as it
  still has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from modelfetch import config, events
from modelfetch.config import Settings
from modelfetch.errors import ModelfetchError, NoSourceError
from modelfetch.http import Network
from modelfetch.hubs import Offer, resolve
from modelfetch.planning.sources import sources_of
from modelfetch.pull.plan import source_at
from modelfetch.reference import Reference
from modelfetch.store import Destination, FolderDestination, Snapshot, Store, StoreDestination
from modelfetch.transfer import Job, Options, transfer


def repair(
    snapshot: Snapshot,
    paths: frozenset[str],
    *,
    settings: Settings | None = None,
    listener: events.Listener = events.ignore,
) -> None:
    """Bring `paths` of `snapshot` again, under the same final names.

    Raises:
        NoSourceError: nobody has these bytes any more, or nobody can be asked.
        ModelfetchError: as a pull.
    """
    settings = settings or config.load()
    network = Network()
    entries = [entry for entry in snapshot.entries if entry.path in paths]
    offers = _offers(snapshot, settings, network, listener)
    by_name = {offer.endpoint.name: offer for offer in offers}
    # The snapshot goes first: it is what the others are compared with, and no source itself.
    listings = [("", snapshot.manifest), *((name, offer.manifest) for name, offer in by_name.items())]
    sources = sources_of(entries, listings)
    jobs = []
    for entry in entries:
        names = [name for name in sources.by_path[entry.path] if name]
        if not names:
            raise NoSourceError(
                f"no endpoint has these bytes of `{entry.path}` any more",
                facts={"sha256": entry.digests.sha256, "asked": ", ".join(by_name)},
                hint=f"modelfetch pull {replace(snapshot.reference, revision=None)} brings what is there now",
            )
        jobs.append(Job(entry, tuple(source_at(by_name[name], entry, settings) for name in names)))
    store = Store.open(settings.home)
    destination: Destination = FolderDestination(store, snapshot.folder) if snapshot.plain else StoreDestination(store)
    options = Options(settings.connections, settings.limit_rate)
    transfer(jobs, landing=destination, network=network, options=options, listener=listener)


def _offers(snapshot: Snapshot, settings: Settings, network: Network, listener: events.Listener) -> list[Offer]:
    """What the snapshot's own hub has at its commit, and the other hubs at their default branch."""
    offers: list[Offer] = []
    failures: list[ModelfetchError] = []
    for reference in _references(snapshot):
        own = reference.hub == snapshot.manifest.hub
        endpoints = [each for each in settings.endpoints if (each.hub == snapshot.manifest.hub) == own]
        if not endpoints or settings.offline:
            continue
        try:
            resolution = resolve(
                reference,
                endpoints,
                tokens=settings.tokens,
                network=network,
                listener=listener,
                enough=lambda _: False,
            )
        except ModelfetchError as error:
            failures.append(error)
        else:
            offers += resolution.offers
    if not offers:
        raise failures[0] if failures else NoSourceError("no endpoint may be asked", hint="leave --offline away")
    return offers


def _references(snapshot: Snapshot) -> Iterable[Reference]:
    own = snapshot.reference
    is_pinned = snapshot.manifest.hub != "modelscope"
    yield replace(own, revision=snapshot.manifest.commit if is_pinned else own.revision)
    yield replace(own, hub=None, revision=None)
