"""Writes what was pulled into a lock file.

- The file is looked at before anything is pulled: one that is damaged, or that could not be replaced, ends it there.
- It is replaced whole or not at all, and not touched where nothing changes. Other models in it stay as they are.
- Processes that lock into one file do so one after the other, each into what it then finds. Where the system has no
  locks for that, the later one may drop what the other wrote; the file stays whole.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from modelfetch import lock
from modelfetch.config.urls import host_of
from modelfetch.diskfaults import translated
from modelfetch.errors import UsageError
from modelfetch.hubs import Offer
from modelfetch.lock import Lock, LockedModel, is_one_line
from modelfetch.manifest import Manifest
from modelfetch.planning.sources import sources_of
from modelfetch.pulling.request import Pulled, Request
from modelfetch.store.files import fsync_file, publish, write_temporary


def check_lock(path: Path) -> None:
    """Find out before a pull whether `lock_pulled` will be able to.

    Raises:
        ConfigError: the file is there and damaged.
        UsageError: it could not be written.
    """
    _current(path)
    folder = path.absolute().parent
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise UsageError(
            f"`{path}` cannot be written", facts={"why": f"`{folder}` is no folder that this user may write to"}
        )


def lock_pulled(path: Path, request: Request, pulled: Pulled) -> None:
    """Put what `request` brought into the lock file, in the place of what it says of that model.

    Raises:
        ConfigError: the file was damaged meanwhile.
        DiskFullError, StoreError: it cannot be written.
        UsageError: nobody has ever told what files the model has.
    """
    if pulled.snapshot is not None and not pulled.snapshot.whole_listing:
        raise UsageError(
            f"`{request.reference}` cannot be locked: what all its files are is not known here",
            facts={"why": "it was adopted from another tool, and no hub was asked since"},
            hint=f"modelfetch pull {request.reference} --lock {path}  # without --offline",
        )
    facts = pulled.manifest.facts
    # What a hub calls a licence may be anything; what is written must be readable again.
    licence = facts.licence if is_one_line(facts.licence) else None
    manifest = replace(pulled.manifest, revision=request.reference.revision, facts=replace(facts, licence=licence))
    paths = frozenset(file.path for file in pulled.files if file.state != "left")
    model = LockedModel(manifest, paths, pulled.seen)
    with translated(path, "written"):
        final = path.resolve()
        with _one_at_a_time(final.parent):
            current = _current(path)
            text = lock.render(current.with_model(model))
            if not final.exists() or text != lock.render(current):
                _replace(final, text)


def seen_at(manifest: Manifest, paths: frozenset[str], offers: tuple[Offer, ...]) -> Mapping[str, tuple[str, ...]]:
    """The hosts that list these very bytes, for each of `paths`. `manifest` has every digest that was computed."""
    hosts = {offer.endpoint.name: host_of(offer.endpoint.url) for offer in offers}
    entries = [entry for entry in manifest.entries if entry.path in paths]
    sources = sources_of(entries, [("", manifest), *((offer.endpoint.name, offer.manifest) for offer in offers)])
    return {path: tuple(sorted({hosts[name] for name in names if name})) for path, names in sources.by_path.items()}


def _current(path: Path) -> Lock:
    return lock.read(path) if path.exists() else Lock()


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait for whoever else is here for the same folder. Nothing is left in it: the folder itself is what is locked."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        write_temporary(text.encode("utf-8"), temporary)
        fsync_file(temporary)
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
