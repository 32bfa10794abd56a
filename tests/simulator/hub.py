"""FakeHub: a hub in both dialects with its CDN, on loopback, for the time of a `with`.

- It speaks what the hubs' own clients expect, and shares no code with what it tests.
- It can change while it runs: contents (`replace`), faults (`set_faults`), its network (`drop_connections`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.simulator import huggingface, modelscope, wire
from tests.simulator.cdn import Cdn
from tests.simulator.contents import Commit, Content, Repo, Shelf
from tests.simulator.exchange import Answer, Question, json_answer
from tests.simulator.faults import Fault, FaultBook
from tests.simulator.faults import Origin as OriginName
from tests.simulator.log import Line, Log, Request


class FakeHub:
    """Serves `repos` (owner/name → path → bytes, or the Path of a file that holds them).

    `rate` is bytes a second for each connection; `cdn_life_requests` and `cdn_life_s` bound the life of a signed
    address; `gated` names repositories whose files want `token`; `cdn=False` makes the hub serve large files itself.
    """

    def __init__(
        self,
        repos: Mapping[str, Mapping[str, bytes | Path]],
        *,
        faults: Sequence[Fault] = (),
        lfs_threshold: int = 100_000,
        gated: frozenset[str] = frozenset(),
        token: str | None = None,
        page_size: int = 1000,
        sha256_listed: bool = True,
        cdn: bool = True,
        cdn_life_requests: int | None = None,
        cdn_life_s: float | None = None,
        rate: float | None = None,
        latency_s: float = 0.0,
    ) -> None:
        self._repos = {name: Repo(name, files) for name, files in repos.items()}
        self._shelf = Shelf(self._repos, lfs_threshold, gated, token, page_size, sha256_listed)
        self._book = FaultBook(faults)
        self._log = Log()
        self._cdn = Cdn(life_requests=cdn_life_requests, life_s=cdn_life_s)
        self._sign: Callable[[str, str, Content], str] | None = self._cdn.sign if cdn else None
        self._origins: list[wire.Origin] = []
        self._rate = rate
        self._latency_s = latency_s
        self.url = ""
        self.cdn_url = ""

    def __enter__(self) -> Self:
        hub = wire.Origin(lambda question, connection: self._answer(question, connection, "hub"))
        cdn = wire.Origin(lambda question, connection: self._answer(question, connection, "cdn"))
        self._origins = [hub, cdn]
        self.url, self.cdn_url = hub.url, cdn.url
        self._cdn.url = cdn.url
        for origin in self._origins:
            origin.rate, origin.latency_s = self._rate, self._latency_s
            origin.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for origin in self._origins:
            origin.stop()

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in the order in which they were answered."""
        return self._log.requests()

    def bytes_sent(self, file: str = "*") -> int:
        """Bytes of files sent so far, of the files that match the glob."""
        return self._log.bytes_sent(file)

    def commit(self, repo: str) -> str:
        """The id of the commit that the branch is at."""
        return self._repos[repo].head.id

    def replace(self, repo: str, files: Mapping[str, bytes | Path]) -> Commit:
        """Move the branch of `repo` to other contents, or begin a new repository."""
        if repo in self._repos:
            return self._repos[repo].replace(files)
        self._repos[repo] = Repo(repo, files)
        return self._repos[repo].head

    def set_faults(self, *faults: Fault) -> None:
        """Forget the faults that are left and take these."""
        self._book.replace(faults)

    def set_rate(self, rate: float | None) -> None:
        """Bytes a second for each connection from now on."""
        for origin in self._origins:
            origin.rate = rate

    def drop_connections(self) -> None:
        """Break every open connection."""
        for origin in self._origins:
            origin.drop_connections()

    def _answer(self, question: Question, connection: int, origin: OriginName) -> tuple[Answer, Line]:
        honest = self._cdn.answer(question) if origin == "cdn" else self._route(question)
        if question.method == "HEAD" and honest.phase == "data":
            honest = replace(honest, phase="metadata")
        answer = self._book.injure(question, honest, origin)
        return answer, self._log.open_line(question, answer, origin, connection)

    def _route(self, question: Question) -> Answer:
        return (
            modelscope.answer(question, self._shelf, self._sign)
            or huggingface.answer(question, self._shelf, self._sign)
            or json_answer({"error": "Not Found"}, status=404)
        )
