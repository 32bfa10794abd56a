"""Brings a model: resolve, plan, transfer, publish, link. One verb; returns values and prints nothing.

- What the store has is not fetched; a pull that has nothing to do asks one listing and no data.
- Every refusal that can be known is made before the first byte: gating, room on the disk, names, digests.
- A gated model is never brought from a place that does not ask.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from modelfetch import config, events, hubs, reference
from modelfetch.config import Endpoint, Settings
from modelfetch.config.endpoints import choose, send_tokens_to, with_endpoints
from modelfetch.errors import DiskFullError, GatedError, NoSourceError, StoreError, UsageError
from modelfetch.http import Network
from modelfetch.hubs import Offer, Resolution, credential_for, resolve
from modelfetch.manifest import Digests, Entry, Manifest
from modelfetch.planning.sources import Sources, sources_of
from modelfetch.reference import Reference, is_commit
from modelfetch.selection import Selection, select
from modelfetch.store import Destination, FolderDestination, Snapshot, Store, StoreDestination
from modelfetch.store.views import folder as folder_view
from modelfetch.store.views import huggingface as huggingface_view
from modelfetch.transfer import Job, Options, Report, Source, resumable_bytes, transfer
from modelfetch.units import format_bytes

# Snapshots, links and journals need a little besides the payload.
_SPARE_BYTES = 16 << 20


@dataclass(frozen=True)
class Request:
    """What is asked for. `source` and `endpoints` narrow the places; `include`, `exclude` and `all_files` the files.

    `local_dir` also puts the files in a plain folder; `link` makes the view that huggingface_hub and transformers read.
    """

    reference: Reference
    source: str | None = None
    endpoints: tuple[str, ...] = ()
    send_tokens_to: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    all_files: bool = False
    local_dir: Path | None = None
    link: bool = True
    dry_run: bool = False


@dataclass(frozen=True)
class PulledFile:
    """One file of the result; `state` is `fetched` (in a dry run: would be), `reused` or `left`."""

    path: str
    size: int
    sha256: str | None
    state: str


@dataclass(frozen=True)
class Pulled:
    """The outcome. `snapshot` is None after a dry run; `report` is None when nothing was transferred.

    `notes` were told with the plan, `late_notes` came up after it.
    """

    manifest: Manifest
    files: tuple[PulledFile, ...]
    snapshot: Snapshot | None
    folder: Path | None
    report: Report | None
    seconds: float
    notes: tuple[str, ...]
    late_notes: tuple[str, ...] = ()

    @property
    def bytes_total(self) -> int:
        return sum(file.size for file in self.files if file.state != "left")

    @property
    def bytes_reused(self) -> int:
        return sum(file.size for file in self.files if file.state == "reused")


def pull(text: str, *, settings: Settings | None = None, listener: events.Listener = events.ignore) -> Snapshot:
    """Bring the model that `text` refers to into the store, and link it for transformers.

    Raises:
        ModelfetchError: see `modelfetch.errors`; what was fetched is kept and the same call goes on from there.
    """
    pulled = run(Request(reference.parse(text)), settings=settings or config.load(), listener=listener)
    assert pulled.snapshot is not None
    return pulled.snapshot


def run(request: Request, *, settings: Settings, listener: events.Listener = events.ignore) -> Pulled:
    """Carry out `request`.

    Raises:
        ModelfetchError: as `pull`.
    """
    began = time.monotonic()
    store = Store.open(settings.home)
    destination = _destination(store, request.local_dir)
    plan = _known(request, settings, store, destination)
    report = None
    if plan is None:
        settings = with_endpoints(settings, request.endpoints, hub=request.reference.hub)
        settings = send_tokens_to(settings, request.send_tokens_to)
        network = Network()
        resolution = _resolve(request, settings, destination, network, listener)
        plan = _plan(request, resolution, destination, settings)
        listener(plan.event())
        if not request.dry_run and plan.jobs:
            _check_room(plan, destination)
            report = transfer(
                plan.jobs,
                landing=destination,
                network=network,
                options=_options(settings, resolution),
                listener=listener,
            )
    seconds = time.monotonic() - began
    if request.dry_run:
        return Pulled(plan.manifest, plan.files(), None, None, None, seconds, plan.notes)
    manifest = _with_digests(plan.manifest, {**plan.found, **(report.digests if report else {})})
    snapshot = destination.finish(manifest, frozenset(entry.path for entry in plan.selection.chosen))
    folder, notes = _make_views(request, settings, store, snapshot, destination)
    files = replace(plan, manifest=manifest).files()
    return Pulled(manifest, files, snapshot, folder, report, seconds, plan.notes, notes)


@dataclass(frozen=True)
class _Plan:
    """What comes and from where; what is `found` need not come."""

    manifest: Manifest
    selection: Selection
    found: Mapping[str, Digests]
    jobs: tuple[Job, ...] = ()
    resumed_bytes: int = 0
    notes: tuple[str, ...] = ()

    def event(self) -> events.Planned:
        return events.Planned(
            self.manifest.repo,
            self.manifest.hub,
            self.manifest.commit,
            len(self.selection.chosen),
            sum(entry.size for entry in self.selection.chosen),
            sum(entry.size for entry in self.selection.chosen if entry.path in self.found),
            self.resumed_bytes,
            self.notes,
        )

    def files(self) -> tuple[PulledFile, ...]:
        fetched = {job.entry.path for job in self.jobs}
        sha256 = {entry.path: entry.digests.sha256 for entry in self.manifest.entries}
        come = [
            PulledFile(entry.path, entry.size, sha256[entry.path], "fetched" if entry.path in fetched else "reused")
            for entry in self.selection.chosen
        ]
        left = [PulledFile(entry.path, entry.size, sha256[entry.path], "left") for entry in self.selection.left]
        return tuple(come + left)


def _destination(store: Store, local_dir: Path | None) -> Destination:
    """The store, but for a folder on another disk: the weights must not pass the store's."""
    if local_dir is None or _device(local_dir) == _device(store.home):
        return StoreDestination(store)
    return FolderDestination(store, local_dir)


def _device(path: Path) -> int:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path.stat().st_dev


def _select(request: Request, manifest: Manifest) -> Selection:
    return select(
        manifest.entries,
        include=request.include,
        exclude=request.exclude,
        all_files=request.all_files,
        quant=request.reference.quant,
    )


def _find(selection: Selection, destination: Destination) -> dict[str, Digests]:
    """The digests of those files that need not be fetched."""
    found = {entry.path: destination.find(entry) for entry in selection.chosen if entry.digests}
    return {path: digests for path, digests in found.items() if digests}


def _known(request: Request, settings: Settings, store: Store, destination: Destination) -> _Plan | None:
    """The plan that needs no network: when there must be none, or when a commit that never changes is here whole.

    Raises:
        NoSourceError: offline, and something is not here.
    """
    asked = request.reference
    if not settings.offline and not is_commit(asked.revision):
        return None
    hubs_asked = {endpoint.hub for endpoint in _endpoints(request, settings)}
    if asked.hub is None and len(hubs_asked) == 1:
        asked = replace(asked, hub=hubs_asked.pop())
    snapshot = store.lookup(asked)
    if snapshot:
        selection = _select(request, snapshot.manifest)
        found = _find(selection, destination)
        missing = [entry.path for entry in selection.chosen if entry.path not in found]
        if not missing:
            return _Plan(snapshot.manifest, selection, found)
    if not settings.offline:
        return None
    raise NoSourceError(
        f"`{asked}` is not whole in the store, and the network is not to be used",
        facts={"store": settings.home, "missing": ", ".join(missing[:3]) if snapshot else "the whole model"},
        hint="leave --offline away, and unset HF_HUB_OFFLINE and MODELFETCH_OFFLINE",
    )


def _endpoints(request: Request, settings: Settings) -> tuple[Endpoint, ...]:
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


def _resolve(
    request: Request, settings: Settings, destination: Destination, network: Network, listener: events.Listener
) -> Resolution:
    def enough(offer: Offer) -> bool:
        selection = _select(request, offer.manifest)
        return len(_find(selection, destination)) == len(selection.chosen)

    return resolve(
        request.reference,
        _endpoints(request, settings),
        tokens=settings.tokens,
        network=network,
        listener=listener,
        enough=enough,
    )


def _plan(request: Request, resolution: Resolution, destination: Destination, settings: Settings) -> _Plan:
    offers = {offer.endpoint.name: offer for offer in resolution.offers}
    manifest = resolution.offers[0].manifest
    selection = _select(request, manifest)
    found = _find(selection, destination)
    wanted = [entry for entry in selection.chosen if entry.path not in found]
    sources = sources_of(wanted, [(name, offer.manifest) for name, offer in offers.items()])
    jobs = tuple(
        Job(entry, tuple(_source(offers[name], entry, settings) for name in sources.by_path[entry.path]))
        for entry in map(_must_have_digest, wanted)
    )
    if jobs:
        _check_gate(resolution.offers[0], settings)
    resumed = sum(resumable_bytes(destination.partial(job.entry), job.entry.size) for job in jobs)
    notes = (*_fact_notes(manifest), *selection.notes(), *_contradiction_notes(sources))
    return _Plan(manifest, selection, found, jobs, resumed, notes)


def _source(offer: Offer, entry: Entry, settings: Settings) -> Source:
    endpoint = offer.endpoint
    url = hubs.hub(endpoint.hub).file_url(endpoint, offer.manifest, entry.path)
    return Source(endpoint.name, url, credential_for(endpoint, settings.tokens))


def _must_have_digest(entry: Entry) -> Entry:
    if not entry.digests:
        raise NoSourceError(
            f"`{entry.path}` is listed without a digest, and nothing is published that cannot be verified",
            hint=f"pull from another endpoint with --endpoint, or leave the file with --exclude '{entry.path}'",
        )
    return entry


def _check_gate(offer: Offer, settings: Settings) -> None:
    if offer.manifest.facts.gated and credential_for(offer.endpoint, settings.tokens) is None:
        variable = {"huggingface": "HF_TOKEN", "modelscope": "MODELSCOPE_API_TOKEN"}.get(offer.endpoint.hub, "a token")
        has_token = offer.endpoint.hub in settings.tokens
        raise GatedError(
            f"`{offer.manifest.repo}` is gated at `{offer.endpoint.name}`",
            facts={
                "token": "set, and not sent to a host that was not named" if has_token else f"{variable} is not set"
            },
            hint=f"--send-token-to {offer.endpoint.origin}, if you trust it"
            if has_token
            else f"accept its terms on {offer.endpoint.url}/{offer.manifest.repo}, then set {variable}",
        )


def _check_room(plan: _Plan, destination: Destination) -> None:
    needed = sum(job.entry.size for job in plan.jobs) - plan.resumed_bytes + _SPARE_BYTES
    free = shutil.disk_usage(destination.filesystem).free
    if needed > free:
        raise DiskFullError(
            f"`{destination.filesystem}` has too little room for `{plan.manifest.repo}`",
            facts={"needed": format_bytes(needed), "free": format_bytes(free), "missing": format_bytes(needed - free)},
            hint="modelfetch ls shows what could go; MODELFETCH_HOME or --local-dir chooses another disk",
        )


def _options(settings: Settings, resolution: Resolution) -> Options:
    caps = {offer.endpoint.name: offer.endpoint.connections for offer in resolution.offers}
    return Options(settings.connections, settings.limit_rate, caps)


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


def _fact_notes(manifest: Manifest) -> tuple[str, ...]:
    facts = manifest.facts
    notes = []
    if facts.licence:
        notes.append(f"licence: {facts.licence}")
    if facts.gated:
        notes.append("gated: its terms were accepted by the account of your token")
    return tuple(notes)


def _contradiction_notes(sources: Sources) -> tuple[str, ...]:
    return tuple(
        f"{name} lists other bytes for {paths[0]}"
        + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
        + ": not used for them"
        for name, paths in sources.contradictions.items()
    )
