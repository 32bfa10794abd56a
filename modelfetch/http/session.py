"""Requests over connections that are kept: one per origin, for one thread.

- `Session.open` sends exactly one request and follows nothing; who may see which header was decided by the caller.
- A body is read into the caller's buffer, as it arrives; it never yields more than the length that was announced, and
  its early end is a fault, not an end.
- A connection is used again only when its last body was read to the end.
- A kept connection that the server closed meanwhile, or on which something else than an answer is left of an earlier
  one, is replaced once, without a fault.
- What comes before an answer (103 Early Hints, say) is passed over; nothing that surrounds a body goes on without end.
- What comes is judged as it comes (`planning.retry`): neither a head nor a body takes for ever.
- Only so many connections are kept: a hub may redirect every file to a host of its own.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from modelfetch import __version__
from modelfetch.config.values import origin_of
from modelfetch.http.network import Network
from modelfetch.http.watching import Watched
from modelfetch.planning.retry import STALL_S, TRICKLE_S, Fault, FaultError, Kind, Patience

USER_AGENT = f"modelfetch/{__version__}"
# Reading this much to its end is cheaper than a new connection.
_WORTH_DRAINING = 64 << 10
# As long as a new connection takes; who announces a body with a redirect and sends none is not waited for.
_WORTH_WAITING_S = 0.2
# How many times longer a trickle is put up with than nothing at all.
_PATIENCE = TRICKLE_S / STALL_S
# A hub, and the few hosts that its signed links lead to.
_MOST_KEPT = 4
_MOST_INTERIM = 16
# Of these headers there may be several, which mean what one means that lists them all (RFC 9110, 5.3).
_LISTS = frozenset({"link", "ratelimit"})


class _RawAnswer(http.client.HTTPResponse):
    """The standard library's reading of an answer, which takes 103 for an answer, and reads answers of 100 and the
    lines after a chunked body for as long as they come, however slowly.
    """

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.patience = Patience(_PATIENCE * (sock.gettimeout() or STALL_S))
        self.fp = io.BufferedReader(Watched(self.fp.detach(), sock, self.patience))

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_MOST_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]  # in no stub
            if not 100 <= status < 200 or status == http.client.SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("interim answers without end")

    def _read_and_discard_trailer(self) -> None:
        http.client.parse_headers(self.fp)  # a hundred at most


class Response:
    """An answer whose body has not been read. `headers` are in lower case; `length` counts the bytes still to come."""

    def __init__(self, raw: _RawAnswer, connection: _Connection, url: str) -> None:
        raw.patience.begin_body()
        self.status = raw.status
        self.headers = _headers(raw)
        self.url = url
        self.length: int | None = raw.length
        self._chunked = bool(raw.chunked)
        self._raw = raw
        self._connection = connection
        self._broken = False

    def readinto(self, view: memoryview) -> int:
        """Read what is there, at least one byte, into `view`; 0 at the end of the body.

        Raises:
            FaultError: CUT, STALL, TRICKLE, or SHORT where the body ends before its length.
        """
        if self.length is not None:
            view = view[: self.length]
        if not view or self._raw.fp is None:
            return 0
        try:
            # One receive at most, straight into the caller's buffer. HTTPResponse.readinto would wait until it is full,
            # and forget what came before a cut.
            count = self._read_chunk(view) if self._chunked else self._raw.fp.readinto1(view)
        except FaultError:
            self._broken = True
            raise
        except TimeoutError as error:
            self._broken = True
            raise FaultError(Fault(Kind.STALL)) from error
        except (http.client.HTTPException, OSError, ValueError) as error:
            self._broken = True
            # ValueError: the file object was closed under us by `Session.abort`.
            raise FaultError(Fault(Kind.CUT, _reason(error))) from error
        if self.length is not None:
            if count == 0:
                self._broken = True
                raise FaultError(Fault(Kind.SHORT, f"{self.length} bytes missing"))
            self.length -= count
        return count

    def read(self, limit: int) -> bytes:
        """The whole body, at most `limit` bytes.

        Raises:
            FaultError: as `readinto`, and MALFORMED when the body is longer.
        """
        parts: list[bytes] = []
        buffer = memoryview(bytearray(64 << 10))
        while count := self.readinto(buffer):
            parts.append(bytes(buffer[:count]))
            limit -= count
            if limit < 0:
                raise FaultError(Fault(Kind.MALFORMED, "an endless body"))
        return b"".join(parts)

    def close(self) -> None:
        """Done with this answer. The connection stays open when little or nothing is left to read."""
        keep = not self._broken and not self._raw.will_close and self.length is not None
        if keep and self.length:
            keep = self.length <= _WORTH_DRAINING and self._drain()
        self._raw.close()
        if not keep:
            self._connection.close()

    def _read_chunk(self, view: memoryview) -> int:
        part = self._raw.read1(len(view))
        view[: len(part)] = part
        return len(part)

    def _drain(self) -> bool:
        """Read the rest, which is little; False where it does not come at once."""
        buffer, until = memoryview(bytearray(_WORTH_DRAINING)), time.monotonic() + _WORTH_WAITING_S
        try:
            with self._connection.impatient(_WORTH_WAITING_S):
                while self.readinto(buffer):
                    if time.monotonic() > until:
                        return False
        except (FaultError, OSError):
            return False
        return True


class _Connection(http.client.HTTPConnection):
    """One connection to one origin, opened by the network's rules instead of the standard library's."""

    response_class = _RawAnswer

    def __init__(self, network: Network, origin: str, timeout_s: float) -> None:
        parts = urlsplit(origin)
        super().__init__(parts.hostname or "", parts.port)
        # What http.client writes into the Host header.
        self.default_port = 443 if parts.scheme == "https" else 80
        self.port = parts.port or self.default_port
        self.used = False
        self._network = network
        self._origin = origin
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = self._network.open(self._origin, self._timeout_s)

    @contextlib.contextmanager
    def impatient(self, timeout_s: float) -> Iterator[None]:
        """Wait no longer than `timeout_s` for a single read."""
        self.sock.settimeout(timeout_s)
        yield
        self.sock.settimeout(self._timeout_s)


class Session:
    """The connections of one thread. `abort` is the one method that another thread may call."""

    def __init__(self, network: Network, *, stall_s: float = STALL_S) -> None:
        self._network = network
        self._stall_s = stall_s
        self._connections: dict[str, _Connection] = {}
        self._aborted = False

    def open(self, url: str, headers: Mapping[str, str], *, method: str = "GET") -> Response:
        """Send one request and return its answer, whatever its status.

        Raises:
            FaultError: the request could not be made, or no answer came.
        """
        origin = origin_of(url)
        target = url if self._network.is_relayed(origin) else _target(url)
        sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        if target is url:
            sent |= self._network.proxy_headers(origin)
        connection = self._connections.pop(origin, None)
        if connection is not None and connection.sock is not None and connection.used:
            self._connections[origin] = connection  # the last that is closed to make room for others
            try:
                return self._send(connection, method, url, target, sent)
            except FaultError as error:
                if error.fault.kind not in {Kind.CUT, Kind.MALFORMED} or self._aborted:
                    raise
        if len(self._connections) >= _MOST_KEPT:
            self._connections.pop(next(iter(self._connections))).close()
        self._connections[origin] = connection = _Connection(self._network, origin, self._stall_s)
        return self._send(connection, method, url, target, sent)

    def _send(
        self, connection: _Connection, method: str, url: str, target: str, headers: Mapping[str, str]
    ) -> Response:
        try:
            connection.request(method, target, headers=dict(headers))
            connection.used = True
            answer = connection.getresponse()
            assert isinstance(answer, _RawAnswer), "as response_class says"
            return Response(answer, connection, url)
        except FaultError:
            connection.close()
            raise
        except TimeoutError as error:
            connection.close()
            raise FaultError(Fault(Kind.STALL, "no answer")) from error
        except (http.client.RemoteDisconnected, OSError) as error:
            connection.close()
            raise FaultError(Fault(Kind.CUT, _reason(error))) from error
        except http.client.BadStatusLine as error:
            connection.close()
            raise FaultError(Fault(Kind.MALFORMED, "what answers there speaks no HTTP")) from error
        except (http.client.HTTPException, ValueError) as error:
            connection.close()
            raise FaultError(Fault(Kind.MALFORMED, type(error).__name__)) from error

    def forget(self) -> None:
        """Close every connection; the next request opens new ones."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._aborted = False

    def abort(self) -> None:
        """End what the session's thread waits for, now: its read or its request fails with CUT."""
        self._aborted = True
        for connection in tuple(self._connections.values()):
            sock = connection.sock
            if isinstance(sock, socket.socket):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


def _headers(raw: http.client.HTTPResponse) -> dict[str, str]:
    """The headers, by their names in lower case; of those that are no lists, the last of a name counts."""
    headers: dict[str, str] = {}
    for written, value in raw.getheaders():
        name = written.lower()
        headers[name] = f"{headers[name]}, {value}" if name in _LISTS and name in headers else value
    return headers


def _target(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
