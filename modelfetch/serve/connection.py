"""One client's connection: reads heads, sends replies, and ends when either side wants, or when the client dawdles.

- A head must arrive within HEAD_S of its first byte, the next one within IDLE_S, and a body must move within STALL_S.
- A file is sent only while it is as long as its manifest says: a damaged copy is an error, not a shorter model.
- What fails on this side is a 500 for the client, without paths or reasons, and the reason for the observer.
- What the client is told when it is refused reaches it before the connection ends.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import BinaryIO

from modelfetch.errors import ModelfetchError, StoreError
from modelfetch.serve.reply import FileSpan, Reply, json_reply, text_reply
from modelfetch.serve.request import MAX_HEAD_BYTES, RefusedRequest, Request, parse_head

# A new connection costs a client on the same network nothing, and an idle one keeps somebody else out.
IDLE_S = 15.0
HEAD_S = 15.0
STALL_S = 60.0
# How long a refused client may still talk before the connection is dropped.
_DRAIN_S = 1.0
_DRAIN_BYTES = 65536
_READ_BYTES = 4096


@dataclass(frozen=True)
class Served:
    """One request and what became of it. `bytes_sent` counts the body; `error` is a fault of this side."""

    client: str
    method: str
    target: str
    status: int
    bytes_sent: int
    duration_s: float
    error: str | None = None


Responder = Callable[[Request], Reply]
Observer = Callable[[Served], None]


class Connection:
    """Serves one socket until it ends. `observe` is called after each reply, from the connection's thread."""

    def __init__(self, sock: socket.socket, client: str, respond: Responder, observe: Observer) -> None:
        self._socket = sock
        self._client = client
        self._respond = respond
        self._observe = observe
        self._unread = bytearray()
        self._body_sent = 0

    def run(self) -> None:
        """Serve request after request. Returns when the connection is to be closed."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while (head := self._read_head()) is not None:
                if not self._serve(parse_head(head)):
                    return
        except RefusedRequest as refusal:
            self._refuse(refusal)

    def _read_head(self) -> bytes | None:
        """The next head without its empty line, or None when the client is gone or idle for too long."""
        self._socket.settimeout(IDLE_S)
        deadline = None
        while (end := self._unread.find(b"\r\n\r\n")) < 0:
            if len(self._unread) > MAX_HEAD_BYTES:
                raise RefusedRequest(431, "the request's head is too long")
            if self._unread:
                deadline = deadline or time.monotonic() + HEAD_S
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                received = self._socket.recv(_READ_BYTES)
            except TimeoutError:
                if self._unread:
                    raise RefusedRequest(408, "the request's head did not arrive") from None
                return None
            if not received:
                return None
            self._unread += received
        head = bytes(self._unread[:end])
        del self._unread[: end + 4]
        return head

    def _serve(self, request: Request) -> bool:
        """Answer; whether the connection goes on."""
        started = time.monotonic()
        file, error = None, None
        try:
            reply = self._respond(request)
            if isinstance(reply.body, FileSpan):
                file = _open_whole(reply.body)
        except Exception as failure:  # noqa: BLE001 - a thread's edge: one request fails, and the observer learns why
            reply = json_reply({"error": "this cannot be served; the server's log says why"}, status=500)
            error = failure.render() if isinstance(failure, ModelfetchError) else repr(failure)
        self._body_sent = 0
        try:
            self._send(reply, file, with_body=request.method == "GET", keep_alive=request.keep_alive)
        finally:
            if file is not None:
                file.close()
            duration_s = time.monotonic() - started
            self._report(request.method, request.target, reply.status, duration_s, error)
        return request.keep_alive

    def _send(self, reply: Reply, file: BinaryIO | None, *, with_body: bool, keep_alive: bool) -> None:
        self._socket.settimeout(STALL_S)
        head = reply.head(date=formatdate(usegmt=True), keep_alive=keep_alive)
        if isinstance(reply.body, bytes):
            body = reply.body if with_body else b""
            self._socket.sendall(head + body)
            self._body_sent = len(body)
            return
        self._socket.sendall(head)
        if file is not None and with_body and reply.length > 0:
            self._send_file(file, reply.body)

    def _send_file(self, file: BinaryIO, span: FileSpan) -> None:
        file.seek(span.start)
        try:
            # The kernel copies where it can; the timeout holds for each wait, so a slow client is not a stalled one.
            self._socket.sendfile(file, span.start, span.stop - span.start)
        finally:
            self._body_sent = file.tell() - span.start
        if self._body_sent < span.stop - span.start:
            raise ConnectionAbortedError(f"{span.path} became shorter")

    def _refuse(self, refusal: RefusedRequest) -> None:
        reply = text_reply(f"{refusal.reason}\n", status=refusal.status)
        self._send(reply, None, with_body=True, keep_alive=False)
        self._report("-", "-", refusal.status, 0.0, None)
        self._drain()

    def _drain(self) -> None:
        """Close our half and read what is still coming: a close with unread bytes would reset the reply away."""
        self._socket.shutdown(socket.SHUT_WR)
        self._socket.settimeout(_DRAIN_S)
        deadline = time.monotonic() + _DRAIN_S
        while time.monotonic() < deadline and self._socket.recv(_DRAIN_BYTES):
            pass

    def _report(self, method: str, target: str, status: int, duration_s: float, error: str | None) -> None:
        self._observe(Served(self._client, method, target, status, self._body_sent, duration_s, error))


def _open_whole(span: FileSpan) -> BinaryIO:
    """The file, open at its start.

    Raises:
        StoreError: it is gone, cannot be read, or has another length.
    """
    try:
        file = span.path.open("rb", buffering=0)
    except OSError as error:
        raise StoreError(
            f"`{span.path}` cannot be read", facts={"why": error.strerror}, hint="modelfetch verify --deep"
        ) from error
    size = os.fstat(file.fileno()).st_size
    if size != span.size:
        file.close()
        raise StoreError(
            f"`{span.path}` is damaged", facts={"expected": span.size, "got": size}, hint="modelfetch verify --repair"
        )
    return file
