"""The second origin that large files are redirected to: signed addresses, which may live for a few requests only."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from urllib.parse import quote

from tests.simulator.contents import Content
from tests.simulator.exchange import Answer, Question, file_answer

_EXPIRED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>'


@dataclass
class _Ticket:
    file: str
    content: Content
    issued_at: float
    uses_left: int | None


class Cdn:
    """Issues signed addresses and serves what they name. Thread-safe."""

    def __init__(self, *, life_requests: int | None, life_s: float | None) -> None:
        self.life_requests = life_requests
        self.life_s = life_s
        self.url = ""
        self._lock = threading.Lock()
        self._tickets: dict[str, _Ticket] = {}

    def sign(self, repo: str, file: str, content: Content) -> str:
        """A fresh address for `content`."""
        signature = secrets.token_hex(16)
        with self._lock:
            self._tickets[signature] = _Ticket(file, content, time.monotonic(), self.life_requests)
        name = quote(f"{repo}/{content.sha256}")
        return f"{self.url}/lfs/{name}?X-Amz-Expires=3600&X-Amz-Signature={signature}"

    def answer(self, question: Question) -> Answer:
        with self._lock:
            ticket = self._tickets.get(question.query.get("X-Amz-Signature", ""))
            alive = ticket is not None and self._use(ticket)
        if ticket is None or not alive or not question.path.endswith(ticket.content.sha256):
            refused = Answer(403, "data", Content(b""), file=ticket.file if ticket else None)
            return refused.with_body(_EXPIRED, "application/xml")
        return file_answer(question, ticket.file, ticket.content, ticket.content.sha256)

    def _use(self, ticket: _Ticket) -> bool:
        if self.life_s is not None and time.monotonic() - ticket.issued_at > self.life_s:
            return False
        if ticket.uses_left is None:
            return True
        ticket.uses_left -= 1
        return ticket.uses_left >= 0
