"""Doctor asks endpoints over real sockets: hubs, captive portals, filters, silence, wrong clocks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from modelfetch.config.values import Endpoint, Settings
from modelfetch.diagnosis import Machine
from modelfetch.diagnosis.probes.endpoints import EndpointAnswer, read_endpoints
from tests.simulator.hub import FakeHub

# Far more than a loaded machine needs for one request on loopback.
AMPLE_S = 30.0


def asked(url: str, *, hub: str = "huggingface", limit_s: float = AMPLE_S) -> EndpointAnswer:
    """What doctor learns of one endpoint."""
    endpoint = Endpoint("it", hub, url, sends_token=True)
    settings = Settings(Path("a"), Path("b"), Path("c"), (endpoint,), tokens={hub: "hf_secretsecret"})
    (answer,) = read_endpoints(Machine(), settings, limit_s).answers
    return answer


@contextmanager
def answering(status: int, body: bytes, headers: Mapping[str, str]) -> Iterator[str]:
    """A server that gives everybody the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("hub", ["huggingface", "modelscope"])
def test_a_hub_answers_in_its_dialect_without_being_sent_a_token(hub: str) -> None:
    with FakeHub({"a/b": {"config.json": b"{}"}}) as fake:
        answer = asked(fake.url, hub=hub)
        requests = fake.requests
    assert answer.problem is None
    assert len(requests) == 1
    assert "authorization" not in {name.lower() for name in requests[0].headers}


@pytest.mark.parametrize(
    ("status", "body", "content_type", "problem"),
    [
        (200, b"<html>Please log in</html>", "text/html", "a captive portal or a filter"),
        (200, b"welcome", "text/plain", "a captive portal or a filter"),
        (403, b"<html>blocked</html>", "text/html; charset=utf-8", "refuses with status 403"),
        (503, b"{}", "application/json", "it answers with status 503"),
    ],
)
def test_what_is_no_hubs_answer_is_told_as_what_it_is(
    status: int, body: bytes, content_type: str, problem: str
) -> None:
    with answering(status, body, {"Content-Type": content_type}) as url:
        assert problem in (asked(url).problem or "")


@pytest.mark.parametrize("status", [401, 404, 429])
def test_a_refusal_in_the_hubs_own_words_is_an_answer(status: int) -> None:
    with answering(status, b'{"error": "no"}', {"Content-Type": "application/json"}) as url:
        assert asked(url).problem is None


def test_the_clock_is_compared_with_the_endpoints() -> None:
    with answering(404, b"{}", {"Date": "Tue, 01 Jan 2030 00:00:00 GMT"}) as url:
        skew = asked(url).skew_s
    assert skew is not None
    assert abs(skew) > 300
    with answering(404, b"{}", {"Date": "yesterday"}) as url:
        assert asked(url).skew_s is None


def test_nobody_listening_and_silence_are_problems_and_silence_costs_its_limit_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert asked(url, limit_s=0.3).problem is not None
    assert asked(url).problem is not None
