"""`verify --repair` fetches what is damaged, from any source that has the digest; by piece, where pieces are known."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch.adopt import adopt, place_at
from modelfetch.cli import run
from modelfetch.config import Settings, load
from modelfetch.errors import NoSourceError
from modelfetch.events import Lost
from modelfetch.planning.scheduler import PIECE
from modelfetch.pulling import Pulled
from modelfetch.pulling.repair import repair
from modelfetch.reference import parse
from modelfetch.store import Snapshot, Store
from modelfetch.store.hashing import hash_file
from modelfetch.verification import Problem, VerifyReport, verify
from tests.other_tools import write_all
from tests.pulling import MIB, REPO, Heard, contents, endpoint, noise, pull, settings
from tests.simulator import Cut, FakeHub, Fault, Flip, Status

FILES = {"config.json": b'{"a": 1}', "weights.data": noise(6 * PIECE + MIB, seed=8)}
LARGE = "weights.data"
SIZE = len(FILES[LARGE])


def flip(*offsets: int) -> Callable[[bytearray], None]:
    """Bits that rot."""

    def damage(content: bytearray) -> None:
        for offset in offsets:
            content[offset] ^= 1

    return damage


def cut(size: int) -> Callable[[bytearray], None]:
    def damage(content: bytearray) -> None:
        del content[size:]

    return damage


def damage_file(path: Path, *damages: Callable[[bytearray], None], keep_time: bool = True) -> None:
    """Change a payload behind everybody's back, in place: every name of it shows the damage."""
    real = path.resolve()
    status, content = real.stat(), bytearray(real.read_bytes())
    for damage in damages:
        damage(content)
    real.chmod(0o644)
    with real.open("r+b") as stream:
        stream.write(content)
        stream.truncate()
    if keep_time:
        os.utime(real, ns=(status.st_atime_ns, status.st_mtime_ns))


def payload(pulled: Pulled) -> Path:
    assert pulled.folder
    return (pulled.folder / LARGE).resolve()


def mend(given: Settings) -> VerifyReport:
    return verify(Store.open(given.home), repair=lambda snapshot, paths: repair(snapshot, paths, settings=given))


def pieces_of(given: Settings, sha256: str) -> Path:
    return given.home / "blobs-v1" / "pieces" / sha256[:2] / sha256


DAMAGE: dict[str, tuple[list[Callable[[bytearray], None]], int]] = {
    "one byte": ([flip(5 * MIB)], PIECE),
    "the first byte": ([flip(0)], PIECE),
    "the last byte": ([flip(SIZE - 1)], MIB),
    "a byte on either side of a border": ([flip(PIECE - 1, PIECE)], 3 * PIECE),
    "three pieces": ([flip(PIECE + 1, 5 * PIECE, SIZE - 1)], 2 * PIECE + MIB),
    "nothing but the first piece is right": ([flip(*range(PIECE, SIZE, PIECE))], 5 * PIECE + MIB),
    "it is cut": ([cut(2 * PIECE + 1000)], SIZE - 2 * PIECE - 1000),
    "it is cut at a border": ([cut(4 * PIECE)], SIZE - 4 * PIECE),
    "it is longer": ([lambda content: content.extend(b"more")], 0),
}


@pytest.mark.parametrize("linked", [True, False], ids=["another cache has a link", "no other link"])
@pytest.mark.parametrize(("damages", "fetched"), DAMAGE.values(), ids=DAMAGE.keys())
def test_only_pieces_that_are_wrong_are_fetched_when(
    damages: list[Callable[[bytearray], None]], fetched: int, linked: bool, tmp_path: Path
) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pulled = pull(given, link=linked)
        damage_file(payload(pulled), *damages)
        sent = hub.bytes_sent()
        report = mend(given)
        assert report.ok, report
        assert contents(pulled) == FILES
        assert hub.bytes_sent() - sent == fetched
        assert not list((given.home / "partial-v1").iterdir())
        assert not list((given.home / "blobs-v1" / "damaged").iterdir())


def test_what_is_missing_and_what_is_wrong_is_fetched_at_once(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pulled = pull(given)
        damage_file(payload(pulled), flip(PIECE), cut(5 * PIECE))
        sent = hub.bytes_sent()
        assert mend(given).ok
        assert contents(pulled) == FILES
        # What a lane had asked for when it had to begin anew may have been on its way.
        assert hub.bytes_sent() - sent <= SIZE - 4 * PIECE + 4 * PIECE


@pytest.mark.parametrize("hub_name", ["huggingface", "modelscope"])
def test_a_finding_says_in_which_bytes_a_file_was_damaged(hub_name: str, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url, hub_name))
        damage_file(payload(pull(given)), flip(2 * PIECE + 7, 5 * PIECE))
    (finding,) = verify(Store.open(given.home)).findings
    assert finding.problem is Problem.CHANGED
    assert finding.where == "first in bytes 8388608-12582911"


def test_another_hub_that_has_the_digest_mends_it_too(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as first:
        pulled = pull(settings(tmp_path, endpoint(first.url)))
    damage_file(payload(pulled), flip(5 * MIB))
    with FakeHub({REPO: FILES}) as second:
        assert mend(settings(tmp_path, endpoint(second.url, "modelscope"))).ok
        assert second.bytes_sent() == PIECE
    assert contents(pulled) == FILES


def test_a_file_with_a_name_in_another_cache_is_not_written_to(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pulled = pull(given, link=False)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.hardlink_to(payload(pulled))
        damage_file(elsewhere, flip(5 * MIB))
        damaged = elsewhere.read_bytes()
        assert mend(given).ok
    assert elsewhere.read_bytes() == damaged
    assert contents(pulled) == FILES


def test_pieces_that_came_stay_when_the_repair_ends_in_the_middle(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pulled = pull(given)
        damage_file(payload(pulled), flip(PIECE, 5 * PIECE))
        # A flip elsewhere lets the first answer through.
        hub.set_faults(Fault(Flip(0), LARGE), Fault(Status(503, body=b""), LARGE, times=None))
        sent = hub.bytes_sent()
        report = mend(given)
        assert not report.ok
        assert [error.exit_status for error in report.repair_errors] == [NoSourceError.exit_status]
        assert not payload(pulled).exists()
        assert [finding.problem for finding in verify(Store.open(given.home)).findings] == [Problem.MISSING]
        hub.set_faults()
        assert mend(given).ok
        assert contents(pulled) == FILES
        assert hub.bytes_sent() - sent == 2 * PIECE


def test_a_pull_goes_on_with_what_a_repair_left(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pulled = pull(given)
        damage_file(payload(pulled), flip(5 * PIECE))
    assert not mend(given).ok
    with FakeHub({REPO: FILES}) as hub:
        assert contents(pull(settings(tmp_path, endpoint(hub.url)))) == FILES
        assert hub.bytes_sent() == PIECE


def test_a_pull_that_meets_a_damaged_file_keeps_what_is_right_of_it(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        damage_file(payload(pull(given)), flip(5 * PIECE), keep_time=False)
        sent = hub.bytes_sent()
        assert contents(pull(given)) == FILES
        assert hub.bytes_sent() - sent == PIECE


def test_an_old_partial_that_has_less_is_not_gone_on_with(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, faults=[Fault(Cut(MIB), LARGE), Fault(Status(503), LARGE, times=None)]) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        with pytest.raises(NoSourceError):
            pull(given)
        assert list((given.home / "partial-v1").iterdir())
        hub.set_faults()
        # Somebody else brings it on another way.
        (tmp_path / "copy").write_bytes(FILES[LARGE])
        hashed = hash_file(tmp_path / "copy")
        assert hashed is not None
        Store.open(given.home).publish(tmp_path / "copy", hashed.digests(), hashed.pieces())
        pulled = pull(given)
        assert list((given.home / "partial-v1").iterdir()), "nobody needed it"
        damage_file(payload(pulled), flip(5 * MIB))
        sent = hub.bytes_sent()
        assert mend(given).ok
        assert contents(pulled) == FILES
        assert hub.bytes_sent() - sent == PIECE


def test_without_the_list_pieces_are_compared_until_the_wrong_one_is_found(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url), connections=1)
        pulled = pull(given)
        pieces_of(given, payload(pulled).name).unlink()
        damage_file(payload(pulled), flip(5 * MIB))
        sent = hub.bytes_sent()
        assert mend(given).ok
        assert contents(pulled) == FILES
        assert hub.bytes_sent() - sent < SIZE


def test_a_list_that_is_wrong_costs_bytes_and_nothing_else(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pulled = pull(given)
        hint = pieces_of(given, payload(pulled).name)
        content = bytearray(hint.read_bytes())
        header_end = content.index(b"\n") + 1
        content[header_end] ^= 1
        # It fits its own check, as if it had been made of other bytes.
        digests = bytes(content[header_end:])
        hint.write_bytes(b"%s %08x\n%s" % (content[: header_end - 10], zlib.crc32(digests), digests))
        damage_file(payload(pulled), flip(5 * PIECE))
        assert mend(given).ok
        assert contents(pulled) == FILES


@pytest.mark.parametrize("liar", ["huggingface", "modelscope"])
def test_a_source_that_lies_during_the_repair_is_replaced_for_that_piece_only(liar: str, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as first, FakeHub({REPO: FILES}) as second:
        given = settings(
            tmp_path, endpoint(first.url, name="huggingface"), endpoint(second.url, "modelscope", name="modelscope")
        )
        pulled = pull(given)
        damage_file(payload(pulled), flip(2 * PIECE + 5))
        lying = first if liar == "huggingface" else second
        lying.set_faults(Fault(Flip(2 * PIECE + 9), LARGE, times=None))
        sent = first.bytes_sent() + second.bytes_sent()
        assert mend(given).ok
        assert contents(pulled) == FILES
        assert first.bytes_sent() + second.bytes_sent() - sent <= 4 * PIECE


def test_a_source_that_lies_about_a_piece_for_ever_mends_nothing(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pulled = pull(given)
        damage_file(payload(pulled), flip(2 * PIECE + 5))
        hub.set_faults(Fault(Flip(2 * PIECE + 9), LARGE, times=None))
        report = mend(given)
        assert not report.ok
        assert not payload(pulled).exists()
        hub.set_faults()
        assert mend(given).ok
        assert contents(pulled) == FILES


def test_a_sector_that_cannot_be_read_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = 3 * PIECE + 100
    written: list[range] = []
    real_preadv, real_pwrite = os.preadv, os.pwrite

    def preadv(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        is_bad = offset <= bad < offset + len(buffers[0])
        if is_bad and not any(bad in span for span in written):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real_preadv(descriptor, buffers, offset)

    def pwrite(descriptor: int, view: memoryview, offset: int) -> int:
        written.append(range(offset, offset + len(view)))
        return real_pwrite(descriptor, view, offset)

    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pulled = pull(given, link=False)
        damage_file(payload(pulled), flip(PIECE))
        monkeypatch.setattr(os, "preadv", preadv)
        monkeypatch.setattr(os, "pwrite", pwrite)
        sent = hub.bytes_sent()
        assert mend(given).ok
        monkeypatch.undo()
        assert contents(pulled) == FILES
        assert hub.bytes_sent() - sent == SIZE - 2 * PIECE, "the wrong piece, and all from the sector's piece on"


def test_what_is_fetched_again_is_told(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pulled = pull(given)
        assert pulled.snapshot
        damage_file(payload(pulled), flip(5 * MIB))
        heard = Heard()
        Store.open(given.home).blobs.set_damaged_aside(payload(pulled).name)
        repair(pulled.snapshot, frozenset({LARGE}), settings=given, listener=heard)
        assert [(fault.endpoint, fault.path) for fault in heard.faults] == [("an earlier run", LARGE)]
        assert [event.size for event in heard.events if isinstance(event, Lost)] == [PIECE]


def test_bytes_that_nobody_has_any_more_are_an_error_and_other_bytes_are_not_taken(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url, "modelscope"))
        pulled = pull(given)
        assert pulled.snapshot
        hub.replace(REPO, {**FILES, LARGE: noise(SIZE, seed=9)})
        with pytest.raises(NoSourceError, match="any more"):
            repair(pulled.snapshot, frozenset({LARGE}), settings=given)


@pytest.fixture
def own(tmp_path: Path, own_environment: Path) -> Snapshot:
    """A damaged model with a name of the user's own, in the store that commands use."""
    write_all(tmp_path / "mine", FILES)
    store = Store.open(load().home)
    adopt(store, [place_at(tmp_path / "mine")], name=parse("me/mine"), copy=True)
    snapshot = store.lookup(parse("local:me/mine"))
    assert snapshot
    damage_file(snapshot.file("config.json"), flip(2))
    return snapshot


def test_no_hub_is_asked_for_a_name_of_the_users_own(
    own: Snapshot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeHub({"me/mine": FILES}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
        damaged = own.file("config.json").read_bytes()
        assert run(["verify", "--repair", "--deep"]) == 8
        said = capsys.readouterr().err
        assert "`local:me/mine` has a name of your own, and no hub is asked for it" in said
        assert "modelfetch adopt PATH --as me/mine" in said
        assert hub.requests == []
        assert own.file("config.json").read_bytes() == damaged


def test_what_comes_for_another_model_mends_it_too(own: Snapshot) -> None:
    with FakeHub({REPO: FILES}) as hub:
        shared = replace(load(), endpoints=(endpoint(hub.url),))
        # Size and time of the damaged file fit, so that the pull takes it for right.
        pull(shared, link=False)
        report = mend(shared)
    assert {(finding.repo, finding.repaired) for finding in report.findings} == {("me/mine", True), (REPO, True)}
    assert report.repair_errors == ()
    assert own.file("config.json").read_bytes() == FILES["config.json"]


def test_who_is_named_for_it_is_asked_and_nobody_else(own: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeHub({"me/mine": FILES}) as hub, FakeHub({"me/mine": FILES}) as named:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
        assert run(["verify", "--repair", "--deep", "--endpoint", named.url]) == 0
        assert own.file("config.json").read_bytes() == FILES["config.json"]
        assert hub.requests == []


@pytest.mark.parametrize("options", [["--endpoint", "huggingface"], ["--repair", "--endpoint", "nowhere"]])
def test_an_endpoint_that_is_none_or_would_not_be_asked_is_a_usage_error(own: Snapshot, options: list[str]) -> None:
    assert run(["verify", *options]) == 2


def test_without_the_network_nothing_is_taken_out_of_its_place(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url), offline=True)
        pulled = pull(replace(given, offline=False))
    damage_file(payload(pulled), flip(5 * MIB))
    report = mend(given)
    assert [error.exit_status for error in report.repair_errors] == [NoSourceError.exit_status]
    assert payload(pulled).stat().st_size == SIZE
