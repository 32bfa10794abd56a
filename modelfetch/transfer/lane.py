"""A lane: one thread with its own connections, fetching one lease after another from one endpoint.

- Bytes go from the socket into the lane's buffer and from there to their place in the partial; nothing is joined or
  copied.
- What arrived before a fault is kept.
- An answer is believed only as far as it fits: status, range, total size, no encoding. What it holds is judged by its
  digest.
"""

from __future__ import annotations

import mmap
import re
import threading
import time
from collections.abc import Callable

from modelfetch.diskfaults import fault as disk_fault
from modelfetch.http.client import MAX_REDIRECTS, REDIRECTS, is_page, status_fault
from modelfetch.http.firewall import headers_for, redirect_target
from modelfetch.http.network import Network
from modelfetch.http.session import Response, Session
from modelfetch.planning.retry import Fault, FaultError, Kind
from modelfetch.planning.scheduler import PIECE, Lease
from modelfetch.transfer.active import ActiveFile
from modelfetch.transfer.board import Board
from modelfetch.transfer.hashing import digests_of, matches
from modelfetch.transfer.job import Landing, Source

BUFFER_BYTES = 1 << 20
# How long bytes may wait in the buffer: what a slow link brings should show, and should survive a kill.
FLUSH_S = 0.25
# Bounded, because Python refuses to read a number of thousands of digits.
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")


class Lane:
    """One lane of `endpoint`. `limit` tells how many the endpoint may have; the lane ends when there are more.

    It `brings` from its first byte of a file on.
    """

    def __init__(
        self, number: int, endpoint: str, *, board: Board, landing: Landing, network: Network, limit: Callable[[], int]
    ) -> None:
        self.number = number
        self.endpoint = endpoint
        self.brings = False
        self._board = board
        self._landing = landing
        self._limit = limit
        self._session = Session(network)
        self._buffer = memoryview(mmap.mmap(-1, BUFFER_BYTES))
        self.thread = threading.Thread(target=self._run, name=f"lane {number} {endpoint}", daemon=True)

    def abort(self) -> None:
        self._session.abort()

    def _run(self) -> None:
        try:
            while lease := self._board.next_lease(self, self._limit()):
                self._work(lease)
        except Exception as error:  # noqa: BLE001 - the thread's edge: the transfer ends with this error
            self._board.fail(error)
        finally:
            self._board.left(self)
            self._session.forget()

    def _work(self, lease: Lease) -> None:
        wait_s = 0.0
        try:
            file = self._board.file(lease.key)
            if file:
                self._fetch_span(lease, file)
            elif lease.key in self._board.jobs and self._board.is_needed(lease):
                self._fetch_whole(lease)
        except FaultError as error:
            # A lane that was aborted because it lost a race, or because all ends, did not fail.
            if self._board.is_needed(lease):
                wait_s = self._board.failed(lease, error.fault).wait_s
            self._session.forget()
        finally:
            self._board.release(lease)
        if self._board.is_slow(self):
            self._session.forget()
        self._sleep(wait_s)

    def _sleep(self, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        while not self._board.is_stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def _fetch_whole(self, lease: Lease) -> None:
        """A small file: one request, checked in memory, handed over."""
        job = self._board.jobs[lease.key]
        entry = job.entry
        # Pages of its own, which go back to the system at once: what is freed to the allocator stays with the thread.
        content = memoryview(mmap.mmap(-1, entry.size))
        response = self._open(lease, job.source(self.endpoint), {})
        try:
            if response.length not in {None, entry.size}:
                raise FaultError(_other_size(response, entry.size, response.length))
            position = 0
            while position < entry.size:
                count = response.readinto(content[position:])
                if count == 0:
                    raise FaultError(Fault(Kind.SHORT, f"{entry.size - position} bytes missing"))
                position += count
                self.brings = True
                self._board.pace(count)
                self._board.buffered(lease, count)
            if response.length is None and response.readinto(self._buffer[:1]):
                raise FaultError(Fault(Kind.CHANGED, "longer than listed"))
        finally:
            response.close()
        digests = digests_of(entry, content)
        if not matches(entry, digests):
            raise FaultError(Fault(Kind.DIGEST))
        self._landing.publish_bytes(entry, content, digests)
        self._board.landed(lease, digests)

    def _fetch_span(self, lease: Lease, file: ActiveFile) -> None:
        """A lease of a file that has a partial."""
        wanted = {"Range": f"bytes={lease.position}-{lease.stop - 1}"}
        response = self._open(lease, file.job.source(self.endpoint), wanted)
        try:
            is_whole = self._check_range(response, lease, file.job.entry.size)
            if is_whole:
                self._skip(response, lease.position)
            self._pump(response, lease, file, is_whole=is_whole)
        finally:
            response.close()

    def _pump(self, response: Response, lease: Lease, file: ActiveFile, *, is_whole: bool) -> None:
        while lease.remaining:
            filled = self._fill(response, self._buffer[: min(BUFFER_BYTES, lease.remaining)])
            # Somebody may have taken the lease's back half meanwhile.
            filled = min(filled, lease.remaining)
            if not filled:
                return
            if not self._board.begin_write(lease, filled):
                return
            try:
                differs = bool(file.doubted) and file.partial.differs(self._buffer[:filled], lease.position)
                file.partial.write(self._buffer[:filled], lease.position)
                go_on = self._board.written(lease, differs=differs)
            except OSError as error:
                raise disk_fault(error, file.partial.data, "written") from error
            if is_whole and not lease.remaining:
                self._board.extend(lease)
            elif not go_on:
                return

    def _fill(self, response: Response, view: memoryview) -> int:
        """Read until `view` is full or has waited long enough; what came before a fault counts."""
        filled, since = 0, time.monotonic()
        while filled < len(view) and time.monotonic() - since < FLUSH_S:
            try:
                count = response.readinto(view[filled:])
            except FaultError:
                if filled:
                    break  # the next read meets the same fault, with nothing to lose
                raise
            if count == 0:
                raise FaultError(Fault(Kind.SHORT))
            filled += count
            self.brings = True
            self._board.pace(count)
        return filled

    def _skip(self, response: Response, count: int) -> None:
        while count:
            count -= self._fill(response, self._buffer[: min(BUFFER_BYTES, count)])

    def _check_range(self, response: Response, lease: Lease, size: int) -> bool:
        """Whether the whole file comes instead of the range, in which case the lane must skip.

        Raises:
            FaultError: something else comes.
        """
        if response.status == 206:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
            if not found or int(found.group(1)) != lease.position:
                raise FaultError(Fault(Kind.RANGE, response.headers.get("content-range", "no Content-Range")[:60]))
            if found.group(3) not in {"*", str(size)}:
                raise FaultError(_other_size(response, size, int(found.group(3))))
            return False
        if response.length not in {None, size}:
            raise FaultError(_other_size(response, size, response.length))
        if lease.stop - lease.start == size and lease.position == 0:
            return False
        if not self._board.without_ranges(lease):
            raise FaultError(Fault(Kind.RANGE, "the whole file instead"))
        return True

    def _open(self, lease: Lease, source: Source, headers: dict[str, str]) -> Response:
        """Ask the source, or where it last redirected to, and follow it to an answer with a body to read."""
        url = self._board.link(lease) or source.url
        for _ in range(MAX_REDIRECTS):
            response = self._session.open(url, headers_for(url, headers, source.credential))
            if response.status not in REDIRECTS:
                break
            location = response.headers.get("location")
            response.close()
            url = redirect_target(url, location)
        else:
            raise FaultError(Fault(Kind.REDIRECT, f"more than {MAX_REDIRECTS} in a row"))
        redirected = url != source.url
        if response.status not in {200, 206}:
            response.close()
            self._board.keep_link(lease, None)
            raise FaultError(status_fault(response.status, response.headers, redirected=redirected))
        if response.headers.get("content-encoding", "identity") not in {"identity", ""}:
            response.close()
            raise FaultError(Fault(Kind.ENCODED, response.headers["content-encoding"][:40]))
        if response.length is None and is_page(response.headers) and not lease.key.endswith((".html", ".htm")):
            response.close()
            raise FaultError(Fault(Kind.PORTAL))
        if redirected and lease.stop - lease.start > PIECE // 4:
            self._board.keep_link(lease, url)
        return response


def _other_size(response: Response, expected: int, got: int | None) -> Fault:
    if is_page(response.headers):
        return Fault(Kind.PORTAL)
    return Fault(Kind.CHANGED, f"{got} bytes instead of {expected}")
