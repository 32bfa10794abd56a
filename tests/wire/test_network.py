"""Proxies from the environment, the system's trust, addresses one by one: with real sockets on loopback."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelfetch.http import Answer, Client, Network
from modelfetch.planning.retry import Action, FaultError, Kind, decide
from tests.raw_server import Server, head

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"


def get(url: str) -> Answer:
    """One answer, with proxies and trust as the environment has them now."""
    with Client(Network()) as client:
        return client.get(url)


def answer(connection: socket.socket, heard: list[bytes]) -> None:
    heard.append(head(connection))
    connection.sendall(ANSWER)


def pump(one: socket.socket, other: socket.socket) -> None:
    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    backwards = threading.Thread(target=copy, args=(other, one), daemon=True)
    backwards.start()
    copy(one, other)
    backwards.join(5)


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket, list[bytes]], None]], Server]]:
    servers: list[Server] = []

    def start(function: Callable[[socket.socket, list[bytes]], None]) -> Server:
        servers.append(Server(function))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


Start = Callable[[Callable[[socket.socket, list[bytes]], None]], Server]


def test_plain_http_goes_to_an_http_proxy_in_absolute_form(serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(answer)
    monkeypatch.setenv("HTTP_PROXY", f"http://user:pass@127.0.0.1:{proxy.port}")
    assert get("http://hub.example/api?x=1").body == b"{}"
    assert proxy.heard[0].startswith(b"GET http://hub.example/api?x=1 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz" in proxy.heard[0]
    assert b"Host: hub.example\r\n" in proxy.heard[0]


def test_no_proxy_is_honoured_and_loopback_needs_none(serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(answer)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert get(f"http://127.0.0.1:{server.port}/").body == b"{}"
    monkeypatch.setenv("NO_PROXY", "hub.example")
    assert Network().proxy_for("http://hub.example") is None
    assert Network().proxy_for("http://other.example") is not None


def test_a_proxy_that_refuses_is_a_fault_that_shows_no_password(serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(connection: socket.socket, heard: list[bytes]) -> None:
        heard.append(head(connection))
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    proxy = serve(refuse)
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:secretword@127.0.0.1:{proxy.port}")
    with pytest.raises(FaultError) as raised:
        get("https://hub.example/")
    assert raised.value.fault.kind is Kind.PROXY
    assert "407" in str(raised.value)
    assert "secretword" not in str(raised.value)


def test_a_proxy_that_answers_byte_by_byte_is_not_waited_for(serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def trickle(connection: socket.socket, _: list[bytes]) -> None:
        head(connection)
        while True:
            connection.sendall(b"H")
            time.sleep(0.02)

    monkeypatch.setattr("modelfetch.http.network.TRICKLE_S", 0.5)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{serve(trickle).port}")
    with pytest.raises(FaultError, match="no answer in time") as raised:
        get("https://hub.example/")
    assert raised.value.fault.kind is Kind.PROXY


def test_socks_proxies_are_given_the_name_to_resolve(serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def socks5(connection: socket.socket, heard: list[bytes]) -> None:
        connection.recv(1 + 1 + connection.recv(2)[1] - 2 or 1)
        connection.sendall(b"\x05\x00")
        request = connection.recv(262)
        heard.append(request)
        connection.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
        head(connection)
        connection.sendall(ANSWER)

    proxy = serve(socks5)
    monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{proxy.port}")
    assert get("http://hub.example/").body == b"{}"
    assert b"hub.example" in proxy.heard[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key for localhost and hub.example, in one file."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hub.example"]
    command += ["-addext", "subjectAltName=DNS:hub.example,DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


def tls(certificate: Path) -> Callable[[socket.socket, list[bytes]], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def secure(connection: socket.socket, heard: list[bytes]) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            answer(wrapped, heard)

    return secure


def test_a_certificate_that_nobody_trusts_is_a_fault_and_nothing_is_sent(serve: Start, certificate: Path) -> None:
    server = serve(tls(certificate))
    with pytest.raises(FaultError) as raised:
        get(f"https://localhost:{server.port}/")
    assert raised.value.fault.kind is Kind.TLS
    assert server.heard == []


def test_https_to_where_plain_http_is_spoken_is_told_as_that_and_not_tried_again(serve: Start) -> None:
    def plain(connection: socket.socket, _: list[bytes]) -> None:
        connection.recv(1000)
        connection.sendall(ANSWER)

    server = serve(plain)
    with pytest.raises(FaultError, match="no TLS; is its address http://") as raised:
        get(f"https://localhost:{server.port}/")
    assert raised.value.fault.kind is Kind.TLS
    assert decide(raised.value.fault, 1, 0.5).action is Action.GIVE_UP


def test_the_systems_trust_counts(serve: Start, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(tls(certificate))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert get(f"https://localhost:{server.port}/").body == b"{}"


def drops(certificate: Path, body: bytes, *, size: int, every_s: float) -> Callable[[socket.socket, list[bytes]], None]:
    """A server over TLS that sends the one record that holds `body` in pieces of `size` bytes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve_slowly(connection: socket.socket, _: list[bytes]) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secured = context.wrap_bio(incoming, outgoing, server_side=True)
        asked = b""
        while not asked:
            with contextlib.suppress(ssl.SSLWantReadError):
                secured.do_handshake()
                asked = secured.read()
            connection.sendall(outgoing.read())
            if not asked:
                incoming.write(connection.recv(1 << 16))
        secured.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        connection.sendall(outgoing.read())
        secured.write(body)
        while piece := outgoing.read(size):
            connection.sendall(piece)
            time.sleep(every_s)

    return serve_slowly


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what came of a record")
def test_a_record_that_takes_longer_than_nothing_is_waited_for_is_waited_for(
    serve: Start, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"x" * 16_000
    server = serve(drops(certificate, body, size=160, every_s=0.06))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Client(Network(), stall_s=2.5) as client:
        assert client.get(f"https://localhost:{server.port}/").body == body


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what came of a record")
def test_a_record_that_comes_byte_by_byte_is_given_up(
    serve: Start, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(drops(certificate, b"x" * 16_000, size=1, every_s=0.05))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Client(Network(), stall_s=1.0) as client, pytest.raises(FaultError) as raised:
        client.get(f"https://localhost:{server.port}/")
    assert raised.value.fault.kind is Kind.TRICKLE


def test_a_handshake_that_breaks_off_is_no_refusal(serve: Start) -> None:
    def break_off(connection: socket.socket, _: list[bytes]) -> None:
        connection.recv(1 << 16)

    with pytest.raises(FaultError) as raised:
        get(f"https://127.0.0.1:{serve(break_off).port}/")
    assert raised.value.fault.kind is Kind.CONNECT


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:notaport", "http://[::1", "socks5://127.0.0.1:99999"])
def test_a_proxy_that_is_no_address_is_a_fault_of_the_proxy(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(FaultError) as raised:
        get("http://hub.example/")
    assert raised.value.fault.kind is Kind.PROXY


def test_https_goes_through_an_http_proxy_as_a_tunnel(
    serve: Start, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(tls(certificate))

    def tunnel(connection: socket.socket, heard: list[bytes]) -> None:
        heard.append(head(connection))
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", server.port)) as onward:
            pump(connection, onward)

    proxy = serve(tunnel)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    assert get("https://hub.example/").body == b"{}"
    assert proxy.heard[0].startswith(b"CONNECT hub.example:443 HTTP/1.1\r\n")
    assert server.heard[0].startswith(b"GET / HTTP/1.1\r\n")


def test_an_address_that_does_not_answer_is_tried_last_from_then_on(
    serve: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answer)
    tried: list[str] = []
    real_connect = socket.socket.connect

    def look_up(host: object, port: int, **_: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", server.port)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port)),
        ]

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        tried.append(address[0])
        real_connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "connect", connect)
    network = Network()
    for _ in range(2):
        network.open(f"http://two-addresses.example:{server.port}", 5).close()
    assert tried == ["127.0.0.2", "127.0.0.1", "127.0.0.1"]
