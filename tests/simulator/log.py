"""What was asked and what was sent, for tests to look at while it happens."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.simulator.exchange import Answer, Phase, Question
from tests.simulator.faults import Origin


@dataclass(frozen=True)
class Request:
    """One request as it was served: `path` is the target with its query, `file` the path in the repository, if any."""

    method: str
    path: str
    headers: Mapping[str, str]
    range: str | None
    status: int
    bytes_sent: int
    origin: Origin
    connection: int
    phase: Phase
    file: str | None


class Line:
    """A line of the log while its body is still going out."""

    def __init__(self, question: Question, answer: Answer, origin: Origin, connection: int) -> None:
        self._question = question
        self._answer = answer
        self._origin = origin
        self._connection = connection
        # Counted before each send and corrected after it: who saw the last byte arrive must find it counted.
        self.bytes_sent = 0

    def freeze(self) -> Request:
        question, answer = self._question, self._answer
        return Request(
            question.method,
            question.target,
            question.headers,
            question.headers.get("range"),
            answer.status,
            self.bytes_sent,
            self._origin,
            self._connection,
            answer.phase,
            answer.file,
        )


class Log:
    """Thread-safe list of lines."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[Line] = []

    def open_line(self, question: Question, answer: Answer, origin: Origin, connection: int) -> Line:
        line = Line(question, answer, origin, connection)
        with self._lock:
            self._lines.append(line)
        return line

    def requests(self) -> list[Request]:
        with self._lock:
            return [line.freeze() for line in self._lines]

    def bytes_sent(self, file: str) -> int:
        """Bytes of files that went out, for the files that the glob `file` matches."""
        return sum(
            request.bytes_sent
            for request in self.requests()
            if request.phase == "data" and fnmatchcase(request.file or "", file)
        )
