"""Which endpoints may send the bytes of which file.

- The manifest decides what the bytes are; an endpoint may send them when its own listing names the same digest and
  size.
- Where two listings share no kind of digest nothing is proven: only the manifest's own endpoint is a source.
- An endpoint whose listing contradicts the manifest is not a source for that file, and is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelfetch.manifest import Entry, Manifest


@dataclass(frozen=True)
class Sources:
    """For each path the endpoints that may send it; and who contradicts the manifest about which paths."""

    by_path: Mapping[str, tuple[str, ...]]
    contradictions: Mapping[str, tuple[str, ...]]


def sources_of(entries: Sequence[Entry], offers: Sequence[tuple[str, Manifest]]) -> Sources:
    """Match `entries`, which are the first offer's, against every offer, given as (endpoint's name, its manifest)."""
    owner = offers[0][0]
    listings = {name: {entry.path: entry for entry in manifest.entries} for name, manifest in offers}
    by_path: dict[str, tuple[str, ...]] = {}
    contradictions: dict[str, list[str]] = {}
    for entry in entries:
        sources = [owner]
        for name, listing in listings.items():
            other = listing.get(entry.path)
            if name == owner or other is None:
                continue
            agreed = entry.digests.agree(other.digests) if entry.size == other.size else False
            if agreed:
                sources.append(name)
            elif agreed is False:
                contradictions.setdefault(name, []).append(entry.path)
        by_path[entry.path] = tuple(sources)
    return Sources(by_path, {name: tuple(paths) for name, paths in contradictions.items()})
