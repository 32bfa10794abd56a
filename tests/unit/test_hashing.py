"""Digests of a file that is still arriving, against hashlib and git's own way to name a blob."""

from __future__ import annotations

import hashlib
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch import hashing
from modelfetch.hashing import Hasher, Pieces
from modelfetch.manifest import Digests, Entry
from modelfetch.planning.scheduler import PIECE as SCHEDULED_PIECE
from modelfetch.planning.spans import Span
from modelfetch.transfer.hashing import RunningDigest, digests_of, matches, new_buffer
from modelfetch.transfer.owner import Claim, Watch, claim
from modelfetch.transfer.partial import Partial


def digests(content: bytes) -> Digests:
    """What hashlib says; a git blob is named by the sha1 of `blob SIZE\\0` and its content."""
    git = hashlib.sha1(b"blob " + str(len(content)).encode() + b"\0" + content, usedforsecurity=False)
    return Digests(hashlib.sha256(content).hexdigest(), git.hexdigest())


@given(st.binary(max_size=300))
def test_a_small_files_digests_are_those_of_sha256_and_of_git(content: bytes) -> None:
    assert digests_of(Entry("a", len(content)), content) == digests(content)
    assert digests_of(Entry("a", len(content)), memoryview(content)) == digests(content)


def test_the_empty_file_is_gits_well_known_empty_blob() -> None:
    assert digests_of(Entry("a", 0), b"").git_sha1 == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8))
def test_the_digest_runs_on_piece_by_piece(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    running = RunningDigest(Entry("a", len(content)))
    for piece in pieces:
        running.update(piece)
    assert running.position == len(content)
    assert running.digests() == digests(content)


def opened(folder: Path, size: int) -> Partial:
    held = claim(folder, Watch())
    assert isinstance(held, Claim)
    return Partial(folder, size, held)


@pytest.mark.parametrize("size", [1, 4096, 3 * (1 << 20) + 17])
def test_hashing_follows_behind_the_frontier(tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    file, buffer, running = opened(tmp_path / "p", size), new_buffer(), RunningDigest(Entry("a", size))
    step = size // 3 + 1
    for start in range(0, size, step):
        stop = min(size, start + step)
        file.write(memoryview(content[start:stop]), start)
        file.note(Span(start, stop))
        running.catch_up(file, stop, buffer)
        assert running.position == stop
    running.catch_up(file, size, buffer)
    assert running.digests() == digests(content)
    file.close()


def test_a_file_that_became_shorter_is_noticed_and_not_waited_for(tmp_path: Path) -> None:
    file = opened(tmp_path / "p", 100)
    file.data.write_bytes(b"x" * 10)
    with pytest.raises(OSError, match="shorter than it was written"):
        RunningDigest(Entry("a", 100)).catch_up(file, 100, new_buffer())
    file.close()


PIECE = 8
PLACES = st.integers(0, 5 * PIECE)


@given(st.binary(min_size=PIECE + 1, max_size=5 * PIECE), st.sets(PLACES), st.lists(PLACES))
def test_wrong_pieces_are_met_one_by_one_and_hashing_goes_on_behind_them(
    content: bytes, places: set[int], frontiers: list[int]
) -> None:
    size, wrong = len(content), {place for place in places if place < len(content)}
    entry = Entry("a", size, digests(content))
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(hashing, "PIECE", PIECE)
        running = RunningDigest(entry, known(content))
        file, buffer = opened(Path(folder), size), memoryview(bytearray(3))
        file.write(memoryview(bytes(byte ^ (place in wrong) for place, byte in enumerate(content))), 0)
        met = []
        for frontier in [*sorted(min(size, frontier) for frontier in frontiers), size]:
            while piece := running.catch_up(file, frontier, buffer):
                assert running.position == running.proven == piece.start
                met.append(piece.start)
                file.write(memoryview(content[piece.start : piece.stop]), piece.start)
        file.close()
        assert met == sorted({place // PIECE * PIECE for place in wrong})
        assert running.digests() == digests(content)
        assert running.pieces() == known(content)


def known(content: bytes) -> Pieces:
    hasher = Hasher(len(content), with_git_sha1=False)
    hasher.update(content)
    pieces = hasher.pieces()
    assert pieces is not None
    return pieces


@pytest.mark.parametrize("comparing_ends", [True, False])
def test_what_is_known_is_not_believed_of_another_file_or_any_more(tmp_path: Path, comparing_ends: bool) -> None:
    content = random.Random(1).randbytes(SCHEDULED_PIECE + 1)
    other = bytes([content[0] ^ 1]) + content[1:]
    listed = content if comparing_ends else other
    file, running = (
        opened(tmp_path / "p", len(content)),
        RunningDigest(Entry("a", len(content), digests(listed)), known(content)),
    )
    file.write(memoryview(other), 0)
    if comparing_ends:
        assert running.catch_up(file, len(content), new_buffer())
        running.compare_no_more()
    assert running.catch_up(file, len(content), new_buffer()) is None
    assert running.digests().sha256 == digests(other).sha256
    file.close()


A, B, C, D = "a" * 64, "b" * 64, "c" * 40, "d" * 40


@pytest.mark.parametrize(
    ("wanted", "got", "expected"),
    [
        (Digests(A), Digests(A, C), True),
        (Digests(A), Digests(B, C), False),
        (Digests(git_sha1=C), Digests(A, C), True),
        (Digests(git_sha1=D), Digests(A, C), False),
        (Digests(A, C), Digests(A, C), True),
        (Digests(A, D), Digests(A, C), False),
        (Digests(B, C), Digests(A, C), False),
        (Digests(), Digests(A, C), False),
        (Digests(A), Digests(git_sha1=C), False),
        (Digests(A), Digests(), False),
    ],
)
def test_something_must_agree_and_nothing_may_contradict(wanted: Digests, got: Digests, expected: bool) -> None:
    assert matches(Entry("a", 1, wanted), got) is expected
