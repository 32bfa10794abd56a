"""What the commands over the store share: finding what a reference names, and saying what is there instead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelfetch.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from modelfetch.reference import Reference
    from modelfetch.store import Snapshot, Store

_PATH = re.compile(r"[./~]")


def find_model(store: Store, text: str) -> Snapshot | Path:
    """A folder by its path or a model by its name; a name that the store does not have may still be a folder's.

    Raises:
        NotFoundError: the store has none, and there is no such folder.
        UsageError: `text` is not a reference, and there is no such folder; or it is a file.
    """
    folder = Path(text).expanduser()
    if folder.is_file():
        raise UsageError(f"`{text}` is a file; a model is named by the folder that it is in", hint=str(folder.parent))
    if _PATH.match(text):
        return folder
    try:
        return lookup(store, text)
    except (NotFoundError, UsageError):
        if folder.is_dir():
            return folder
        raise


def lookup(store: Store, text: str) -> Snapshot:
    """The one snapshot that `text` names.

    Raises:
        NotFoundError: the store has none.
        UsageError: `text` is not a reference.
    """
    from modelfetch.reference import parse

    reference = parse(text)
    snapshot = store.lookup(reference)
    if snapshot is None:
        raise _not_here(store, reference)
    return snapshot


def matching(store: Store, texts: Sequence[str]) -> list[Snapshot]:
    """Every snapshot that one of `texts` names, each once; without a revision, all revisions of the repository.

    Raises:
        NotFoundError: one of them names nothing in the store.
        UsageError: one of them is not a reference.
    """
    from modelfetch.reference import parse

    found: list[Snapshot] = []
    for reference in map(parse, texts):
        snapshots = store.matching(reference)
        if not snapshots:
            raise _not_here(store, reference)
        found += [snapshot for snapshot in snapshots if snapshot not in found]
    return found


def _not_here(store: Store, reference: Reference) -> NotFoundError:
    facts: dict[str, object] = {"store": store.home}
    others = [snapshot for snapshot in store.snapshots() if snapshot.manifest.repo == reference.repo]
    if others:
        facts["there is"] = ", ".join(str(snapshot.reference) for snapshot in others)
    return NotFoundError(f"`{reference}` is not in the store", facts=facts, hint=f"modelfetch pull {reference}")
