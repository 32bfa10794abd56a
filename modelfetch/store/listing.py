"""The summaries of all records, read from one hint where their records have not changed since.

Raises StoreError where the folder of snapshots cannot be listed.

- Every record is looked for and its stamp compared, each time: what was removed is not listed, what changed is read.
- A record that cannot be read hides no other one.
- The hint is written anew when it did not fit; a store that cannot be written to goes without, at the cost of time.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from modelfetch.errors import StoreError
from modelfetch.store.files import write_hint
from modelfetch.store.records import DamagedRecord, Records
from modelfetch.store.summary import Kept, RecordStamp, Summary, from_hint, summary_of, to_hint

HINT = "summaries.json"


@dataclass(frozen=True)
class SummaryListing:
    """Every record of the store, in short, the newest pull first."""

    summaries: tuple[Summary, ...]
    damaged: tuple[DamagedRecord, ...]


def read_summaries(records: Records) -> SummaryListing:
    """The summary of every record."""
    hint = records.root / HINT
    known = _known(hint, records.root)
    root = f"{records.root}{os.sep}"
    kept: dict[str, Kept] = {}
    damaged: list[DamagedRecord] = []
    for path in records.paths():
        key = path[len(root) :]
        try:
            kept[key] = _current(records, path, known.get(key))
        except StoreError as error:
            damaged.append(DamagedRecord(Path(path), error.render()))
        except FileNotFoundError:
            # Removed since its folder was listed.
            continue
    if kept != known:
        with suppress(OSError):
            write_hint(to_hint(kept), hint, records.temporaries)
    summaries = sorted(
        (one.summary for one in kept.values()), key=lambda one: (one.pulled_at, one.commit), reverse=True
    )
    return SummaryListing(tuple(summaries), tuple(damaged))


def _known(hint: Path, root: Path) -> dict[str, Kept]:
    try:
        return from_hint(hint.read_bytes(), root)
    except OSError:
        return {}


def _current(records: Records, path: str, known: Kept | None) -> Kept:
    """The record's summary, out of the record where `known` is of another one.

    Raises:
        FileNotFoundError: there is no such record any more.
        StoreError: it cannot be read.
    """
    # Looked at before it is read: of a record that is replaced in between, the summary will not fit.
    try:
        status = os.stat(path)  # noqa: PTH116 - once for each record of the store: a Path takes longer than the call
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"`{path}` cannot be read", facts={"why": error.strerror}) from error
    stamp = RecordStamp(status.st_size, status.st_mtime_ns, status.st_ino)
    if known is not None and known.stamp == stamp:
        return known
    return Kept(stamp, summary_of(records.read(Path(path))))
