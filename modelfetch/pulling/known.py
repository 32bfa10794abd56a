"""The plan that needs no network."""

from __future__ import annotations

from dataclasses import replace

from modelfetch.config import Settings
from modelfetch.errors import NoSourceError
from modelfetch.pulling.asking import endpoints_for
from modelfetch.pulling.locked import plan_from_disk
from modelfetch.pulling.plan import Plan, find, select_files
from modelfetch.pulling.request import Request
from modelfetch.reference import is_commit
from modelfetch.store import Destination, Store


def known_plan(request: Request, settings: Settings, store: Store, destination: Destination) -> Plan | None:
    """The plan when there must be no network, or when what never changes is here whole: a commit, a lock; else None.

    Raises:
        NoSourceError: offline, and something is not here.
    """
    if request.locked is not None:
        return plan_from_disk(request.locked, settings, destination)
    asked = request.reference
    if not settings.offline and not is_commit(asked.revision):
        return None
    hubs_asked = {endpoint.hub for endpoint in endpoints_for(request, settings)}
    if asked.hub is None and len(hubs_asked) == 1:
        asked = replace(asked, hub=hubs_asked.pop())
    snapshot = store.lookup(asked)
    # Of a listing that may lack files only an offline pull makes do with what there is.
    if snapshot and (snapshot.whole_listing or settings.offline):
        selection = select_files(request, snapshot.manifest)
        found = find(selection, destination)
        missing = [entry.path for entry in selection.chosen if entry.path not in found]
        if not missing:
            return Plan(snapshot.manifest, selection, found)
    if not settings.offline:
        return None
    raise NoSourceError(
        f"`{asked}` is not whole in the store, and the network is not to be used",
        facts={"store": settings.home, "missing": ", ".join(missing[:3]) if snapshot else "the whole model"},
        hint="leave --offline away, and unset HF_HUB_OFFLINE and MODELFETCH_OFFLINE",
    )
