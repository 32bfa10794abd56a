"""Listens, admits clients up to a number, gives each a thread, and ends them all when it is closed.

- Read-only, for whoever reaches the port: there is no authentication. Loopback is the default for that reason.
- Beyond `max_connections` a client is told to come back, and the server stays answerable.
- `close` returns when every connection is ended, and may be called from any thread, twice.
"""

from __future__ import annotations

import contextlib
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
# How long closing may go unnoticed.
_POLL_S = 0.2
_JOIN_S = 2.0
_BACKLOG = 128
_COME_BACK = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
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
        self._accepting: threading.Thread | None = None
        self._listener = _listen(host, port)
        self.address: str = self._listener.getsockname()[0]
        self.port: int = self._listener.getsockname()[1]

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.address == "::1" or self.address.startswith("127.")

    @property
    def url(self) -> str:
        """The address to give to clients."""
        host = _own_address(self._listener.family) if self.address in _ANY_ADDRESS else self.address
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._accepting = threading.Thread(target=self.run_forever, name="serve", daemon=True)
        self._accepting.start()

    def run_forever(self) -> None:
        """Serve until `close` is called from elsewhere or an exception, such as Ctrl-C, ends the wait."""
        while not self._closing.is_set():
            try:
                connection, peer = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                # Out of file descriptors, or closed. Neither may spin.
                self._closing.wait(_POLL_S)
                continue
            self._admit(connection, str(peer[0]))

    def close(self) -> None:
        """End every connection and free the port."""
        self._closing.set()
        if self._accepting is not None:
            self._accepting.join()
        self._listener.close()
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

    def _admit(self, connection: socket.socket, client: str) -> None:
        if not self._places.acquire(blocking=False):
            with connection:
                connection.settimeout(_POLL_S)
                connection.send(_COME_BACK)
            return
        thread = threading.Thread(target=self._serve, args=(connection, client), name=f"serve {client}", daemon=True)
        with self._lock:
            self._open[connection] = thread
        thread.start()

    def _serve(self, connection: socket.socket, client: str) -> None:
        try:
            with connection:
                Connection(connection, client, lambda request: respond(request, self._shelf), self._observe).run()
        except OSError:
            pass  # the client went away, or fell silent
        finally:
            with self._lock:
                del self._open[connection]
            self._places.release()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"`{host}:{port}` cannot be listened on",
            facts={"why": error},
            hint="modelfetch serve --port 0    (takes a free port)",
        ) from error
    listener.settimeout(_POLL_S)
    return listener


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
