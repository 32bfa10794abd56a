"""Doctor asks package indexes, and the hub about its token, over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from modelfetch.config.values import Endpoint, Index, Settings
from modelfetch.diagnosis import Machine
from modelfetch.diagnosis.machine import Interpreter
from modelfetch.diagnosis.probes.index_answers import read_index_answers
from modelfetch.diagnosis.probes.token import TokenAnswer, TokenFacts, read_token

# Far more than a loaded machine needs for one request on loopback.
AMPLE_S = 30.0
TOKEN = "hf_secretsecret"
MS_TOKEN = "ms-0123456789abcdef"
TOKENS = {"huggingface": TOKEN, "modelscope": MS_TOKEN}
_CREDENTIALS = {"authorization", "cookie"}
PIP = "/simple/pip/"


@contextmanager
def answering(
    status: int, body: bytes = b"", **headers: str
) -> Iterator[tuple[str, list[tuple[str, str, dict[str, str]]]]]:
    """A server that answers everybody so, and what it was asked: method, path and credentials."""
    asked: list[tuple[str, str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown = {name.lower(): value for name, value in self.headers.items() if name.lower() in _CREDENTIALS}
            asked.append((self.command, self.path, shown))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

        do_HEAD = do_GET  # noqa: N815 - the base class names it so

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


def settings(url: str, *, sends_token: bool = True, indexes: tuple[Index, ...] = ()) -> Settings:
    endpoints = (Endpoint("it", "huggingface", url, sends_token=sends_token),)
    return Settings(Path("a"), Path("b"), Path("c"), endpoints, indexes, tokens=TOKENS)


def own(hub: str, url: str) -> Endpoint:
    return Endpoint(hub, hub, url, sends_token=True)


def test_indexes_are_asked_for_their_headers_alone_and_sent_no_name(tmp_path: Path) -> None:
    with answering(200) as (url, asked), answering(404) as (lacking, _), socket.create_server(("127.0.0.1", 0)) as mute:
        silent = f"http://127.0.0.1:{mute.getsockname()[1]}"
        indexes = (Index("a", "pypi", f"{lacking}/simple"), Index("b", "torch", silent), Index("c", "conda", url))
        uv = tmp_path / "bin/uv"
        uv.parent.mkdir()
        uv.touch(0o755)
        environment = {
            "HOME": str(tmp_path),
            "PATH": str(uv.parent),
            "PIP_INDEX_URL": f"{url.replace('//', '//me:hunter2@')}/simple",
        }
        facts = read_index_answers(
            Machine(root=tmp_path, environment=environment), settings(url, indexes=indexes), limit_s=3.0
        )
    told = {answer.index.url: (answer.is_set, answer.problem is None) for answer in facts.answers}
    assert told.pop("https://pypi.org/simple")[0]  # uv's own, which no test can reach
    assert told == {f"{url}/simple": (True, True), f"{lacking}/simple": (False, False), silent: (False, False)}
    assert asked == [("HEAD", PIP, {})]


def test_the_index_of_a_uv_that_is_not_there_is_nobodys(tmp_path: Path) -> None:
    with answering(200) as (url, _):
        environment = {"HOME": str(tmp_path), "PATH": "", "PIP_INDEX_URL": f"{url}/simple"}
        facts = read_index_answers(Machine(root=tmp_path, environment=environment), settings(url), limit_s=AMPLE_S)
    assert [answer.index.url for answer in facts.answers] == [f"{url}/simple"]


def test_channels_of_conda_are_asked_only_where_conda_is_used(tmp_path: Path) -> None:
    with answering(200) as (url, asked):
        chosen = settings(url, indexes=(Index("c", "conda", url),))
        variables = {"HOME": str(tmp_path), "PIP_INDEX_URL": f"{url}/simple", "UV_DEFAULT_INDEX": f"{url}/simple"}
        machine = Machine(root=tmp_path, environment=variables, interpreter=Interpreter("3.11.7", tmp_path))
        read_index_answers(machine, chosen, AMPLE_S)
        assert asked == [("HEAD", PIP, {})]
        (tmp_path / ".condarc").write_text(f"channel_alias: {url}\n")
        facts = read_index_answers(
            replace(machine, environment={**variables, "CONDA_PREFIX": "/conda"}), chosen, AMPLE_S
        )
    assert {(each.index.kind, each.is_set, each.problem) for each in facts.answers} == {
        ("pypi", True, None),
        ("conda", True, None),
    }


ASKED = {
    "huggingface": ("/api/whoami-v2", {"authorization": f"Bearer {TOKEN}"}),
    "modelscope": (
        "/openapi/v1/users/me",
        {"authorization": f"Bearer {MS_TOKEN}", "cookie": f"m_session_id={MS_TOKEN}"},
    ),
}


@pytest.mark.parametrize("hub", ASKED)
@pytest.mark.parametrize(
    ("status", "body", "is_valid"),
    [
        (200, b'{"success": true, "data": {"username": "me"}}', True),
        (200, b'{"success": false, "code": "AUTH"}', None),
        (200, b"<html>Please log in</html>", None),
        (401, b"", False),
        (429, b"{}", None),
        (500, b"", None),
    ],
)
def test_each_token_is_judged_by_its_own_hub(hub: str, status: int, body: bytes, *, is_valid: bool | None) -> None:
    with answering(status, body) as (url, asked):
        facts = read_token(Machine(), replace(settings(url), endpoints=(own(hub, url),)), AMPLE_S)
    assert facts == TokenFacts((TokenAnswer(hub, url, is_valid),))
    path, headers = ASKED[hub]
    assert [(method, path) for method, path, _ in asked] == [("GET", path)]
    assert asked[0][2] == headers


def test_a_token_is_shown_to_its_own_hub_alone() -> None:
    with answering(200, b"{}") as (one, asked_one), answering(200, b"{}") as (other, asked_other):
        endpoints = (own("huggingface", one), own("modelscope", other))
        read_token(Machine(), replace(settings(one), endpoints=endpoints), AMPLE_S)
    assert MS_TOKEN not in str(asked_one)
    assert TOKEN not in str(asked_other)
    assert asked_one
    assert asked_other


def test_a_redirect_does_not_take_the_token_along() -> None:
    with answering(200, b"{}") as (thief, seen), answering(307, b"", Location=f"{thief}/me") as (url, asked):
        read_token(Machine(), settings(url), AMPLE_S)
    assert asked
    assert TOKEN not in str(seen)


def test_a_mirror_is_not_asked_about_the_token() -> None:
    with answering(200, b"{}") as (url, asked):
        assert read_token(Machine(), settings(url, sends_token=False), AMPLE_S) == TokenFacts()
    assert asked == []


def test_a_hub_that_is_not_there_says_nothing_of_the_token() -> None:
    with answering(200) as (url, _):
        pass
    assert read_token(Machine(), settings(url), AMPLE_S) == TokenFacts((TokenAnswer("huggingface", url),))
