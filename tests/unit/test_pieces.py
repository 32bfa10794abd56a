"""The pieces of a file: what a running sha256 tells of its beginnings, how that is kept, when it is not believed."""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch import hashing
from modelfetch.hashing import Hasher, Pieces
from modelfetch.manifest import Digests, Entry
from modelfetch.piecelist import address, from_bytes, is_of, most_bytes, to_bytes
from modelfetch.planning.scheduler import PIECE
from modelfetch.planning.spans import Span
from modelfetch.store import FolderDestination, Store
from modelfetch.store.hashing import hash_file
from modelfetch.store.pieces import PieceLists
from tests.pulling import noise
from tests.stored import bring, digests_of, git_sha1_of, manifest_of, write_data

SMALL_PIECE = 8
CONTENT = noise(2 * PIECE + 1000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BEGINNINGS = tuple(hashlib.sha256(CONTENT[:stop]).digest() for stop in (PIECE, 2 * PIECE, len(CONTENT)))
PIECES = Pieces(len(CONTENT), BEGINNINGS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


def hint(store: Store, sha256: str = SHA256) -> Path:
    return store.blobs.root / "pieces" / sha256[:2] / sha256


def hashed(blocks: list[bytes]) -> Hasher:
    hasher = Hasher(sum(map(len, blocks)), with_git_sha1=True)
    for block in blocks:
        hasher.update(block)
    return hasher


@given(st.lists(st.binary(max_size=3 * SMALL_PIECE), max_size=6))
def test_every_beginning_has_the_sha256_that_it_has_alone(blocks: list[bytes]) -> None:
    content = b"".join(blocks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "PIECE", SMALL_PIECE)
        hasher = hashed(blocks)
        assert hasher.digests() == digests_of(content)
        pieces = hasher.pieces()
        if len(content) <= SMALL_PIECE:
            assert pieces is None
            return
        assert pieces is not None
        stops = [*range(SMALL_PIECE, len(content), SMALL_PIECE), len(content)]
        assert pieces.beginnings == tuple(hashlib.sha256(content[:stop]).digest() for stop in stops)
        assert pieces.sha256 == hashlib.sha256(content).hexdigest()
        assert [pieces.beginning(stop) for stop in stops] == list(pieces.beginnings)


@given(st.binary(min_size=SMALL_PIECE + 1, max_size=60), st.data())
def test_the_first_piece_that_differs_is_the_one_with_the_first_other_byte(content: bytes, data: st.DataObject) -> None:
    wrong = data.draw(st.sets(st.integers(0, len(content) - 1)))
    other = bytes(byte ^ 1 if place in wrong else byte for place, byte in enumerate(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "PIECE", SMALL_PIECE)
        ours, theirs = hashed([content]).pieces(), hashed([other]).pieces()
        assert ours is not None
        assert theirs is not None
        start = min(wrong) // SMALL_PIECE * SMALL_PIECE if wrong else 0
        expected = Span(start, min(len(content), start + SMALL_PIECE)) if wrong else None
        assert ours.first_difference(theirs) == expected


@given(st.binary(max_size=40), st.binary(min_size=1, max_size=40), st.binary(max_size=40))
def test_a_hasher_goes_back_to_where_it_was_marked(before: bytes, wrong: bytes, right: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "PIECE", SMALL_PIECE)
        hasher = Hasher(len(before + right), with_git_sha1=True)
        hasher.update(before)
        hasher.mark()
        for _ in range(2):
            hasher.update(wrong)
            hasher.rewind()
            assert hasher.position == hasher.marked == len(before)
        hasher.update(right)
        assert hasher.digests() == digests_of(before + right)
        assert hasher.pieces() == hashed([before + right]).pieces()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_has_a_digest_for_each_piece(count: int) -> None:
    with pytest.raises(ValueError, match="pieces of"):
        Pieces(PIECE + 1, (b"\0" * 32,) * count)


def test_what_is_written_is_read_again_and_is_small() -> None:
    assert from_bytes(to_bytes(PIECES)) == PIECES
    long = Pieces(50_000_000_000, (b"\1" * 32,) * -(-50_000_000_000 // PIECE))
    assert len(to_bytes(long)) < 400_000


DIGESTS = b"".join(BEGINNINGS)
CHECK = zlib.crc32(DIGESTS)
NOT_BELIEVED = {
    "nothing": b"",
    "something else": b"{}",
    "torn": to_bytes(PIECES)[:-1],
    "longer": to_bytes(PIECES) + b"x",
    "a rotten bit": to_bytes(PIECES)[:-40] + b"\0" + to_bytes(PIECES)[-39:],
    "another version": to_bytes(PIECES).replace(b"pieces 1 ", b"pieces 2 "),
    "pieces of another size": b"modelfetch-pieces 1 %d %d %08x\n%s" % (2 * PIECE, len(CONTENT), CHECK, DIGESTS),
    "a file of another size": b"modelfetch-pieces 1 %d %d %08x\n%s" % (PIECE, 9 * PIECE, CHECK, DIGESTS),
    "a file of no size": b"modelfetch-pieces 1 %d 0 %08x\n" % (PIECE, zlib.crc32(b"")),
    "half a digest": b"modelfetch-pieces 1 %d %d %08x\n%s" % (PIECE, 3, zlib.crc32(DIGESTS[:40]), DIGESTS[:40]),
}


@pytest.mark.parametrize("content", NOT_BELIEVED.values(), ids=NOT_BELIEVED.keys())
def test_what_is_malformed_is_as_good_as_absent(content: bytes) -> None:
    assert from_bytes(content) is None


def test_a_list_is_of_one_file_only() -> None:
    entry = Entry("weights.dat", len(CONTENT), Digests(SHA256))
    assert is_of(PIECES, entry)
    assert not is_of(PIECES, replace(entry, size=len(CONTENT) - 1))
    assert not is_of(PIECES, replace(entry, digests=Digests("0" * 64)))
    assert not is_of(PIECES, replace(entry, digests=Digests(git_sha1=git_sha1_of(CONTENT))))


@given(st.integers(PIECE + 1, 10**11))
def test_how_long_a_list_can_be_is_known_before_it_comes(size: int) -> None:
    pieces = Pieces(size, (b"\1" * 32,) * -(-size // PIECE))
    assert len(to_bytes(pieces)) <= most_bytes(size) <= len(to_bytes(pieces)) + 64


@pytest.mark.parametrize("url", ["http://box/own/name/resolve/main/a%3Fb", "http://box/api/repo?FilePath=a%26b"])
def test_the_address_of_a_list_is_the_files_with_one_field_more(url: str) -> None:
    parts, before = urlsplit(address(url)), urlsplit(url)
    assert parts.path == before.path
    assert dict(parse_qsl(parts.query)) == {**dict(parse_qsl(before.query)), "modelfetch": "pieces"}


def test_a_list_of_another_file_is_not_believed(tmp_path: Path) -> None:
    lists = PieceLists(tmp_path, tmp_path / "temporary")
    lists.keep(PIECES)
    other = "0" * 64
    (tmp_path / "00").mkdir()
    (tmp_path / SHA256[:2] / SHA256).rename(tmp_path / "00" / other)
    assert lists.read(other) is None
    assert lists.read(SHA256) is None
    assert lists.read(None) is None


def test_a_disk_that_cannot_be_written_to_keeps_no_list(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    lists = PieceLists(tmp_path / "file" / "pieces", tmp_path / "file" / "temporary")
    lists.keep(PIECES)
    assert lists.read(SHA256) is None


def test_a_list_that_is_known_is_not_written_again(tmp_path: Path) -> None:
    lists = PieceLists(tmp_path, tmp_path / "temporary")
    lists.keep(PIECES)
    inode = (tmp_path / SHA256[:2] / SHA256).stat().st_ino
    lists.keep(PIECES)
    assert (tmp_path / SHA256[:2] / SHA256).stat().st_ino == inode


def test_the_list_comes_with_the_payload_and_goes_with_it(store: Store) -> None:
    digests = digests_of(CONTENT)
    store.publish(write_data(store.partial(digests), CONTENT), digests, PIECES)
    assert store.blobs.pieces.read(SHA256) == PIECES
    snapshot = bring(store, {"weights.dat": CONTENT})
    store.remove(snapshot, dry_run=False)
    assert not hint(store).exists()


def test_whoever_finds_a_payload_by_reading_it_leaves_the_list_behind(store: Store) -> None:
    digests = digests_of(CONTENT)
    blob = store.publish(write_data(store.partial(digests), CONTENT), digests)
    assert store.find(digests, len(CONTENT))
    assert not hint(store).exists(), "the stamp saved the reading"
    os.utime(blob, (1, 1))
    assert store.find(digests, len(CONTENT))
    assert store.blobs.pieces.read(SHA256) == PIECES


def test_what_is_served_has_its_list_wherever_its_bytes_are(store: Store, tmp_path: Path) -> None:
    assert store.pieces(SHA256) is None
    folder = FolderDestination(store, tmp_path / "mine")
    manifest = manifest_of({"weights.dat": CONTENT})
    (entry,) = manifest.entries
    folder.publish(entry, write_data(folder.partial(entry), CONTENT), entry.digests, PIECES)
    folder.finish(manifest, frozenset({"weights.dat"}))
    assert not hint(store).exists()
    assert store.pieces(SHA256) == PIECES
    store.publish(write_data(store.partial(entry.digests), CONTENT), entry.digests, PIECES)
    assert hint(store).exists()
    assert store.pieces(SHA256) == PIECES


def test_a_file_on_disk_has_the_same_pieces(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    found = hash_file(tmp_path / "file", with_git_sha1=False)
    assert found is not None
    assert found.pieces() == PIECES
    assert (found.digests().sha256, found.digests().git_sha1) == (SHA256, None)


class TestGitSha1:
    @pytest.fixture(autouse=True)
    def everything_is_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hashing, "LARGEST_IN_GIT_BYTES", 3)

    def test_it_is_computed_of_small_files_and_where_nothing_else_is_listed(self) -> None:
        both = digests_of(b"12345")
        assert hashing.wants_git_sha1(both, 3)
        assert not hashing.wants_git_sha1(both, 4)
        assert hashing.wants_git_sha1(Digests(git_sha1=both.git_sha1), 4)

    def test_a_large_payload_is_found_without_it_and_keeps_the_one_it_had(self, store: Store) -> None:
        both = digests_of(b"12345")
        only_sha256 = Digests(both.sha256)
        blob = store.publish_bytes(b"12345", only_sha256)
        assert store.find(both, 5) == only_sha256
        os.utime(blob, (1, 1))
        assert store.find(only_sha256, 5) == only_sha256
        store.blobs.stamp(both, blob.lstat())
        store.blobs.stamp(only_sha256, blob.lstat())
        assert store.find(only_sha256, 5) == both
        assert store.find(Digests(git_sha1=git_sha1_of(b"12345")), 5) == both

    def test_a_name_in_the_git_index_whose_stamp_was_lost_is_proven_by_reading(self, store: Store) -> None:
        both = digests_of(b"12345")
        store.publish_bytes(b"12345", both)
        (store.blobs.root / "verified" / str(both.sha256)[:2] / str(both.sha256)).unlink()
        assert store.find(Digests(both.sha256), 5) == Digests(both.sha256)
        assert store.find(Digests(git_sha1=both.git_sha1), 5) == both
