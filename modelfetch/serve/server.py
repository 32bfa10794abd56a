"""Listens, admits clients up to a number, gives each a thread, and ends them all when it is closed.

- Read-only, for whoever reaches the port: there is no authentication. Loopback is the default for that reason.
- Beyond `max_connections` a client waits to be let in. It is not refused: `hf` would give up at once.
- `close` returns when every connection is ended, and may be called twice.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import select
import socket
import threading
from types import TracebackType
from typing import Self

from modelfetch.errors import UsageError
from modelfetch.serve.catalogue import Catalogue, Shelf
from modelfetch.serve.connection import Connection, Observer, Served
from modelfetch.serve.responder import respond

# Sixteen clients with sixteen connections each; a thread that waits costs some tens of kilobytes.
MAX_CONNECTIONS = 256
# How long a server that has run out of places or of file descriptors waits before it looks again.
_BREATH_S = 0.2
_JOIN_S = 2.0
_BACKLOG = 128
_ANY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - compared with, never bound to by itself


def ignore(served: Served) -> None:
    """The observer of somebody who does not want to know."""


class Server:
    """Serves `catalogue` on `host` and `port` (0: any free one). Bound and listening once made.

    Raises:
        UsageError: the address cannot be listened on.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        observe: Observer = ignore,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._shelf = Shelf(catalogue)
        self._observe = observe
        self._places = threading.Semaphore(max_connections)
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._closing = threading.Event()
        # Held while clients are let in: who holds it may use the listener.
        self._accepting = threading.Lock()
        self._listener = _listen(host, port)
        self._waker, self._woken = socket.socketpair()
        self.address: str = self._listener.getsockname()[0]
        self.port: int = self._listener.getsockname()[1]

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def url(self) -> str:
        """The address to give to clients."""
        host = _own_address(self._listener.family) if self.address in _ANY_ADDRESS else self.address
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self.run_forever, name="serve", daemon=True).start()

    def run_forever(self) -> None:
        """Serve until `close` is called from elsewhere or an exception, such as Ctrl-C, ends the wait."""
        with self._accepting:
            while not self._closing.is_set():
                if self._places.acquire(timeout=_BREATH_S) and not self._admit_next():
                    self._places.release()

    def close(self) -> None:
        """End every connection and free the port."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._waker.send(b"x")
        with self._accepting:
            for end in (self._listener, self._waker, self._woken):
                end.close()
        with self._lock:
            remaining = list(self._open.values())
            for connection in self._open:
                _hang_up(connection)
        for thread in remaining:
            thread.join(_JOIN_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _admit_next(self) -> bool:
        """Wait for a client, or to be closed, and give the client a thread. False when there is none to serve."""
        select.select([self._listener, self._woken], [], [])
        try:
            connection, peer = self._listener.accept()
        except BlockingIOError:
            return False  # woken to close, or the client left before it was let in
        except OSError:
            self._closing.wait(_BREATH_S)
            return False
        client = str(peer[0])
        thread = threading.Thread(target=self._serve, args=(connection, client), name=f"serve {client}", daemon=True)
        with self._lock:
            self._open[connection] = thread
        try:
            thread.start()
        except RuntimeError:
            # A container's limit on threads: this client loses, those that are being served do not.
            self._forget(connection)
            connection.close()
            return False
        return True

    def _serve(self, connection: socket.socket, client: str) -> None:
        try:
            with connection:
                Connection(connection, client, lambda request: respond(request, self._shelf), self._observe).run()
        except OSError:
            pass  # the client went away, or fell silent
        finally:
            self._forget(connection)
            self._places.release()

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            del self._open[connection]


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        raise UsageError(f"`{host}:{port}` cannot be listened on", facts={"why": error}, hint=_hint(error)) from error
    listener.setblocking(False)
    return listener


def _hint(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in {errno.EADDRINUSE, errno.EACCES}:
        return "modelfetch serve --port 0    (takes a free port)"
    return "modelfetch serve --host 127.0.0.1    (this machine only)"


def _hang_up(connection: socket.socket) -> None:
    # It may be gone already.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _own_address(family: int) -> str:
    """The address of this machine that others most likely reach it by; no packet is sent to find out."""
    target = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))
        except OSError:
            return "localhost"
        return str(probe.getsockname()[0])
