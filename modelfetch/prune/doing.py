"""Looks at a store, plans, and carries a plan out in the order of docs/store.md. `planning` says what goes.

- What goes was shown, and still goes when everything is looked at once more.
- A partial is taken over as another pull would take it over, and only then emptied.
- A blob is moved aside, the records and the running pulls are read again, and it is moved back if one needs it by now.
- Killed at any moment the store is consistent, and the next prune goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from modelfetch.diskfaults import is_no_room, translated
from modelfetch.prune.looking import look
from modelfetch.prune.open_files import open_files
from modelfetch.prune.orphans import OrphanFile, as_leftovers
from modelfetch.prune.picture import Kind, Leftover
from modelfetch.prune.planning import KEPT_FOR_S, Plan, Wishes, make_plan
from modelfetch.store import Store
from modelfetch.store.files import file_system_now, remove
from modelfetch.store.removal import Item
from modelfetch.store.removing import remove_blobs
from modelfetch.transfer import needs
from modelfetch.transfer.owner import Claim, Identity, OneLook, claim

_OWNED = frozenset({Kind.PARTIAL, Kind.SCRATCH, Kind.PULL})


def look_and_plan(
    store: Store, wishes: Wishes, *, orphans: Sequence[OrphanFile] = (), now: float | None = None
) -> Plan:
    """What pruning the store would do. `orphans` of other tools are among it; `now` is in seconds since the epoch.

    Raises:
        StoreError: a folder of the store cannot be listed.
    """
    moment = _now(store) if now is None else now
    with translated(store.home, "looked through"):
        users = open_files() if orphans or wishes.chooses_models else {}
        return make_plan(look(store, moment, as_leftovers(orphans, users), users), wishes)


def carry_out(
    store: Store, shown: Plan, wishes: Wishes, *, orphans: Sequence[OrphanFile] = (), now: float | None = None
) -> Plan:
    """Remove what `shown` names and a plan of this moment still does; that plan, with what became of it.

    Raises:
        StoreError: something cannot be removed.
    """
    moment = _now(store) if now is None else now
    store.put_back()
    plan = look_and_plan(store, wishes, orphans=orphans, now=moment)
    shown_paths = {item.path for item in shown.goes}
    failed: dict[str, str] = {}
    for leftover in plan.leftovers:
        if leftover.path in shown_paths and not _remove_leftover(leftover, moment):
            failed[str(leftover.path)] = "somebody works on it by now"

    def in_use() -> Mapping[str, str]:
        return needs.needed(store.partials, moment)

    snapshots = [snapshot for snapshot in plan.snapshots if snapshot.folder in shown_paths]
    removal = store.remove(*snapshots, dry_run=False, in_use=in_use)
    unnamed = [sha256 for sha256 in plan.blobs if (blob := store.blob(sha256)) in shown_paths and os.path.lexists(blob)]
    kept = remove_blobs(store, unnamed, in_use=in_use)
    failed |= {str(item.path): item.why for item in removal.stays if item.what == "blob"}
    failed |= {str(store.blob(sha256)): why for sha256, why in kept.items()}
    return _as_it_became(plan, shown, failed)


def _as_it_became(plan: Plan, shown: Plan, failed: Mapping[str, str]) -> Plan:
    """The plan, without what was not shown before and what could not go after all."""
    seen = {(item.path, item.model) for item in shown.goes}
    goes: list[Item] = []
    left: list[Item] = []
    for item in plan.goes:
        if (item.path, item.model) not in seen:
            left.append(replace(item, why="it was not among what was shown"))
        elif why := failed.get(str(item.path)):
            left.append(replace(item, why=why))
        else:
            goes.append(item)
    left_bytes = sum(item.size_bytes for item in left if item.what != Kind.ORPHAN)
    return replace(plan, goes=tuple(goes), stays=(*plan.stays, *left), bytes_after=plan.bytes_after + left_bytes)


def _remove_leftover(leftover: Leftover, now: float) -> bool:
    """Remove it; False when somebody has begun to work on it."""
    with translated(leftover.path, "removed"):
        if leftover.kind not in _OWNED:
            remove(leftover.path)
            return True
        watch = OneLook(now, KEPT_FOR_S[leftover.kind])
        owner = _claim_without_room(leftover.path, watch)
        if not isinstance(owner, Claim):
            return False
        for path in leftover.path.iterdir():
            if not path.name.startswith("owner."):
                remove(path)
        owner.release()
        with suppress(OSError):
            leftover.path.rmdir()  # not empty when another process claimed it meanwhile
    return True


def _claim_without_room(folder: Path, watch: OneLook) -> Claim | Identity:
    """`claim`, also on a disk that is so full that the line which says who owns a partial does not fit.

    Nobody who lives owned it a moment ago, or the claim would have said so; and nobody else has room to begin.
    """
    try:
        return claim(folder, watch)
    except OSError as error:
        if not is_no_room(error):
            raise
    (folder / "data").unlink(missing_ok=True)
    return claim(folder, watch)


def _now(store: Store) -> float:
    try:
        return file_system_now(store.home)
    except OSError:
        return time.time()
