"""Brings a model: resolve, plan, transfer, publish, link. One verb; returns values and prints nothing.

- What the store has is not fetched; a pull that has nothing to do asks one listing and no data.
- Every refusal that can be known is made before the first byte: gating, room on the disk, names, digests.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from modelfetch import config, events, reference
from modelfetch.config import Settings
from modelfetch.config.endpoints import send_tokens_to, with_endpoints
from modelfetch.errors import DiskFullError, StoreError, UsageError
from modelfetch.http import Network
from modelfetch.manifest import Digests, Manifest
from modelfetch.pulling.announced import Announced
from modelfetch.pulling.asking import ask
from modelfetch.pulling.backends import Backend, choose
from modelfetch.pulling.known import known_plan
from modelfetch.pulling.locked import check_choices, plan_from_hubs
from modelfetch.pulling.locking import seen_at
from modelfetch.pulling.plan import Plan, make_plan
from modelfetch.pulling.request import Pulled, PulledFile, Request
from modelfetch.store import Destination, FolderDestination, Snapshot, Store, StoreDestination
from modelfetch.store.room import check_room
from modelfetch.store.views import folder as folder_view
from modelfetch.store.views import huggingface as huggingface_view
from modelfetch.transfer.needs import Needs

__all__ = ["Pulled", "PulledFile", "Request", "pull", "run"]

# Snapshots, links and journals need a little besides the payload.
_SPARE_BYTES = 16 << 20


def pull(text: str, *, settings: Settings | None = None, listener: events.Listener = events.ignore) -> Snapshot:
    """Bring the model that `text` refers to into the store, every byte verified, and link it for transformers.

    `text` is `[hub:]owner/name[@revision][:QUANT]` or the address of a model's page. `settings` are those of files and
    environment where none are given. `listener` is told each of `modelfetch.events` as it happens, by several threads.

    Raises:
        UsageError: `text` is no reference.
        ConfigError: a file or a variable that has a say in it cannot be used.
        NotFoundError: a hub that answered has no such model, revision or quantisation.
        AccessError: the hub wants a token; `GatedError` where its terms must be accepted first.
        NoSourceError: nobody is left to fetch from. What was fetched is kept, and the same call goes on from there.
        DiskFullError: there is no room, most often noticed before the first byte.
        DigestMismatchError: no source has the bytes that the manifest names.
        StoreError: the store cannot be used.
    """
    pulled = run(Request(reference.parse(text)), settings=settings or config.load(), listener=listener)
    assert pulled.snapshot is not None
    return pulled.snapshot


def run(request: Request, *, settings: Settings, listener: events.Listener = events.ignore) -> Pulled:
    """Carry out `request`.

    Raises:
        ModelfetchError: as `pull`.
    """
    if request.locked is not None:
        check_choices(request)
    store = Store.open(settings.home)
    with Needs(store.partials) as needs:
        destination = Announced(_destination(store, request.local_dir), needs)
        return _carry_out(request, settings, store, destination, listener)


def _carry_out(
    request: Request, settings: Settings, store: Store, destination: Announced, listener: events.Listener
) -> Pulled:
    began = time.monotonic()
    plan = known_plan(request, settings, store, destination)
    report = None
    if plan is None:
        # A lock is satisfied by any hub that has its bytes, whichever it was that they were locked from.
        hub = None if request.locked else request.reference.hub
        settings = with_endpoints(settings, request.endpoints, hub=hub)
        settings = send_tokens_to(settings, request.send_tokens_to)
        plan, backend = _ask_and_plan(request, settings, store, destination, listener)
        if plan.jobs:
            from modelfetch.pulling.explaining import reasons

            plan = replace(plan, notes=(*plan.notes, *reasons(request, plan, settings)))
        listener(plan.event())
        if not request.dry_run and plan.jobs:
            needed_bytes = sum(job.entry.size for job in plan.jobs) - plan.resumed_bytes + _SPARE_BYTES
            check_room(destination.filesystem, needed_bytes, plan.manifest.repo, "MODELFETCH_HOME or --local-dir")
            from modelfetch.pulling.learning import note

            bringing = time.monotonic()
            report = backend.bring(plan.jobs, listener)
            note(report, time.monotonic() - bringing, settings)
    seconds = time.monotonic() - began
    if request.dry_run:
        return Pulled(plan.manifest, plan.files(), None, None, None, seconds, plan.notes)
    manifest = _with_digests(plan.manifest, {**plan.found, **(report.digests if report else {})})
    paths = frozenset(entry.path for entry in plan.selection.chosen)
    snapshot = replace(destination.finish(manifest, paths), quant=request.reference.quant)
    folder, notes = _make_views(request, settings, store, snapshot, destination.inner)
    files = replace(plan, manifest=manifest).files()
    seen = seen_at(manifest, paths, plan.offers)
    return Pulled(manifest, files, snapshot, folder, report, seconds, plan.notes, notes, seen)


def _ask_and_plan(
    request: Request, settings: Settings, store: Store, destination: Destination, listener: events.Listener
) -> tuple[Plan, Backend]:
    network = Network()
    if request.locked is not None:
        return plan_from_hubs(request, request.locked, settings, destination, network, listener)
    resolution = ask(request, settings, store, destination, network, listener)
    backend = choose(request.via, resolution, destination, network, settings)
    return make_plan(request, resolution, destination, backend, settings), backend


def _destination(store: Store, local_dir: Path | None) -> Destination:
    """The store, but for a folder on another disk: the weights must not pass the store's."""
    if local_dir is None or _device(local_dir) == _device(store.home):
        return StoreDestination(store)
    return FolderDestination(store, local_dir)


def _device(folder: Path) -> int:
    """The file system that `folder` is on, or would be.

    Raises:
        UsageError: something that is no folder is in the way.
    """
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise UsageError(f"`{folder}` cannot be a folder", facts={"why": f"`{existing}` is a file"})
    return existing.stat().st_dev


def _with_digests(manifest: Manifest, digests: Mapping[str, Digests]) -> Manifest:
    """`manifest` with what was computed where something was computed."""
    entries = tuple(replace(entry, digests=digests.get(entry.path, entry.digests)) for entry in manifest.entries)
    return replace(manifest, entries=entries)


def _make_views(
    request: Request, settings: Settings, store: Store, snapshot: Snapshot, destination: Destination
) -> tuple[Path, tuple[str, ...]]:
    """Where the model is for the user, and what they should know. A view that cannot be made does not undo the pull."""
    if isinstance(destination, FolderDestination):
        return snapshot.folder, tuple(f"kept what you had as {path}" for path in destination.saved)
    if request.local_dir is not None:
        view = folder_view.link(store, snapshot, request.local_dir)
        return view.folder, (*view.notes, *(f"kept what you had as {path}" for path in view.saved))
    if not request.link:
        return snapshot.folder, ()
    try:
        return snapshot.folder, huggingface_view.link(store, snapshot, settings.hf_cache).notes
    except (StoreError, DiskFullError) as error:
        return snapshot.folder, (f"transformers will not find it by name: {error.message}",)
