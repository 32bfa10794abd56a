"""Tries one endpoint: lists a sample, fetches a small file whole and a part of a large one.

- No token is sent, whoever the endpoint is: no credential is ever handed to a request.
- Everything is asked once. What is learned is there at once, in `trial`, so that an attempt which is cut short shows
  what it found.
- Of a large file a few megabytes are fetched, or what comes in a few seconds, and thrown away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from modelfetch.config import Endpoint, Sample
from modelfetch.errors import AccessError, ModelfetchError, NotFoundError
from modelfetch.hashing import Hasher
from modelfetch.http import Answer, Client, Network, Response, Session
from modelfetch.http.client import follow, is_page, status_fault
from modelfetch.hubs import hub
from modelfetch.hubs.base import EndpointClient
from modelfetch.manifest import Entry, Manifest
from modelfetch.mirrors.trial import SMALL_BYTES, Trial, large_entry, limits_of, small_entry
from modelfetch.planning.retry import Fault, FaultError, Kind, may_pass

# Over a long way the first megabytes come slowly, until the connection has found its speed; more than this would cost
# those who pay for their bytes.
SAMPLE_BYTES = 8 << 20
SAMPLE_S = 2.5
# Enough to tell whether a range within the sample has the sample's bytes.
_PROBE_BYTES = 4 << 10
_BUFFER_BYTES = 256 << 10
# Measuring ends early enough for its result to count.
_IN_HAND_S = 0.5


@dataclass(frozen=True)
class _Watched(EndpointClient):
    """Asks once, and lets `seen` know of every answer."""

    seen: Callable[[Answer], None]

    def ask(self, url: str) -> Answer:
        answer = self.client.get(url)
        self.seen(answer)
        if may_pass(answer.status):
            raise FaultError(status_fault(answer.status, answer.headers))
        return answer


class Attempt:
    """One trial of one endpoint. `run` blocks; another thread may call `abort`, and read `trial` at any time."""

    def __init__(self, endpoint: Endpoint, sample: Sample, network: Network, limit_s: float) -> None:
        self.trial = Trial(endpoint)
        self._sample = sample
        self._limit_s = limit_s
        self._deadline = time.monotonic() + limit_s
        # Who asks ends it first, and says more than that nothing came.
        self._client = Client(network, stall_s=2 * limit_s)
        self._session = Session(network, stall_s=2 * limit_s)
        self._hub = hub(endpoint.hub)

    def run(self) -> None:
        """Find out everything; what goes wrong is the trial's problem."""
        try:
            with self._client:
                self._run()
        except FaultError as error:
            self._learn(problem=str(error.fault))
        except ModelfetchError as error:
            self._learn(problem=error.message)
        except Exception as error:  # noqa: BLE001 - the thread's edge: the others' results are not lost with this one
            self._learn(problem=f"trying it failed: {error!r}")
        finally:
            self._session.forget()

    def abort(self) -> Trial:
        """End what `run` waits for; returns what was found out until now."""
        trial = self.trial
        self._client.abort()
        self._session.abort()
        if trial.sample_bytes:
            return trial
        missing = "answer" if trial.latency_s is None else "bytes of a file"
        return replace(trial, problem=trial.problem or f"no {missing} within {self._limit_s:g} s")

    def _run(self) -> None:
        try:
            manifest = self._list(self._sample.repo)
        except (NotFoundError, AccessError) as error:
            self._learn(note=f"{error.message}: --repo OWNER/NAME tries it with another model")
            return
        self._check_digest(manifest)
        self._check_gate()
        self._measure(manifest)

    def _learn(self, **found: Any) -> None:
        self.trial = replace(self.trial, **found)

    def _list(self, repo: str) -> Manifest:
        began = time.monotonic()

        def seen(answer: Answer) -> None:
            self._note_limits(answer.headers)
            if self.trial.latency_s is None:
                self._learn(latency_s=time.monotonic() - began)

        return self._hub.manifest(_Watched(self._client, self.trial.endpoint, None, seen), repo, None)

    def _open(self, manifest: Manifest, entry: Entry, headers: Mapping[str, str]) -> Response:
        url = self._hub.file_url(self.trial.endpoint, manifest, entry.path)
        response = follow(self._session, url, headers, None)
        self._note_limits(response.headers)
        return response

    def _note_limits(self, headers: Mapping[str, str]) -> None:
        self._learn(limits={**self.trial.limits, **limits_of(headers)})

    def _check_digest(self, manifest: Manifest) -> None:
        entry = small_entry(manifest.entries)
        if entry is None:
            return
        response = self._open(manifest, entry, {})
        try:
            _expect(response, 200)
            content = response.read(SMALL_BYTES)
        finally:
            response.close()
        hasher = Hasher(len(content), with_git_sha1=True)
        hasher.update(content)
        right = entry.digests.agree(hasher.digests()) is True
        self._learn(digest_right=right)
        if not right:
            raise FaultError(Fault(Kind.DIGEST, entry.path))

    def _check_gate(self) -> None:
        """Ask for a file of a model whose terms nobody accepted here."""
        if self._sample.gated is None:
            return
        try:
            manifest = self._list(self._sample.gated)
            entry = small_entry(manifest.entries) or large_entry(manifest.entries)
            if entry is None:
                return
            response = self._open(manifest, entry, {"Range": "bytes=0-0"})
            response.close()
        except AccessError:
            self._learn(asks_for_terms=True)
        except (FaultError, ModelfetchError):
            # Not there, or not told: whether it would ask for terms stays unknown.
            return
        else:
            if response.status in {401, 403}:
                self._learn(asks_for_terms=True)
            elif response.status in {200, 206}:
                self._learn(asks_for_terms=False)

    def _measure(self, manifest: Manifest) -> None:
        entry = large_entry(manifest.entries)
        if entry is None:
            return
        wanted = min(SAMPLE_BYTES, entry.size)
        response = self._open(manifest, entry, {"Range": f"bytes=0-{wanted - 1}"})
        try:
            self._learn(served_by=urlsplit(response.url).hostname, ranges=_is_range(response, 0, wanted, entry.size))
            began = time.monotonic()
            content = _read(response, wanted, min(began + SAMPLE_S, self._deadline - _IN_HAND_S))
            elapsed = time.monotonic() - began
        finally:
            response.close()
        self._learn(sample_bytes=len(content), bytes_per_s=len(content) / elapsed if elapsed and content else None)
        if self.trial.ranges:
            self._check_range(manifest, entry, content)

    def _check_range(self, manifest: Manifest, entry: Entry, content: bytes) -> None:
        """Ask for a part of what came: another way to the same bytes."""
        start = len(content) // 3
        stop = min(start + _PROBE_BYTES, len(content))
        if start == stop:
            return
        response = self._open(manifest, entry, {"Range": f"bytes={start}-{stop - 1}"})
        try:
            if not _is_range(response, start, stop, entry.size) or response.read(_PROBE_BYTES) != content[start:stop]:
                raise FaultError(Fault(Kind.RANGE, "other bytes than the whole has there"))
        finally:
            response.close()


def _is_range(response: Response, start: int, stop: int, size: int) -> bool:
    """Whether the range that was asked for comes; False where the whole file does.

    Raises:
        FaultError: another range comes, or nothing of the file.
    """
    if response.headers.get("content-encoding", "identity") != "identity":
        raise FaultError(Fault(Kind.ENCODED))
    if response.status == 200:
        if is_page(response.headers):
            raise FaultError(Fault(Kind.PORTAL))
        return False
    _expect(response, 206)
    said = response.headers.get("content-range", "").strip()
    if said not in {f"bytes {start}-{stop - 1}/{size}", f"bytes {start}-{stop - 1}/*"}:
        raise FaultError(Fault(Kind.RANGE, said[:60] or "no Content-Range"))
    return True


def _expect(response: Response, status: int) -> None:
    if response.status != status:
        raise FaultError(Fault(Kind.STATUS, f"from {urlsplit(response.url).hostname}", response.status))


def _read(response: Response, most: int, deadline: float) -> bytes:
    """The body's first bytes: at most so many, and those that come until the deadline."""
    content = bytearray()
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    while len(content) < most and time.monotonic() < deadline:
        count = response.readinto(buffer[: most - len(content)])
        if count == 0:
            break
        content += buffer[:count]
    return bytes(content)
