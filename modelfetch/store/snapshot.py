"""A snapshot as a value, its record as JSON, and how two records of one commit become one. Decides only.

- A present file's entry has its sha256; an entry of the listing that is not present has what the hub gave.
- Merging keeps what was present, unless the newer listing says that the bytes are others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelfetch.errors import NotFoundError, StoreError
from modelfetch.manifest import Entry, Manifest, from_json
from modelfetch.reference import Reference


@dataclass(frozen=True)
class ViewPlace:
    """Where a view of a snapshot was made: its kind (`huggingface`, `modelscope`, `folder`) and the cache or folder."""

    kind: str
    root: Path

    @property
    def name(self) -> str:
        """What `modelfetch link --to` calls it."""
        return str(self.root) if self.is_users_own else self.kind

    @property
    def is_users_own(self) -> bool:
        """Whether it is a plain folder, whose files are the user's, and no other tool's cache."""
        return self.kind == "folder"


@dataclass(frozen=True)
class Snapshot:
    """A manifest of which `paths` are here, as files in `folder`.

    `plain` is true where the bytes are in the user's own folder on another disk instead of in the store.
    `whole_listing` is false where no hub was asked: the manifest lists what was found, and the model may have more.
    `quant` is which of its GGUF files whoever asked for it means; no record keeps that.
    """

    manifest: Manifest
    paths: frozenset[str]
    folder: Path
    pulled_at: datetime
    verified_at: datetime | None = None
    smoke: Mapping[str, Any] | None = None
    views: tuple[ViewPlace, ...] = ()
    plain: bool = False
    whole_listing: bool = True
    quant: str | None = None

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries that are present, in the manifest's order."""
        return tuple(entry for entry in self.manifest.entries if entry.path in self.paths)

    @property
    def size_bytes(self) -> int:
        return sum(entry.size for entry in self.entries)

    @property
    def complete(self) -> bool:
        """Whether the whole listing is here."""
        return self.whole_listing and len(self.paths) == len(self.manifest.entries)

    @property
    def reference(self) -> Reference:
        return Reference.of(self.manifest.repo, self.manifest.hub, self.manifest.revision)

    @property
    def name(self) -> str:
        """What a person tells it apart by: the reference alone may have led to several commits."""
        return f"{self.reference} ({self.manifest.commit[:8]})"

    @property
    def model(self) -> str:
        """Its repository, and the quantisation where one is meant: what a command that asks for it is given."""
        return f"{self.manifest.repo}:{self.quant}" if self.quant else self.manifest.repo

    def file(self, path: str) -> Path:
        """Where the bytes of `path` are read.

        Raises:
            NotFoundError: this snapshot has no such file.
        """
        if path not in self.paths:
            raise NotFoundError(f"`{self.reference}` has no file `{path}` here")
        return self.folder / path


def to_record(snapshot: Snapshot) -> dict[str, Any]:
    """The document that is written beside the snapshot's folder (docs/store.md)."""
    return {
        **snapshot.manifest.to_json(),
        "paths": sorted(snapshot.paths),
        "pulled_at": format_moment(snapshot.pulled_at),
        "verified_at": format_moment(snapshot.verified_at) if snapshot.verified_at else None,
        "folder": str(snapshot.folder) if snapshot.plain else None,
        "smoke": snapshot.smoke,
        "whole_listing": snapshot.whole_listing,
        "views": [{"kind": view.kind, "root": str(view.root)} for view in snapshot.views],
    }


def from_record(document: Mapping[str, Any], *, where: Path, folder: Path) -> Snapshot:
    """Read what `to_record` wrote; `folder` is where the links are when the record names no folder.

    Raises:
        StoreError: a record of another version, or none at all.
    """
    manifest = from_json(document, where=str(where))
    try:
        paths = frozenset(document["paths"])
        listed = {entry.path: entry for entry in manifest.entries}
        if any(listed[path].digests.sha256 is None for path in paths):
            raise ValueError("a present file without its sha256")
        plain = document["folder"] is not None
        return Snapshot(
            manifest,
            paths,
            Path(document["folder"]) if plain else folder,
            parse_moment(document["pulled_at"]),
            parse_moment(document["verified_at"]) if document["verified_at"] else None,
            document["smoke"],
            tuple(ViewPlace(view["kind"], Path(view["root"])) for view in document["views"]),
            plain,
            # Older records have none: only a hub's listing was ever saved then.
            document.get("whole_listing") is not False,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"`{where}` is not a snapshot's record", facts={"got": repr(error)}) from error


def merged(older: Snapshot | None, newer: Snapshot) -> Snapshot:
    """`newer` with what `older`, of the same commit, has besides. A whole listing is kept over one that may lack files.

    What was said of `older` by `verify` holds for the whole only when nothing came to it.
    """
    if older is None:
        return newer
    if older.whole_listing and not newer.whole_listing:
        grown = add_present(older, newer.entries)
        newer = replace(newer, manifest=grown.manifest, paths=grown.paths & newer.paths, whole_listing=True)
    return replace(
        add_present(newer, older.entries),
        verified_at=older.verified_at if newer.paths <= older.paths else None,
        smoke=older.smoke,
        views=tuple(dict.fromkeys((*older.views, *newer.views))),
    )


def add_present(snapshot: Snapshot, found: Iterable[Entry]) -> Snapshot:
    """`snapshot` with those of `found` present as well that its listing does not contradict."""
    candidates = {entry.path: entry for entry in found if entry.path not in snapshot.paths}
    entries, paths = [], set(snapshot.paths)
    for entry in snapshot.manifest.entries:
        candidate = candidates.get(entry.path)
        if candidate and candidate.size == entry.size and candidate.digests.agree(entry.digests) is not False:
            entries.append(replace(entry, digests=candidate.digests))
            paths.add(entry.path)
        else:
            entries.append(entry)
    return replace(snapshot, manifest=replace(snapshot.manifest, entries=tuple(entries)), paths=frozenset(paths))


def format_moment(moment: datetime) -> str:
    """UTC in ISO 8601, as records and `--json` have it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def parse_moment(text: str) -> datetime:
    """What `format_moment` wrote."""
    return datetime.fromisoformat(text).astimezone(UTC)
