"""A peer that knows the pieces of a file makes a wrong byte cost a piece. What it says is a hint, whatever it says."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest

from modelfetch.config import Endpoint
from modelfetch.hashing import Pieces
from modelfetch.http import Network
from modelfetch.manifest import Digests, Entry
from modelfetch.piecelist import MEDIA_TYPE, address, to_bytes
from modelfetch.planning.scheduler import PIECE
from modelfetch.pulling import Pulled
from modelfetch.pulling.repair import repair
from modelfetch.serve import Served, Server
from modelfetch.store import Store
from modelfetch.transfer import Source, asking
from modelfetch.verification import verify
from tests.catalogue import pieces_of
from tests.pulling import REPO, contents, endpoint, noise, pull, settings
from tests.simulator import FakeHub, Fault
from tests.simulator.contents import Content
from tests.simulator.exchange import Answer, Phase, Question
from tests.simulator.faults import Origin

LARGE = "weights.data"
SIZE = 12 * PIECE + 1000
FILES = {"config.json": b"{}", LARGE: noise(SIZE, seed=11)}
# The list, and what a hub had sent of an answer that was given up.
ON_ITS_WAY = 2 * PIECE


@dataclass
class LieAboutOneByte:
    """The first byte of the first answer is wrong, and from then on whenever it is sent; `once` only the first time."""

    phase: ClassVar[Phase] = "data"
    once: bool
    offset: int | None = None

    def injure(self, answer: Answer) -> Answer:
        if self.offset is None:
            self.offset = answer.start
        elif self.once or not answer.start <= self.offset < answer.stop:
            return answer
        return replace(answer, flipped=self.offset)


@dataclass(frozen=True)
class Replace:
    """Other bytes of the same size."""

    phase: ClassVar[Phase] = "data"
    content: bytes = field(repr=False)

    def injure(self, answer: Answer) -> Answer:
        return replace(answer, body=Content(self.content))


@dataclass(frozen=True)
class Says:
    """What a hub answers where it is asked for a list."""

    phase: ClassVar[Phase] = "data"
    body: bytes
    media_type: str = MEDIA_TYPE
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    stalls: bool = False
    endless: bool = False

    def injure(self, answer: Answer) -> Answer:
        said = Answer(self.status, "metadata", answer.body, self.headers).with_body(self.body, self.media_type)
        return replace(said, endless=self.endless, break_after=1 if self.stalls else None, break_by="stall")


@dataclass(frozen=True)
class OfPieces(Fault):
    """Hits whoever asks for a list, and nobody else."""

    def hits(self, question: Question, answer: Answer, origin: Origin) -> bool:
        return address("").removeprefix("?") in question.target


@dataclass
class Peer:
    """A store that is served, and what it was asked for, as far as it is told; all of it after `close`."""

    server: Server
    served: list[Served] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.server.url

    def close(self) -> None:
        self.server.close()

    @property
    def lists_asked_for(self) -> list[str]:
        return [served.method for served in self.served if "modelfetch=pieces" in served.target]

    @property
    def bytes_sent(self) -> int:
        return sum(served.bytes_sent for served in self.served if LARGE in served.target)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    home = tmp_path_factory.mktemp("peer")
    with FakeHub({REPO: FILES}) as hub:
        given = settings(home, endpoint(hub.url))
        pull(given)
    return Store.open(given.home)


@pytest.fixture
def peer(store: Store) -> Iterator[Peer]:
    served: list[Served] = []
    with Server(store, observe=served.append) as server:
        yield Peer(server, served)


def bring(tmp_path: Path, *endpoints: Endpoint) -> Pulled:
    """A pull with so few lanes that none helps another: what hubs send of an answer that is given up counts as sent."""
    pulled = pull(settings(tmp_path, *endpoints, connections=2))
    assert contents(pulled) == FILES
    return pulled


@pytest.mark.parametrize("dialect", ["huggingface", "modelscope"])
@pytest.mark.parametrize("once", [True, False], ids=["once", "for ever"])
def test_a_wrong_byte_costs_a_piece_where_a_peer_knows_the_pieces(
    once: bool, dialect: str, peer: Peer, tmp_path: Path
) -> None:
    lie = LieAboutOneByte(once)
    with FakeHub({REPO: FILES}, faults=[Fault(lie, LARGE, times=None)]) as liar:
        pulled = bring(tmp_path, endpoint(liar.url, name="liar"), endpoint(peer.url, dialect, name="peer"))
        assert lie.offset is not None
        peer.close()
        assert liar.bytes_sent(LARGE) + peer.bytes_sent <= SIZE + 2 * PIECE + ON_ITS_WAY
    assert pulled.report
    # A piece; two where both had sent part of it.
    assert pulled.report.transferred_bytes <= SIZE + 2 * PIECE
    assert pulled.report.wrong_senders == {LARGE: ("liar",)}
    assert peer.lists_asked_for == ["HEAD", "GET"]


def test_a_source_whose_every_piece_is_wrong_costs_what_it_sent(peer: Peer, tmp_path: Path) -> None:
    lies = Fault(Replace(bytes(SIZE)), LARGE, times=None)
    with FakeHub({REPO: FILES}, faults=[lies]) as liar:
        pulled = bring(tmp_path, endpoint(liar.url, name="liar"), endpoint(peer.url, name="peer"))
        assert pulled.report
        assert pulled.report.wrong_senders == {LARGE: ("liar",)}
        assert pulled.report.transferred_bytes <= SIZE + pulled.report.bytes_by_endpoint["liar"]


def test_of_a_file_that_is_right_no_list_is_asked_for(peer: Peer, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        bring(tmp_path, endpoint(hub.url), endpoint(peer.url, name="peer"))
        assert not any("modelfetch=pieces" in request.path for request in hub.requests)
    peer.close()
    assert peer.lists_asked_for == []


def list_of(content: bytes) -> Pieces:
    pieces = pieces_of(content)
    assert pieces
    return pieces


RIGHT = list_of(FILES[LARGE])
OTHER = list_of(noise(SIZE, seed=12))
# A list that ends as it must and is wrong before: of these pieces, and so of all behind them.
LYING = {
    "the first": replace(RIGHT, beginnings=(OTHER.beginnings[0], *RIGHT.beginnings[1:])),
    "one in the middle": replace(RIGHT, beginnings=(*RIGHT.beginnings[:6], bytes(32), *RIGHT.beginnings[7:])),
    "all but the last": replace(RIGHT, beginnings=(*OTHER.beginnings[:-1], RIGHT.beginnings[-1])),
}
NO_LISTS = {
    "of another file": Says(to_bytes(OTHER)),
    "torn": Says(to_bytes(RIGHT)[:-1]),
    "longer than a list": Says(to_bytes(RIGHT) + bytes(1 << 20)),
    "without end": Says(to_bytes(RIGHT), endless=True),
    "a web page": Says(b"<html>", "text/html"),
    "under another name": Says(to_bytes(RIGHT), "application/octet-stream"),
    "nothing": Says(b""),
    "an error": Says(to_bytes(RIGHT), status=500),
    "elsewhere": Says(b"", status=302, headers={"Location": "/elsewhere"}),
    "silence": Says(to_bytes(RIGHT), stalls=True),
}


def bring_past(said: Says, tmp_path: Path) -> Pulled:
    """A pull from a hub that answers so where it is asked for a list, and from one that lies about a byte."""
    lie, answer = Fault(LieAboutOneByte(once=False), LARGE, times=None), OfPieces(said, times=None)
    with FakeHub({REPO: FILES}, faults=[lie]) as liar, FakeHub({REPO: FILES}, faults=[answer]) as hub:
        return bring(tmp_path, endpoint(hub.url, name="hub"), endpoint(liar.url, name="liar"))


@pytest.mark.parametrize("said", NO_LISTS.values(), ids=NO_LISTS)
def test_what_is_no_list_of_the_file_is_as_good_as_none(
    said: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_S", 1.0)
    pulled = bring_past(said, tmp_path)
    assert pulled.report
    assert pulled.report.wrong_senders == {LARGE: ("liar",)}
    assert pulled.report.transferred_bytes <= 2 * SIZE


@pytest.mark.parametrize("lying", LYING.values(), ids=LYING)
def test_a_list_that_lies_costs_bytes_and_accuses_nobody_who_is_honest(lying: Pieces, tmp_path: Path) -> None:
    pulled = bring_past(Says(to_bytes(lying)), tmp_path)
    assert pulled.report
    # It may happen to mend what was wrong before it is dropped: then nobody knows who that was.
    assert pulled.report.wrong_senders in ({}, {LARGE: ("liar",)})
    assert pulled.report.transferred_bytes <= 2 * SIZE + 8 * PIECE


def test_who_may_start_no_thread_goes_without_a_list(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unstartable(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    entry = Entry(LARGE, SIZE, Digests(RIGHT.sha256))
    sources = [Source("peer", f"{peer.url}/{REPO}/resolve/main/{LARGE}")] * 2
    assert asking.ask_for_pieces(entry, sources, Network()) == [RIGHT]
    monkeypatch.setattr(threading, "Thread", Unstartable)
    assert asking.ask_for_pieces(entry, sources, Network()) == []


def test_of_two_lists_the_one_that_lies_is_left_for_the_other(peer: Peer, tmp_path: Path) -> None:
    lie, wrong = Fault(LieAboutOneByte(once=False), LARGE, times=None), Says(to_bytes(LYING["the first"]))
    with FakeHub({REPO: FILES}, faults=[OfPieces(wrong, times=None), lie]) as liar:
        pulled = bring(tmp_path, endpoint(liar.url, name="liar"), endpoint(peer.url, name="peer"))
    assert pulled.report
    assert pulled.report.wrong_senders in ({}, {LARGE: ("liar",)})
    assert pulled.report.transferred_bytes <= SIZE + 4 * PIECE


def test_a_source_that_is_alone_mends_with_its_own_list_what_went_wrong_on_the_way(tmp_path: Path) -> None:
    said = OfPieces(Says(to_bytes(RIGHT)), times=None)
    with FakeHub({REPO: FILES}, faults=[said, Fault(LieAboutOneByte(once=True), LARGE, times=None)]) as hub:
        bring(tmp_path, endpoint(hub.url))
        assert hub.bytes_sent(LARGE) <= SIZE + PIECE + ON_ITS_WAY


def test_a_repair_uses_the_list_of_a_peer_where_its_own_is_lost(peer: Peer, tmp_path: Path) -> None:
    given = settings(tmp_path, endpoint(peer.url, name="peer"))
    pulled = pull(given)
    assert pulled.folder
    payload = (pulled.folder / LARGE).resolve()
    (given.home / "blobs-v1" / "pieces" / payload.name[:2] / payload.name).unlink()
    damaged = bytearray(payload.read_bytes())
    damaged[9 * PIECE] ^= 1
    payload.chmod(0o644)
    payload.write_bytes(damaged)
    before = peer.bytes_sent
    report = verify(Store.open(given.home), repair=lambda snapshot, paths: repair(snapshot, paths, settings=given))
    peer.close()
    assert report.ok
    assert contents(pulled) == FILES
    assert peer.bytes_sent - before == PIECE + len(to_bytes(RIGHT))


def test_who_may_not_have_the_token_does_not_get_it_with_a_question_for_a_list(tmp_path: Path) -> None:
    lie = Fault(LieAboutOneByte(once=True), LARGE, times=None)
    with FakeHub({REPO: FILES}, faults=[lie]) as own, FakeHub({REPO: FILES}) as mirror:
        given = settings(
            tmp_path,
            endpoint(own.url, name="own", sends_token=True),
            endpoint(mirror.url, name="mirror"),
            tokens={"huggingface": "hf_secret"},
        )
        assert contents(pull(given)) == FILES
        asked = {
            hub.url: ["authorization" in each.headers for each in hub.requests if "modelfetch=pieces" in each.path]
            for hub in (own, mirror)
        }
        assert asked == {own.url: [True], mirror.url: [False]}
