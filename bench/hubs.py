"""The hubs of a row, running for the time of a `with`: the project's simulator, and nginx where raw speed matters.

- Every run meets the same faults from the beginning: `reset` before each.
- Bytes are those of files only, as all hubs of the row sent them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from bench import nginx
from bench.faults import Document, ForWhoAsks, ServedBy
from bench.model import MadeModel
from bench.values import REPO, Hub
from modelfetch.piecelist import FIELD, MEDIA_TYPE, to_bytes
from modelfetch.store.hashing import hash_file
from tests.simulator import FakeHub, Fault


class Hubs:
    """The running hubs of one row."""

    def __init__(
        self, plans: Sequence[Hub], running: Sequence[FakeHub], sender: nginx.Nginx | None, lists: Sequence[Fault]
    ) -> None:
        self._plans = plans
        self._lists = lists
        self._running = running
        self._sender = sender
        self._bytes_before = self._requests_before = 0

    @property
    def urls(self) -> list[str]:
        return [hub.url for hub in self._running]

    def reset(self) -> None:
        """Put every fault back, and count from here."""
        for hub, plan in zip(self._running, self._plans, strict=True):
            hub.set_faults(*self._faults(plan))
        self._bytes_before = self._all_bytes()
        self._requests_before = self._all_requests()

    @property
    def sent_bytes(self) -> int:
        return self._all_bytes() - self._bytes_before

    @property
    def requests(self) -> int:
        return self._all_requests() - self._requests_before

    def _faults(self, plan: Hub) -> Sequence[Fault]:
        served = (Fault(ServedBy(self._sender.url), times=None),) if plan.nginx and self._sender else ()
        return (*(self._lists if plan.knows_pieces else ()), *served, *plan.faults)

    def _all_bytes(self) -> int:
        return sum(hub.bytes_sent() for hub in self._running) + (self._sender.sent_bytes if self._sender else 0)

    def _all_requests(self) -> int:
        """Of the simulated hubs; nginx's are not told apart from those that led there."""
        return sum(len(hub.requests) for hub in self._running)


@contextmanager
def running(plans: Sequence[Hub], model: MadeModel, folder: Path, *, with_nginx: bool) -> Iterator[Hubs]:
    """Hubs that behave as planned and have `model`."""
    with ExitStack() as stack:
        sender = None
        if with_nginx and any(plan.nginx for plan in plans):
            blobs = {model.sha256[name]: path for name, path in model.files.items()}
            sender = stack.enter_context(nginx.running(blobs, folder))
        started = [
            stack.enter_context(
                FakeHub(
                    {REPO: model.files},
                    rate=plan.rate,
                    latency_s=plan.latency_s,
                    cdn_life_requests=plan.link_life_requests,
                )
            )
            for plan in plans
        ]
        for hub in started:
            _learn_digests(hub)
        lists = _lists(model) if any(plan.knows_pieces for plan in plans) else ()
        yield Hubs(plans, started, sender, lists)


def _lists(model: MadeModel) -> list[Fault]:
    """What hands out the list of every file that has one."""
    hashed = {name: hash_file(path, with_git_sha1=False) for name, path in model.files.items()}
    pieces = {name: hasher.pieces() for name, hasher in hashed.items() if hasher}
    return [
        ForWhoAsks(Document(to_bytes(known), MEDIA_TYPE), times=None, file=name, field=FIELD)
        for name, known in pieces.items()
        if known
    ]


def _learn_digests(hub: FakeHub) -> None:
    """The simulator hashes what it has when it is first asked: not while the first client waits for it."""
    with build_opener(ProxyHandler({})).open(f"{hub.url}/api/models/{REPO}?blobs=true") as answer:
        answer.read()
