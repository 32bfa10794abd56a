"""The head of a request: what is read from it, and what is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.serve.request import MAX_HEADERS, RefusedRequest, parse_head


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, *headers]).encode("latin-1")


def test_a_request_is_read() -> None:
    request = parse_head(head("GET /a/b%20c/?x=1&y=%2F&x=2 HTTP/1.1", "Host: here:80", "X-One: a", "x-one:b "))
    assert request.method == "GET"
    assert request.segments == ("a", "b c", "")
    assert request.query == {"x": "2", "y": "/"}
    assert request.headers == {"host": "here:80", "x-one": "a, b"}
    assert request.keep_alive


def test_an_encoded_slash_stays_inside_its_segment() -> None:
    assert parse_head(head("GET /tree/refs%2Fpr%2F1 HTTP/1.1")).segments == ("tree", "refs/pr/1")


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", None, True),
        ("1.1", "close", False),
        ("1.1", "Keep-Alive, Close", False),
        ("1.0", None, False),
        ("1.0", "keep-alive", True),
    ],
)
def test_the_connection_goes_on_as_the_version_and_the_client_say(
    version: str, connection: str | None, *, kept: bool
) -> None:
    headers = [f"Connection: {connection}"] if connection else []
    assert parse_head(head(f"GET / HTTP/{version}", *headers)).keep_alive is kept


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([""], 400),
        (["GET /"], 400),
        (["GET / HTTP/2.0"], 400),
        (["GET  / HTTP/1.1"], 400),
        (["get / HTTP/1.1"], 400),
        (["GET a HTTP/1.1"], 400),
        (["GET http://elsewhere/ HTTP/1.1"], 400),
        (["GET /\x00 HTTP/1.1"], 400),
        (["GET /\xe9 HTTP/1.1"], 400),
        (["GET /%ff HTTP/1.1"], 400),
        (["GET /?a=%ff HTTP/1.1"], 400),
        (["GET /?" + "a&" * 60 + " HTTP/1.1"], 400),
        (["GET / HTTP/1.1", "Bad Name: x"], 400),
        (["GET / HTTP/1.1", "Name : x"], 400),
        (["GET / HTTP/1.1", "Name: x", " folded"], 400),
        (["GET / HTTP/1.1", "Name: a\nb"], 400),
        (["GET / HTTP/1.1", "Name:" + " \t" * 8000 + "\x01"], 400),
        (["GET / HTTP/1.1", "Host: a", "Host: b"], 400),
        (["GET / HTTP/1.1", "Range: bytes=0-1", "Range: bytes=2-3"], 400),
        (["GET / HTTP/1.1", *["a: b"] * (MAX_HEADERS + 1)], 431),
        (["POST / HTTP/1.1"], 405),
        (["GET / HTTP/1.1", "Content-Length: 5"], 413),
        (["GET / HTTP/1.1", "Content-Length: -1"], 413),
        (["GET / HTTP/1.1", "Transfer-Encoding: chunked"], 413),
    ],
)
def test_what_no_client_of_a_hub_sends_is_refused(lines: list[str], status: int) -> None:
    with pytest.raises(RefusedRequest) as refusal:
        parse_head(head(*lines))
    assert refusal.value.status == status


@given(st.binary(max_size=200) | st.text(max_size=50).map(lambda text: f"GET /{text} HTTP/1.1".encode()))
def test_whatever_arrives_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(RefusedRequest):
        assert parse_head(data).method in {"GET", "HEAD"}
