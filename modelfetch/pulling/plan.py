"""What must be fetched and from where, after everything that is here already was taken away.

- Every refusal that a listing allows is made here: gating, a file without a digest.
- A gated model is never brought from a place that does not ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelfetch import events, hubs
from modelfetch.config import Settings
from modelfetch.errors import GatedError, NoSourceError
from modelfetch.hubs import Offer, Resolution, credential_for
from modelfetch.manifest import Digests, Entry, Manifest
from modelfetch.planning.sources import sources_of
from modelfetch.pulling.backends import Backend
from modelfetch.pulling.request import PulledFile, Request
from modelfetch.selection import Selection, select
from modelfetch.store import Destination
from modelfetch.transfer import Job, Source


@dataclass(frozen=True)
class Plan:
    """What comes and from where; what is `found` need not come. `offers` are what was said of it."""

    manifest: Manifest
    selection: Selection
    found: Mapping[str, Digests]
    jobs: tuple[Job, ...] = ()
    resumed_bytes: int = 0
    notes: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()

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


def make_plan(
    request: Request, resolution: Resolution, destination: Destination, backend: Backend, settings: Settings
) -> Plan:
    """The plan for what the endpoints offer, as `backend` will carry it out.

    Raises:
        GatedError: the endpoint whose listing it is may not be shown a token that would open it.
        NoSourceError: a file is listed without a digest.
    """
    offers = {offer.endpoint.name: offer for offer in resolution.offers}
    manifest = resolution.manifest_offer.manifest
    selection = select_files(request, manifest)
    found = find(selection, destination)
    wanted = [entry for entry in selection.chosen if entry.path not in found]
    sources = sources_of(wanted, [(name, offer.manifest) for name, offer in offers.items()])
    jobs = tuple(
        Job(entry, tuple(source_at(offers[name], entry, settings) for name in sources.by_path[entry.path]))
        for entry in map(_must_have_digest, wanted)
    )
    if jobs:
        check_gate(resolution.manifest_offer, settings)
    notes = (*fact_notes(manifest), *selection.notes(), *contradiction_notes(sources.contradictions))
    resumed_bytes = backend.resumable_bytes(jobs)
    return Plan(manifest, selection, found, jobs, resumed_bytes, notes, resolution.offers)


def select_files(request: Request, manifest: Manifest) -> Selection:
    """Those files of `manifest` that `request` wants."""
    return select(
        manifest.entries,
        include=request.include,
        exclude=request.exclude,
        all_files=request.all_files,
        quant=request.reference.quant,
    )


def find(selection: Selection, destination: Destination) -> dict[str, Digests]:
    """The digests of those files that need not be fetched."""
    found = {entry.path: destination.find(entry) for entry in selection.chosen if entry.digests}
    return {path: digests for path, digests in found.items() if digests}


def source_at(offer: Offer, entry: Entry, settings: Settings) -> Source:
    """The entry at the endpoint that made the offer, with the credential that it may be shown."""
    endpoint = offer.endpoint
    url = hubs.hub(endpoint.hub).file_url(endpoint, offer.manifest, entry.path)
    return Source(endpoint.name, url, credential_for(endpoint, settings.tokens), endpoint.sends_token)


def _must_have_digest(entry: Entry) -> Entry:
    if not entry.digests:
        raise NoSourceError(
            f"`{entry.path}` is listed without a digest, and nothing is published that cannot be verified",
            hint=f"pull from another endpoint with --endpoint, or leave the file with --exclude '{entry.path}'",
        )
    return entry


def check_gate(offer: Offer, settings: Settings) -> None:
    """Refuse a gated model where no token would be shown to the endpoint that offers it.

    Raises:
        GatedError: so it is.
    """
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


def fact_notes(manifest: Manifest) -> tuple[str, ...]:
    """What a listing says of the model that its user should know."""
    facts = manifest.facts
    notes = []
    if facts.licence:
        notes.append(f"licence: {facts.licence}")
    if facts.gated:
        notes.append("gated: its terms were accepted by the account of your token")
    return tuple(notes)


def contradiction_notes(contradictions: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """A sentence for each endpoint that lists other bytes for some paths."""
    return tuple(
        f"{name} lists other bytes for {paths[0]}"
        + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
        + ": not used for them"
        for name, paths in contradictions.items()
    )
