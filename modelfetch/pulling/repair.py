"""Fetches files of a snapshot again that were damaged on disk, from any source that has their digests.

- The snapshot says what the bytes are, not a hub: a branch that moved on, or another hub, is a source as far as it
  still has them.
"""

from __future__ import annotations

from dataclasses import replace

from modelfetch import config, events
from modelfetch.config import Settings
from modelfetch.errors import NoSourceError
from modelfetch.http import Network
from modelfetch.pulling.holders import ask_holders, held_by
from modelfetch.pulling.plan import source_at
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
    if settings.offline or not settings.endpoints:
        raise NoSourceError("no endpoint may be asked", hint="leave --offline away")
    answers = ask_holders(
        snapshot.manifest, entries, settings.endpoints, settings=settings, network=network, listener=listener
    )
    offers = {offer.endpoint.name: offer for offer in answers.offers}
    held = held_by(snapshot.manifest, entries, answers.offers)
    jobs = []
    for entry in entries:
        names = held.by_path[entry.path]
        if not names:
            raise NoSourceError(
                f"no endpoint has these bytes of `{entry.path}` any more",
                facts={"sha256": entry.digests.sha256, "asked": ", ".join(offers)},
                hint=f"modelfetch pull {replace(snapshot.reference, revision=None)} brings what is there now",
            )
        jobs.append(Job(entry, tuple(source_at(offers[name], entry, settings) for name in names)))
    store = Store.open(settings.home)
    destination: Destination = FolderDestination(store, snapshot.folder) if snapshot.plain else StoreDestination(store)
    options = Options(settings.connections, settings.limit_rate)
    transfer(jobs, landing=destination, network=network, options=options, listener=listener)
