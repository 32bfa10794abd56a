"""Fetches files of a snapshot again that were damaged on disk, from any source that has their digests.

- The snapshot says what the bytes are, not a hub: a branch that moved on, or another hub, is a source as far as it
  still has them.
- What has a name of the user's own is nobody's to be asked for, but those who are named for it.
"""

from __future__ import annotations

from dataclasses import replace

from modelfetch import config, events
from modelfetch.config import Settings, with_endpoints
from modelfetch.errors import NoSourceError
from modelfetch.http import Network
from modelfetch.pulling.holders import ask_holders, held_by
from modelfetch.pulling.plan import source_at
from modelfetch.reference import LOCAL
from modelfetch.store import Destination, FolderDestination, Snapshot, Store, StoreDestination
from modelfetch.transfer import Job, Options
from modelfetch.transfer.engine import transfer


def repair(
    snapshot: Snapshot,
    paths: frozenset[str],
    *,
    settings: Settings | None = None,
    endpoints: tuple[str, ...] = (),
    listener: events.Listener = events.ignore,
) -> None:
    """Bring `paths` of `snapshot` again, under the same final names; from `endpoints` alone where any are named.

    Raises:
        NoSourceError: nobody has these bytes any more, or nobody may be asked: so also where `paths` are none.
        UsageError: an endpoint that there is not.
        ModelfetchError: as a pull.
    """
    settings = with_endpoints(settings or config.load(), endpoints)
    _check_somebody_may_be_asked(snapshot, settings, endpoints)
    if not paths:
        return
    network = Network()
    entries = [entry for entry in snapshot.entries if entry.path in paths]
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


def _check_somebody_may_be_asked(snapshot: Snapshot, settings: Settings, named: tuple[str, ...]) -> None:
    if settings.offline:
        raise NoSourceError(
            f"`{snapshot.manifest.repo}` cannot be fetched again without the network, which is not to be used",
            facts={"set by": settings.origins.get("offline", "the caller")},
            hint="unset HF_HUB_OFFLINE and MODELFETCH_OFFLINE",
        )
    if not settings.endpoints:
        raise NoSourceError("no endpoint is known", hint="modelfetch config")
    if snapshot.manifest.hub == LOCAL and not named:
        repo = snapshot.manifest.repo
        raise NoSourceError(
            f"`{LOCAL}:{repo}` has a name of your own, and no hub is asked for it",
            facts={"damaged files": "left as they are"},
            hint=f"modelfetch adopt PATH --as {repo}, if you have its files elsewhere; "
            "or --endpoint http://HOST:PORT, where `modelfetch serve` has it",
        )
