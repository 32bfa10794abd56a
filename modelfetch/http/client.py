"""Asking an endpoint about something: small, bounded answers, redirects followed, faults retried.

- Redirects are followed a few times; a credential is judged anew at each step (firewall).
- A document is asked for again as `planning.retry` decides, and never for longer than that allows.
- An answer that is a web page where a document was asked for is a fault: a captive portal, a login page.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from modelfetch.http.firewall import Credential, headers_for, redirect_target
from modelfetch.http.network import Network
from modelfetch.http.session import Response, Session
from modelfetch.planning.retry import STALL_S, Action, Fault, FaultError, Kind, asked_wait, decide, may_pass

MAX_REDIRECTS = 8
# A listing of 100,000 files is about 30 MB.
MAX_DOCUMENT_BYTES = 64 << 20
# Such a listing holds about a million values. Empty lists in 60 MB of text would be 20 million, and take 1.5 GB.
MAX_VALUES = 2_000_000
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Answer:
    """A whole answer. `headers` are in lower case; `url` is where it came from after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def json(self) -> Any:
        """The document in the body.

        Raises:
            FaultError: it is a web page, or not JSON, or what only takes up memory.
        """
        if is_page(self.headers):
            raise FaultError(Fault(Kind.PORTAL))
        if sum(map(self.body.count, (b",", b"[", b"{"))) > MAX_VALUES:
            raise FaultError(Fault(Kind.MALFORMED, "more values than any listing has"))
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise FaultError(Fault(Kind.MALFORMED, "not JSON")) from error


class Client:
    """Asks for documents. One per thread, as a context manager.

    `wait` is called with what went wrong before something is tried again; it returns when the seconds are over.
    """

    def __init__(
        self,
        network: Network | None = None,
        *,
        stall_s: float = STALL_S,
        wait: Callable[[Fault, float], None] = lambda _, seconds: time.sleep(seconds),
    ) -> None:
        self._session = Session(network or Network(), stall_s=stall_s)
        self._wait = wait
        self._aborted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.forget()

    def abort(self) -> None:
        """End what another thread waits for in this client. It is not tried again."""
        self._aborted = True
        self._session.abort()

    def get(self, url: str, *, credential: Credential | None = None, limit: int = MAX_DOCUMENT_BYTES) -> Answer:
        """One try at `url`, redirects followed; an error status is an answer, too.

        Raises:
            FaultError: no whole answer came.
        """
        response = follow(self._session, url, {}, credential)
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise FaultError(Fault(Kind.ENCODED))
            return Answer(response.status, response.headers, response.read(limit), response.url)
        finally:
            response.close()

    def ask(self, url: str, *, credential: Credential | None = None) -> Answer:
        """`get`, tried again where that may help; returns a success, or a status that is the endpoint's answer (such
        as 404).

        Raises:
            FaultError: the last fault, when trying again did not help.
        """
        attempt = 1
        while not isinstance(outcome := self._try(url, credential), Answer):
            decision = decide(outcome, attempt, random.random())  # noqa: S311 - spreads waits, hides nothing
            if decision.action is not Action.AGAIN or self._aborted:
                raise FaultError(outcome)
            self._wait(outcome, decision.wait_s)
            attempt += 1
        return outcome

    def _try(self, url: str, credential: Credential | None) -> Answer | Fault:
        try:
            answer = self.get(url, credential=credential)
        except FaultError as error:
            return error.fault
        return status_fault(answer.status, answer.headers) if may_pass(answer.status) else answer


def follow(
    session: Session, url: str, headers: Mapping[str, str], credential: Credential | None, *, method: str = "GET"
) -> Response:
    """Send a request and follow its redirects.

    Raises:
        FaultError: as `Session.open`, and REDIRECT.
    """
    for _ in range(MAX_REDIRECTS):
        response = session.open(url, headers_for(url, headers, credential), method=method)
        if response.status not in REDIRECTS:
            return response
        location = response.headers.get("location")
        response.close()
        url = redirect_target(url, location)
    raise FaultError(Fault(Kind.REDIRECT, f"more than {MAX_REDIRECTS} in a row"))


def is_page(headers: Mapping[str, str]) -> bool:
    """Whether a web page comes: a captive portal's or a login, where a document or a file was asked for."""
    return "html" in headers.get("content-type", "").lower()


def status_fault(status: int, headers: Mapping[str, str], *, redirected: bool = False) -> Fault:
    """The fault that an error status is, with the wait that its headers ask for."""
    return Fault(Kind.STATUS, status=status, wait_s=asked_wait(headers, datetime.now(UTC)), redirected=redirected)
