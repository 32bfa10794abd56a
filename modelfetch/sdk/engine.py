"""Brings files through a hub's own client: into a scratch folder, then verified, then handed over.

- Exactly the jobs' files of the pinned commit, from one endpoint. What has arrived meanwhile is not fetched.
- Every digest is computed here, whatever the client checked; when one is wrong, its file is removed and nothing is
  handed over.
- A client that brings nothing for `stall_s` is killed. What counts is bytes on the disk, never a total time.
- Whatever ends it early, what was brought stays in the scratch folder, and the next run goes on from there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelfetch import events
from modelfetch.diskfaults import translated
from modelfetch.manifest import Digests, Entry
from modelfetch.sdk import failures
from modelfetch.sdk.environment import child_environment
from modelfetch.sdk.gauge import Gauge, patience_s
from modelfetch.sdk.order import Order
from modelfetch.sdk.process import Child, running
from modelfetch.sdk.scratch import Scratch
from modelfetch.transfer.hashing import RunningDigest, matches
from modelfetch.transfer.job import Job, Landing, Report

# Longer than the clients' own retries of a dead connection take: they may help themselves first.
STALL_S = 120.0
POLL_S = 0.3


def transfer(
    jobs: Sequence[Job],
    *,
    order: Order,
    landing: Landing,
    folder: Path,
    listener: events.Listener,
    stall_s: float = STALL_S,
) -> Report:
    """Bring every job's file and hand each to `landing`, verified. The scratch folder is made in `folder`.

    Raises:
        DigestMismatchError: a file's bytes are not those of the manifest; nothing was handed over.
        NotFoundError, AccessError, NoSourceError: the client failed, stood still or left something out.
        DiskFullError, StoreError: the disk refuses.
        KeyboardInterrupt: passed on, with the client killed.
    """
    scratch = Scratch(folder / order.name)
    with translated(scratch.folder, "used"), scratch.owned(order.manifest.repo, listener):
        report = _Transfer(order, landing, scratch, listener).run([job.entry for job in jobs], stall_s)
        scratch.clear()
    return report


def resumable_bytes(jobs: Sequence[Job], order: Order, folder: Path) -> int:
    """How much of the jobs' files an earlier run has left. Takes nothing and changes nothing."""
    scratch = Scratch(folder / order.name)
    return sum(scratch.present_bytes(job.entry, partly=order.sdk.goes_on) for job in jobs)


class _Transfer:
    """One run, while the scratch folder is owned."""

    def __init__(self, order: Order, landing: Landing, scratch: Scratch, listener: events.Listener) -> None:
        self._order = order
        self._landing = landing
        self._scratch = scratch
        self._listener = listener

    def run(self, entries: Sequence[Entry], stall_s: float) -> Report:
        """Bring the entries' files and hand them over."""
        # Whoever owned the folder before may have brought some of it.
        arrived = {entry.path: found for entry in entries if (found := self._landing.find(entry))}
        entries = [entry for entry in entries if entry.path not in arrived]
        self._scratch.prepare()
        kept, _ = self._verify(entries)
        resumed_bytes = self._present_bytes(entries)
        missing = [entry for entry in entries if entry.path not in kept]
        if missing:
            self._fetch(missing, patience_s(stall_s, resumed_bytes))
        brought, wrong = self._verify(missing)
        for entry in missing:
            if entry.path in wrong:
                raise failures.mismatch(entry, wrong[entry.path], self._order)
            if entry.path not in brought:
                raise failures.left_out(entry.path, self._order, self._scratch)
        hashed = kept | brought
        for entry in entries:
            whole = hashed[entry.path]
            self._landing.publish(entry, self._scratch.file(entry), whole.digests(), whole.pieces())
            self._listener(events.FileDone(entry.path, entry.size, reused=False))
        transferred_bytes = sum(entry.size for entry in entries) - resumed_bytes
        digests = arrived | {path: whole.digests() for path, whole in hashed.items()}
        return Report({self._order.endpoint.name: transferred_bytes}, {}, digests, resumed_bytes, {})

    def _verify(self, entries: Sequence[Entry]) -> tuple[dict[str, RunningDigest], dict[str, Digests]]:
        """Those files that are right, and the digests of those that are wrong. What is not right is removed."""
        hashed = self._scratch.hashed([entry for entry in entries if self._scratch.has(entry)])
        right, wrong = dict[str, RunningDigest](), dict[str, Digests]()
        for entry in entries:
            computed = hashed.get(entry.path)
            if computed and matches(entry, computed.digests()):
                right[entry.path] = computed
                continue
            # One of another size, too: the client would take it for its own finished work.
            self._scratch.file(entry).unlink(missing_ok=True)
            if computed:
                wrong[entry.path] = computed.digests()
                self._listener(events.Lost(entry.path, entry.size))
        return right, wrong

    def _present_bytes(self, entries: Sequence[Entry]) -> int:
        return sum(self._scratch.present_bytes(entry, partly=self._order.sdk.goes_on) for entry in entries)

    def _fetch(self, entries: Sequence[Entry], limit_s: float) -> None:
        """Run the client for `entries`, and end it when it stands still for longer than `limit_s`."""
        wanted = sum(entry.size for entry in entries) - self._present_bytes(entries)
        gauge = Gauge(self._scratch.size_bytes(), wanted, time.monotonic())
        environment = child_environment(os.environ, home=self._scratch.home, endpoint_url=self._order.endpoint.url)
        log = self._scratch.log
        with running(self._request(entries), environment=environment, folder=self._scratch.folder, log=log) as child:
            self._watch(child, gauge, limit_s)
            causes = failures.read_causes(child.answer(), token=self._order.token)
        if causes is None:
            raise failures.died(child.ending(), self._order, self._scratch)
        if causes:
            raise failures.failed(causes, self._order, self._scratch)
        self._progress(gauge.uncounted)

    def _watch(self, child: Child, gauge: Gauge, limit_s: float) -> None:
        while not child.has_ended(POLL_S):
            self._scratch.beat()
            now = time.monotonic()
            self._progress(gauge.observe(self._scratch.size_bytes(), now))
            if gauge.still_for(now) > limit_s:
                raise failures.stalled(limit_s, self._order, self._scratch)

    def _progress(self, advanced: int) -> None:
        if advanced:
            self._listener(events.Progress(self._order.endpoint.name, self._order.manifest.repo, advanced))

    def _request(self, entries: Sequence[Entry]) -> dict[str, Any]:
        """What the child reads from its stdin; see child.py."""
        manifest, connections = self._order.manifest, self._order.connections
        return {
            "hub": manifest.hub,
            "repo": manifest.repo,
            "commit": manifest.commit,
            "revision": manifest.revision,
            "endpoint": self._order.endpoint.url,
            "token": self._order.token,
            "folder": str(self._scratch.files),
            "files": [{"path": entry.path, "size": entry.size, "sha256": entry.digests.sha256} for entry in entries],
            "options": {"max_workers": connections} if connections else {},
        }
