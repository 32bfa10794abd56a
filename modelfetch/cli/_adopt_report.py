"""What `modelfetch adopt` tells a person: the models as a table on stdout, and on stderr what it means for the disk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from modelfetch.adopt import AdoptedModel, Adoption, Fate, State
from modelfetch.cli._output import format_bytes, format_duration, print_table, say

if TYPE_CHECKING:
    from modelfetch.adopt import Orphan

# As many paths as a person reads before they ask for --json.
_SHOWN = 5
_DAY_S = 24 * 60 * 60


def tell(found: Adoption, *, quiet: bool) -> None:
    """Print the whole report; with `quiet` only the models and what is wrong."""
    if not quiet:
        for place in found.places:
            models = found.models_in(place)
            size = format_bytes(sum(model.size_bytes for model in models))
            what = f"{_counted(len(models), 'model')}, {size}" if place.path.exists() else "not there"
            say(f"{place.tool}: {place.path} ({place.origin}): {what}")
    if found.models:
        rows = [_row(model, dry_run=found.dry_run) for model in found.models]
        print_table(("MODEL", "COMMIT", "FILES", "SIZE", "STATE"), rows)
    for fate in found.files(State.DAMAGED):
        say(f"damaged: {fate.path}: expected {fate.expected}, got {fate.got}; not taken", style="red")
    _some("refused", [f"{refusal.path}: {refusal.why}" for refusal in found.refusals], style="yellow")
    _tell_left(found)
    if quiet:
        return
    _tell_taken(found)
    _tell_repeated(found.files(State.REPEATED))
    _tell_nameless(found.models)
    _tell_orphans(found.orphans)


def _row(model: AdoptedModel, *, dry_run: bool) -> tuple[str, ...]:
    candidate = model.candidate
    manifest = model.snapshot.manifest if model.snapshot else None
    commit = manifest.commit if manifest else candidate.commit
    hub = manifest.hub if manifest else candidate.hub
    return (
        f"{hub}:{candidate.repo}" if hub and candidate.repo else candidate.repo or candidate.label,
        commit[:12] if commit else "-",
        str(len(candidate.files)),
        format_bytes(model.size_bytes),
        _state(model, dry_run=dry_run),
    )


def _state(model: AdoptedModel, *, dry_run: bool) -> str:
    if model.candidate.repo is None:
        return "without a name"
    if dry_run:
        return "would be adopted" if model.is_new else "known"
    if model.snapshot is None:
        return "not taken"
    here, all_files = model.files_in_store, len(model.candidate.files)
    part = "" if here == all_files else f", {here} of {all_files} files"
    return ("adopted" if model.is_new else "known") + part


def _tell_taken(found: Adoption) -> None:
    linked, copied = found.files(State.LINKED), found.files(State.COPIED)
    if not linked and not copied:
        say("nothing is new here" if found.models else "there are no models here")
        return
    files = _counted(len(linked) + len(copied), "file")
    took = f"would take {files}" if found.dry_run else f"took {files} in {format_duration(found.seconds)}"
    say(
        f"{took} without a download:"
        f" {format_bytes(found.size_bytes(State.LINKED))} linked, which take no room,"
        f" and {format_bytes(found.size_bytes(State.COPIED))} copied",
        style="green",
    )


def _tell_left(found: Adoption) -> None:
    reasons = dict.fromkeys(fate.why or "" for fate in found.files(State.LEFT))
    for reason in reasons:
        left = [fate for fate in found.files(State.LEFT) if fate.why == reason]
        size = format_bytes(sum(fate.size_bytes for fate in left))
        say(f"left {_counted(len(left), 'file')}, {size}, such as {left[0].path}: {reason}", style="yellow")
    if any("file system" in reason or "another user" in reason for reason in reasons):
        say(f"  --copy takes them as copies: {format_bytes(found.size_bytes(State.LEFT))} more on the store's disk")


def _tell_repeated(repeated: tuple[Fate, ...]) -> None:
    if repeated:
        size = format_bytes(sum(fate.size_bytes for fate in repeated))
        _some(f"on the disk once more, {size} that the store has", [str(fate.path) for fate in repeated])


def _tell_nameless(models: Iterable[AdoptedModel]) -> None:
    nameless = [model.candidate for model in models if model.candidate.repo is None]
    if nameless:
        _some("nothing tells which model this is", [f"{candidate.label}: {candidate.folder}" for candidate in nameless])
        say(
            "  Its weights are in the store for a later pull of the same bytes, and `modelfetch prune` may remove them."
        )
        say("  To keep and use it under a name:")
        say(f"  modelfetch adopt '{nameless[0].folder}' --as owner/name")


def _tell_orphans(orphans: tuple[Orphan, ...]) -> None:
    if orphans:
        size = format_bytes(sum(orphan.size_bytes for orphan in orphans))
        lines = [
            f"{orphan.path} ({format_bytes(orphan.size_bytes)}, {orphan.age_s / _DAY_S:.0f} days old): {orphan.why}"
            for orphan in orphans
        ]
        _some(f"half files and orphans of other tools, {size}", lines)
        say("  `modelfetch prune --orphans` removes those that are in your tools' own caches, once they are a day old")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _some(heading: str, lines: list[str], *, style: str | None = None) -> None:
    if lines:
        say(f"{heading}:", style=style)
        for line in lines[:_SHOWN]:
            say(f"  {line}")
        if len(lines) > _SHOWN:
            say(f"  and {len(lines) - _SHOWN} more (--json has all)")
