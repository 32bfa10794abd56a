"""Tries one endpoint: lists a sample, fetches a small file whole and a part of a large one.

Of a large file a few megabytes are fetched, or what comes in a few seconds, and thrown away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from modelfetch.config import Endpoint, Sample
from modelfetch.errors import AccessError, ModelfetchError, NotFoundError
from modelfetch.hashing import Hasher
from modelfetch.http import Answer, Client, Network, Response
from modelfetch.http.client import is_page, status_fault
from modelfetch.hubs import hub
from modelfetch.hubs.base import EndpointClient
from modelfetch.manifest import Entry, Manifest
from modelfetch.mirrors.comparing import Beginning
from modelfetch.mirrors.trial import SMALL_BYTES, Trial, large_entry, small_entry
from modelfetch.mirrors.trying import Attempt
from modelfetch.planning.retry import Fault, FaultError, Kind, may_pass

# Over a long way the first megabytes come slowly, until the connection has found its speed; more than this would cost
# those who pay for their bytes.
SAMPLE_BYTES = 8 << 20
# Enough to tell whether a range within the sample has the sample's bytes.
_PROBE_BYTES = 4 << 10


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


class EndpointAttempt(Attempt[Trial]):
    """Tries an endpoint with a sample; `beginning` is what it sent of a large file, None until then."""

    def __init__(self, endpoint: Endpoint, sample: Sample, network: Network, limit_s: float) -> None:
        super().__init__(Trial(endpoint), network, limit_s)
        self._sample = sample
        self._client = Client(network, stall_s=2 * limit_s)
        self._hub = hub(endpoint.hub)
        self.beginning: Beginning | None = None

    def run(self) -> None:
        with self._client:
            super().run()

    def abort(self) -> Trial:
        trial = super().abort()
        self._client.abort()
        return trial

    def _run(self) -> None:
        try:
            manifest = self._list(self._sample.repo)
        except (NotFoundError, AccessError) as error:
            self._learn(note=f"{error.message}: --repo OWNER/NAME tries it with another model")
            return
        self._check_digest(manifest)
        self._check_gate()
        self._fetch_part(manifest)

    def _list(self, repo: str) -> Manifest:
        began = time.monotonic()

        def seen(answer: Answer) -> None:
            self._hear(answer.headers)
            if self.trial.latency_s is None:
                self._learn(latency_s=time.monotonic() - began)

        return self._hub.manifest(_Watched(self._client, self.trial.endpoint, None, seen), repo, None)

    def _open(self, manifest: Manifest, entry: Entry, headers: Mapping[str, str]) -> Response:
        url = self._hub.file_url(self.trial.endpoint, manifest, entry.path)
        return self._ask(url, headers)

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
            elif response.status in {200, 206} and not is_page(response.headers):
                self._learn(asks_for_terms=False)

    def _fetch_part(self, manifest: Manifest) -> None:
        entry = large_entry(manifest.entries)
        if entry is None:
            return
        wanted = min(SAMPLE_BYTES, entry.size)
        response = self._open(manifest, entry, {"Range": f"bytes=0-{wanted - 1}"})
        try:
            self._learn(served_by=urlsplit(response.url).hostname, ranges=_is_range(response, 0, wanted, entry.size))
            content = self._measure(response, wanted)
        finally:
            response.close()
        if entry.digests:
            trusted = self.trial.endpoint.sends_token
            self.beginning = Beginning(entry.path, entry.digests.strongest, content, trusted)
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
