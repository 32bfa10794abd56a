"""How `serve` treats its connections: many requests on one, bounds on all, and an end when there must be one."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import queue
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfetch.errors import StoreError, UsageError
from modelfetch.hashing import Pieces
from modelfetch.reference import Reference
from modelfetch.serve import Served, Server
from modelfetch.serve import connection as connection_module
from tests.catalogue import FolderCatalogue, FolderSnapshot, write_snapshot
from tests.plain_http import fetch

REPO = "own/name"
LARGE = hashlib.shake_256(b"weights").digest(300_000)
HF_LARGE = f"/{REPO}/resolve/main/model.safetensors"
MS_LISTING = f"/api/v1/models/{REPO}/repo/files?Revision=master&Recursive=True"


@pytest.fixture
def snapshot(tmp_path: Path) -> FolderSnapshot:
    return write_snapshot(tmp_path / "model", REPO, {"config.json": b"{}", "model.safetensors": LARGE})


@pytest.fixture
def server(snapshot: FolderSnapshot) -> Iterator[Server]:
    with Server(FolderCatalogue([snapshot])) as server:
        yield server


def connect(server: Server) -> socket.socket:
    return socket.create_connection((server.address, server.port), timeout=30)


def send_raw(server: Server, data: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    with connect(server) as client:
        client.sendall(data)
        return b"".join(iter(lambda: client.recv(65536), b""))


class TestHostileClients:
    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"\r\n\r\n", b"400"),
            (b"GET / HTTP/3.0\r\n\r\n", b"400"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", b"400"),
            (b"DELETE / HTTP/1.1\r\n\r\n", b"405"),
            (b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, b"405"),
            (b"GET / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, b"413"),
            (b"GET /" + b"a" * 100_000, b"431"),
            (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n", b"431"),
        ],
    )
    def test_a_refused_client_is_told_and_the_connection_ends(self, server: Server, data: bytes, status: bytes) -> None:
        assert send_raw(server, data).startswith(b"HTTP/1.1 " + status)
        assert fetch(f"{server.url}/").status == 200

    def test_a_head_that_dribbles_in_is_refused(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection_module, "HEAD_S", 0.2)
        with connect(server) as client:
            client.settimeout(0.05)
            answer = b""
            while not answer:
                client.send(b"G")
                with contextlib.suppress(TimeoutError):
                    answer = client.recv(100)
        assert answer.startswith(b"HTTP/1.1 408")

    def test_an_idle_connection_is_ended_in_silence(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection_module, "IDLE_S", 0.2)
        assert send_raw(server, b"") == b""
        assert send_raw(server, b"HEAD / HTTP/1.1\r\n\r\n").count(b"HTTP/1.1") == 1

    def test_a_client_that_does_not_read_is_left(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection_module, "STALL_S", 0.2)
        huge = write_snapshot(tmp_path, REPO, {"model.safetensors": bytes(32 << 20)})
        left: queue.Queue[Served] = queue.Queue()
        with Server(FolderCatalogue([huge]), observe=left.put) as server, connect(server) as client:
            client.sendall(f"GET {HF_LARGE} HTTP/1.1\r\n\r\n".encode())
            assert left.get(timeout=30).bytes_sent < 32 << 20

    def test_a_client_that_leaves_in_the_middle_harms_nobody(self, server: Server) -> None:
        for _ in range(3):
            with connect(server) as client:
                client.sendall(f"GET {HF_LARGE} HTTP/1.1\r\n\r\n".encode())
                client.recv(10)
        assert fetch(server.url + HF_LARGE).body == LARGE

    def test_beyond_the_cap_a_client_waits_to_be_let_in(self, snapshot: FolderSnapshot) -> None:
        with Server(FolderCatalogue([snapshot]), max_connections=1) as server:
            held = http.client.HTTPConnection(server.address, server.port, timeout=30)
            held.request("GET", "/")
            held.getresponse().read()
            with connect(server) as waiting:
                waiting.sendall(b"GET / HTTP/1.0\r\n\r\n")
                waiting.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    waiting.recv(1)
                held.close()
                waiting.settimeout(30)
                assert waiting.recv(15) == b"HTTP/1.1 200 OK"


class TestServer:
    def test_one_connection_serves_many_requests_and_pipelines(self, server: Server) -> None:
        request = f"GET /{REPO}/resolve/main/config.json HTTP/1.1\r\n"
        answer = send_raw(server, f"{request}\r\n{request}\r\n{request}Connection: close\r\n\r\n".encode())
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert answer.count(b"Connection: keep-alive") == 2

    def test_head_sends_no_body_and_keeps_the_connection_usable(self, server: Server) -> None:
        connection = http.client.HTTPConnection(server.address, server.port, timeout=30)
        for method, body in (("HEAD", b""), ("GET", LARGE), ("HEAD", b"")):
            connection.request(method, HF_LARGE)
            assert connection.getresponse().read() == body
        connection.close()

    def test_every_request_is_observed(self, snapshot: FolderSnapshot) -> None:
        seen: list[Served] = []
        done = threading.Semaphore(0)

        def observe(served: Served) -> None:
            seen.append(served)
            done.release()

        with Server(FolderCatalogue([snapshot]), observe=observe) as server:
            fetch(server.url + HF_LARGE, headers={"Range": "bytes=0-9"})
            fetch(server.url + HF_LARGE, method="HEAD")
            for _ in range(2):
                assert done.acquire(timeout=30)
            send_raw(server, b"nonsense\r\n\r\n")
            assert done.acquire(timeout=30)
        # Each is told from its own connection's thread, so in any order.
        assert {(served.method, served.target, served.status, served.bytes_sent) for served in seen[:2]} == {
            ("GET", HF_LARGE, 206, 10),
            ("HEAD", HF_LARGE, 200, 0),
        }
        assert seen[2].status == 400
        assert {served.client for served in seen} == {"127.0.0.1"}

    @pytest.mark.parametrize("failure", [StoreError("`the store` is locked"), RuntimeError("a bug")])
    def test_a_catalogue_that_fails_is_a_500_and_not_the_end(self, failure: Exception) -> None:
        class Broken:
            def snapshots(self) -> list[FolderSnapshot]:
                raise failure

            def lookup(self, reference: Reference) -> FolderSnapshot | None:
                raise failure

            def pieces(self, sha256: str) -> Pieces | None:
                raise failure

        seen: list[Served] = []
        with Server(Broken(), observe=seen.append) as server:
            replies = [fetch(server.url + path) for path in (HF_LARGE, "/", MS_LISTING)]
        assert [reply.status for reply in replies] == [500] * 3
        assert not any(str(failure).encode() in reply.body for reply in replies)
        assert all(str(failure) in (served.error or "") for served in seen)
        assert len(seen) == 3

    def test_a_thread_that_cannot_be_had_costs_one_client(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real_start = threading.Thread.start
        failures = [RuntimeError("can't start new thread")]

        def start(thread: threading.Thread) -> None:
            if failures:
                raise failures.pop()
            real_start(thread)

        fetch(f"{server.url}/")
        monkeypatch.setattr(threading.Thread, "start", start)
        with connect(server) as unlucky:
            assert unlucky.recv(1) == b""
        assert fetch(f"{server.url}/").status == 200

    def test_closing_ends_idle_connections_and_frees_the_port(self, snapshot: FolderSnapshot) -> None:
        server = Server(FolderCatalogue([snapshot]))
        server.start()
        with connect(server) as idle:
            fetch(f"{server.url}/")
            server.close()
            idle.settimeout(connection_module.IDLE_S / 2)
            assert idle.recv(1) == b""
        server.close()
        with Server(FolderCatalogue([snapshot]), port=server.port) as again:
            assert again.port == server.port

    def test_a_taken_port_is_a_usage_error_with_a_hint(self, server: Server) -> None:
        with pytest.raises(UsageError, match="cannot be listened on") as failure:
            Server(FolderCatalogue([]), port=server.port)
        assert "--port 0" in (failure.value.hint or "")

    @pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.example", "x" * 70])
    def test_a_host_that_is_not_this_machine_is_a_usage_error_with_a_hint(self, host: str) -> None:
        with pytest.raises(UsageError, match="cannot be listened on") as failure:
            Server(FolderCatalogue([]), host=host)
        assert "--host 127.0.0.1" in (failure.value.hint or "")

    def test_ipv6_loopback_is_served(self, snapshot: FolderSnapshot) -> None:
        if not _has_ipv6():
            pytest.skip("this machine has no IPv6 loopback")
        with Server(FolderCatalogue([snapshot]), host="::1") as server:
            assert server.is_loopback
            assert fetch(server.url + HF_LARGE).body == LARGE


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
