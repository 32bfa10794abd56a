"""nginx with a configuration of our own, for the time of a `with`: sends large files, and counts what it sent."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_STARTS_WITHIN_S = 10.0
# nginx writes a request's line when the request is over, which it learns a moment after the client has gone.
_LOG_SETTLES_S = 0.2

_CONFIGURATION = """\
daemon off;
worker_processes 2;
pid nginx.pid;
events {{ worker_connections 512; }}
http {{
    log_format sent "$body_bytes_sent";
    access_log sent.log sent;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 10000;
    default_type application/octet-stream;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        location ~ ^/lfs/.*/([0-9a-f]+)$ {{ alias blobs/$1; }}
    }}
}}
"""


class Nginx:
    """A running nginx."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self._log = log

    @property
    def sent_bytes(self) -> int:
        """Bytes of files that went out since the start."""
        time.sleep(_LOG_SETTLES_S)
        return sum(map(int, self._log.read_text().split()))


@contextmanager
def running(blobs: Mapping[str, Path], folder: Path) -> Iterator[Nginx]:
    """nginx that serves `blobs` (by sha256) as the simulated content network names them."""
    (folder / "blobs").mkdir(parents=True)
    for sha256, path in blobs.items():
        (folder / "blobs" / sha256).hardlink_to(path)
    port = _free_port()
    # Workers of a master that is root are somebody else's unless told otherwise, and could not read the files.
    user = f"user {getpass.getuser()};\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(user + _CONFIGURATION.format(port=port))
    command = ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, process)
            yield Nginx(f"http://127.0.0.1:{port}", folder / "sent.log")
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("nginx does not start")
