"""Answers that no honest server sends, and some that only old ones do: none of them costs more than itself."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from modelfetch.http import Answer, Network, Session
from modelfetch.planning.retry import FaultError, Kind
from tests.raw_server import Server, head

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def sends(*parts: bytes, again: bytes = b"") -> Server:
    """A server whose answer to every request is these parts, and then `again` without end."""

    def serve(connection: socket.socket, heard: list[bytes]) -> None:
        while request := head(connection):
            heard.append(request)
            for part in parts:
                connection.sendall(part)
            while again:
                connection.sendall(again * 100)

    return Server(serve)


def read(session: Session, url: str) -> bytes:
    response = session.open(url, {})
    try:
        assert response.status == 200
        return response.read(1 << 20)
    finally:
        response.close()


@pytest.fixture
def session() -> Iterator[Session]:
    opened = Session(Network(), stall_s=5.0)
    yield opened
    opened.forget()


def test_what_comes_before_an_answer_is_passed_over(session: Session) -> None:
    with sends(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", OK) as server:
        assert [read(session, server.url) for _ in range(3)] == [b"{}"] * 3


@pytest.mark.parametrize(
    ("answer", "again", "kind"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", Kind.MALFORMED),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", Kind.MALFORMED),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: y\r\n", Kind.CUT),
    ],
    ids=["interim answers", "headers", "trailers"],
)
def test_what_surrounds_a_body_does_not_go_on_without_end(
    answer: bytes, again: bytes, kind: Kind, session: Session
) -> None:
    with sends(answer, again=again) as server, pytest.raises(FaultError) as raised:
        read(session, server.url)
    assert raised.value.fault.kind is kind


def trickle(*, at_once: bytes = b"", each: bytes = b"x") -> Server:
    """A server that sends `at_once`, and then `each` fifty times a second without end."""

    def serve(connection: socket.socket, _: list[bytes]) -> None:
        head(connection)
        connection.sendall(at_once)
        while True:
            connection.sendall(each)
            time.sleep(0.02)

    return Server(serve)


@pytest.mark.parametrize(
    ("at_once", "each"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED, b"0"),
    ],
    ids=["status", "headers", "one header", "body", "body without length", "chunks", "size of a chunk"],
)
def test_an_answer_that_comes_byte_by_byte_is_not_waited_for(
    at_once: bytes, each: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelfetch.http.session._PATIENCE", 0.01)
    session = Session(Network(), stall_s=60.0)
    with trickle(at_once=at_once, each=each) as server, pytest.raises(FaultError) as raised:
        read(session, server.url)
    session.forget()
    assert raised.value.fault.kind is Kind.TRICKLE


def test_a_body_that_comes_slowly_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelfetch.http.session._PATIENCE", 0.05)
    body = b"x" * 125_000

    def serve(connection: socket.socket, _: list[bytes]) -> None:
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 500):
            connection.sendall(body[start : start + 500])
            time.sleep(0.02)

    session = Session(Network(), stall_s=60.0)
    with Server(serve) as server:
        assert read(session, server.url) == body
    session.forget()


@pytest.mark.parametrize(
    "said",
    [b"\x15\x03\x01\x00\x02\x02\x46", b"{}\n", b"220 mail.example ready\r\n"],
    ids=["TLS", "a document", "mail"],
)
def test_what_speaks_no_http_is_told_as_that(said: bytes, session: Session) -> None:
    def serve(connection: socket.socket, _: list[bytes]) -> None:
        head(connection)
        connection.sendall(said)

    with Server(serve) as server, pytest.raises(FaultError, match="speaks no HTTP") as raised:
        read(session, server.url)
    assert raised.value.fault.kind is Kind.MALFORMED


def test_trailers_are_passed_over(session: Session) -> None:
    with sends(CHUNKED + b"2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n") as server:
        assert [read(session, server.url) for _ in range(2)] == [b"{}"] * 2


def test_what_came_of_a_chunk_before_a_cut_is_not_lost(session: Session) -> None:
    def serve(connection: socket.socket, _: list[bytes]) -> None:
        head(connection)
        connection.sendall(CHUNKED + b"64\r\n0123456789")

    with Server(serve) as server:
        response, count = session.open(server.url, {}), 0
        buffer = memoryview(bytearray(1 << 16))
        with contextlib.suppress(FaultError):
            while count <= 10:
                count += response.readinto(buffer)
        assert count == 10


def test_what_is_left_on_a_kept_connection_costs_a_new_one_and_nothing_else(session: Session) -> None:
    with sends(OK + b"what is this\r\n") as server:
        assert [read(session, server.url) for _ in range(3)] == [b"{}"] * 3


def test_a_body_that_was_announced_and_does_not_come_is_not_waited_for() -> None:
    session = Session(Network(), stall_s=60.0)
    with sends(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 3000\r\n\r\n") as server:
        response = session.open(server.url, {})
        began = time.monotonic()
        response.close()
        assert time.monotonic() - began < 30  # half of a stall
    session.forget()


def test_several_headers_that_are_one_list_are_read_as_one(session: Session) -> None:
    links = b'Link: </2>; rel="next"\r\nLink: </x>; rel="xet-auth"\r\n'
    with sends(OK.replace(b"Content-Length", links + b"Content-Length")) as server:
        assert session.open(server.url, {}).headers["link"] == '</2>; rel="next", </x>; rel="xet-auth"'


@pytest.mark.parametrize("body", [b"[" + b"[]," * 5_000_000 + b"[]]", b"[" + b"{}," * 5_000_000 + b"1]"])
def test_a_document_that_only_takes_up_memory_is_not_read(body: bytes) -> None:
    with pytest.raises(FaultError, match="more values"):
        Answer(200, {}, body, "http://hub.example/").json()


def test_only_a_few_connections_are_kept() -> None:
    open_now = 0

    def serve(connection: socket.socket, _: list[bytes]) -> None:
        nonlocal open_now
        open_now += 1
        with contextlib.suppress(OSError):
            while head(connection):
                connection.sendall(OK)
        open_now -= 1

    session = Session(Network())
    servers = [Server(serve) for _ in range(12)]
    try:
        for server in servers:
            read(session, server.url)
        deadline = time.monotonic() + 30
        while open_now > 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert open_now == 4
    finally:
        session.forget()
        for server in servers:
            server.close()
