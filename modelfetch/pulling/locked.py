"""Brings exactly what a lock file says of a model, from whoever has these bytes.

- What is here is not asked for; where everything is here, nobody is asked. `holders` says who is asked for what.
- A hub that lists other files at the locked commit itself is named: it, or the lock, was changed.
- A file that nobody has is an error with its name, what was expected and what each endpoint has instead.
- Nothing is chosen anew: what would choose other files, or take one endpoint's word, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from modelfetch import events
from modelfetch.config import Settings
from modelfetch.errors import (
    DigestMismatchError,
    GatedError,
    ModelfetchError,
    NoSourceError,
    NotFoundError,
    UsageError,
)
from modelfetch.http import Network
from modelfetch.hubs import Offer, Resolution
from modelfetch.lock import LockedModel
from modelfetch.manifest import Entry
from modelfetch.planning.sources import Sources
from modelfetch.pulling.asking import endpoints_for
from modelfetch.pulling.backends import Backend, choose
from modelfetch.pulling.holders import ask_holders, held_by, is_of_the_commit
from modelfetch.pulling.plan import Plan, check_gate, contradiction_notes, fact_notes, find, source_at
from modelfetch.pulling.request import Request
from modelfetch.selection import Selection
from modelfetch.store import Destination
from modelfetch.transfer import Job


def check_choices(request: Request) -> None:
    """Refuse what a lock does not go with.

    Raises:
        UsageError: the request chooses files, or who brings them.
    """
    choices = {
        "--include": request.include,
        "--exclude": request.exclude,
        "--all-files": request.all_files,
        f":{request.reference.quant}": request.reference.quant,
        "--via sdk": request.via == "sdk",
    }
    if chosen := [name for name, value in choices.items() if value]:
        raise UsageError(
            f"{chosen[0]} does not go with --locked",
            facts={"why": "the lock file says which bytes come, and any source that has them may send them"},
            hint=f"leave {chosen[0]} away, or make another lock file with --lock",
        )


def plan_from_disk(locked: LockedModel, settings: Settings, destination: Destination) -> Plan | None:
    """The plan where nothing has to come; None where something has.

    Raises:
        NoSourceError: something has to come, and the network is not to be used.
    """
    selection = _selection(locked)
    found = find(selection, destination)
    missing = [entry for entry in selection.chosen if entry.path not in found]
    if not missing:
        return Plan(locked.manifest, selection, found)
    if settings.offline:
        raise NoSourceError(
            f"`{missing[0].path}` of `{locked.reference}` is not here, and the network is not to be used",
            facts={"expected": _described(missing[0]), "missing": f"{len(missing)} of {len(selection.chosen)} files"},
            hint="leave --offline away, and unset HF_HUB_OFFLINE and MODELFETCH_OFFLINE",
        )
    return None


def plan_from_hubs(
    request: Request,
    locked: LockedModel,
    settings: Settings,
    destination: Destination,
    network: Network,
    listener: events.Listener,
) -> tuple[Plan, Backend]:
    """The plan for what is not here, and who carries it out.

    Raises:
        DigestMismatchError: endpoints have other bytes of a file, and none has those of the lock.
        NoSourceError, NotFoundError: nobody can be asked, or nobody has a file.
        AccessError: the model is gated, or its hub refuses the token.
    """
    selection = _selection(locked)
    found = find(selection, destination)
    wanted = [entry for entry in selection.chosen if entry.path not in found]
    endpoints = endpoints_for(replace(request, reference=replace(request.reference, hub=None)), settings)
    answers = ask_holders(locked.manifest, wanted, endpoints, settings=settings, network=network, listener=listener)
    _check_gate(locked, answers.offers, settings)
    likeliest_first = tuple(sorted(answers.offers, key=lambda offer: not is_of_the_commit(offer, locked.manifest)))
    sources = held_by(locked.manifest, wanted, likeliest_first)
    nowhere = [entry for entry in wanted if not sources.by_path[entry.path]]
    if nowhere:
        raise _nowhere(nowhere, locked, likeliest_first, answers.refusals)
    offers = {offer.endpoint.name: offer for offer in likeliest_first}
    jobs = tuple(
        Job(entry, tuple(source_at(offers[name], entry, settings) for name in sources.by_path[entry.path]))
        for entry in wanted
    )
    resolution = Resolution(likeliest_first, answers.refusals)
    backend = choose(request.via, resolution, destination, network, settings)
    notes = (*fact_notes(locked.manifest), *selection.notes(), *_notes(locked, likeliest_first, sources))
    return Plan(locked.manifest, selection, found, jobs, backend.resumable_bytes(jobs), notes), backend


def _selection(locked: LockedModel) -> Selection:
    # What the lock lists besides is no choice of this pull, and nothing to tell about.
    return Selection(locked.entries)


def _check_gate(locked: LockedModel, offers: Sequence[Offer], settings: Settings) -> None:
    hub = locked.manifest.hub
    own = [offer for offer in offers if offer.manifest.hub == hub]
    if own:
        check_gate(own[0], settings)
    elif locked.manifest.facts.gated and hub not in settings.tokens:
        raise GatedError(
            f"`{locked.manifest.repo}` was gated at `{hub}` when it was locked, and there is no token for it",
            facts={"asked": ", ".join(offer.endpoint.name for offer in offers)},
            hint=f"accept its terms at {hub}, and set the token of that account",
        )


def _nowhere(
    entries: Sequence[Entry], locked: LockedModel, offers: Sequence[Offer], refusals: Mapping[str, ModelfetchError]
) -> ModelfetchError:
    """The error for files that nobody has as they are locked; of several the first is shown."""
    entry = entries[0]
    listed = {offer.endpoint.name: offer.manifest.entry(entry.path) for offer in offers}
    got = [
        f"{offer.endpoint.name}{' at the locked commit' if is_of_the_commit(offer, locked.manifest) else ''}: "
        + (_described(other) if (other := listed[offer.endpoint.name]) else "no such file")
        for offer in offers
    ]
    got += [f"{name}: {refusal.message}" for name, refusal in refusals.items()]
    facts = {"expected": _described(entry), "got": "\n".join(got), "locked commit": locked.manifest.commit}
    if seen := locked.seen.get(entry.path):
        facts["was seen at"] = ", ".join(seen)
    if len(entries) > 1:
        facts["and so are"] = ", ".join(each.path for each in entries[1:4]) + (", …" if len(entries) > 4 else "")
    return _kind(entry, offers, locked, refusals)(
        f"`{entry.path}` of `{locked.reference}` is nowhere as it is locked",
        facts=facts,
        hint=f"modelfetch pull {locked.reference} --lock FILE locks what is there now",
    )


def _kind(
    entry: Entry, offers: Sequence[Offer], locked: LockedModel, refusals: Mapping[str, ModelfetchError]
) -> type[ModelfetchError]:
    """Other bytes at the locked commit settle it; otherwise whoever could not be asked may have the right ones."""
    listed = {offer: other for offer in offers if (other := offer.manifest.entry(entry.path))}
    contradicting = [offer for offer, other in listed.items() if _contradict(entry, other)]
    if any(is_of_the_commit(offer, locked.manifest) for offer in contradicting):
        return DigestMismatchError
    if any(not isinstance(refusal, NotFoundError) for refusal in refusals.values()):
        return NoSourceError
    if contradicting:
        return DigestMismatchError
    # Listed by digests that cannot be compared with ours, or by none: perhaps the right bytes, and never proven.
    return NoSourceError if listed else NotFoundError


def _contradict(one: Entry, other: Entry) -> bool:
    return one.size != other.size or one.digests.agree(other.digests) is False


def _described(entry: Entry) -> str:
    digests = {"sha256": entry.digests.sha256, "git-sha1": entry.digests.git_sha1}
    said = [f"{kind} {digest}" for kind, digest in digests.items() if digest]
    return ", ".join((f"{entry.size} bytes", *(said or ["no digest"])))


def _notes(locked: LockedModel, offers: Sequence[Offer], sources: Sources) -> tuple[str, ...]:
    differing = {offer.endpoint.name: note for offer in offers if (note := _difference(offer, locked))}
    moved = {name: paths for name, paths in sources.contradictions.items() if name not in differing}
    return (*differing.values(), *contradiction_notes(moved))


def _difference(offer: Offer, locked: LockedModel) -> str | None:
    """What an endpoint lists otherwise than the lock at the commit that never changes."""
    if not is_of_the_commit(offer, locked.manifest):
        return None
    ours = {entry.path: entry for entry in locked.manifest.entries}
    theirs = {entry.path: entry for entry in offer.manifest.entries}
    other = [path for path in ours if path in theirs and _contradict(ours[path], theirs[path])]
    parts = {
        "lists other bytes for": other,
        "does not list": [path for path in ours if path not in theirs],
        "lists besides": [path for path in theirs if path not in ours],
    }
    said = [f"{what} {_some(paths)}" for what, paths in parts.items() if paths]
    if not said:
        return None
    return (
        f"{offer.endpoint.name} differs from the lock file at commit {locked.manifest.commit[:12]}: {'; '.join(said)}"
    )


def _some(paths: Sequence[str]) -> str:
    return paths[0] + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
