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
from modelfetch.diagnosis.probes.token import TokenFacts, read_token

# Far more than a loaded machine needs for one request on loopback.
AMPLE_S = 30.0
TOKEN = "hf_secretsecret"
PIP = "/simple/pip/"


@contextmanager
def answering(status: int) -> Iterator[tuple[str, list[tuple[str, str, str | None]]]]:
    """A server that answers everybody so, and what it was asked: method, path and token."""
    asked: list[tuple[str, str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.command, self.path, self.headers["Authorization"]))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

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
    return Settings(Path("a"), Path("b"), Path("c"), endpoints, indexes, tokens={"huggingface": TOKEN})


def test_indexes_are_asked_for_their_headers_alone_and_sent_no_name(tmp_path: Path) -> None:
    with answering(200) as (url, asked), answering(404) as (lacking, _), socket.create_server(("127.0.0.1", 0)) as mute:
        silent = f"http://127.0.0.1:{mute.getsockname()[1]}"
        indexes = (Index("a", "pypi", f"{lacking}/simple"), Index("b", "torch", silent), Index("c", "conda", url))
        environment = {"HOME": str(tmp_path), "PIP_INDEX_URL": f"{url.replace('//', '//me:hunter2@')}/simple"}
        facts = read_index_answers(
            Machine(root=tmp_path, environment=environment), settings(url, indexes=indexes), limit_s=3.0
        )
    told = {answer.index.url: (answer.is_set, answer.problem is None) for answer in facts.answers}
    assert told.pop("https://pypi.org/simple")[0]  # uv's own, which no test can reach
    assert told == {f"{url}/simple": (True, True), f"{lacking}/simple": (False, False), silent: (False, False)}
    assert asked == [("HEAD", PIP, None)]


def test_channels_of_conda_are_asked_only_where_conda_is_used(tmp_path: Path) -> None:
    with answering(200) as (url, asked):
        chosen = settings(url, indexes=(Index("c", "conda", url),))
        variables = {"HOME": str(tmp_path), "PIP_INDEX_URL": f"{url}/simple", "UV_DEFAULT_INDEX": f"{url}/simple"}
        machine = Machine(root=tmp_path, environment=variables, interpreter=Interpreter("3.11.7", tmp_path))
        read_index_answers(machine, chosen, AMPLE_S)
        assert asked == [("HEAD", PIP, None)]
        (tmp_path / ".condarc").write_text(f"channel_alias: {url}\n")
        facts = read_index_answers(
            replace(machine, environment={**variables, "CONDA_PREFIX": "/conda"}), chosen, AMPLE_S
        )
    assert {(each.index.kind, each.is_set, each.problem) for each in facts.answers} == {
        ("pypi", True, None),
        ("conda", True, None),
    }


@pytest.mark.parametrize(("status", "is_valid"), [(200, True), (401, False), (429, None), (500, None)])
def test_the_token_is_judged_by_its_own_hub(status: int, is_valid: bool | None) -> None:
    with answering(status) as (url, asked):
        assert read_token(Machine(), settings(url), AMPLE_S) == TokenFacts(url, is_valid)
    assert asked == [("GET", "/api/whoami-v2", f"Bearer {TOKEN}")]


def test_a_mirror_is_not_asked_about_the_token() -> None:
    with answering(200) as (url, asked):
        assert read_token(Machine(), settings(url, sends_token=False), AMPLE_S) == TokenFacts()
    assert asked == []


def test_a_hub_that_is_not_there_says_nothing_of_the_token() -> None:
    with answering(200) as (url, _):
        pass
    assert read_token(Machine(), settings(url), AMPLE_S) == TokenFacts(url)
