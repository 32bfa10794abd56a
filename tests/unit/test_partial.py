"""A file on its way: what is on disk survives a kill, what is not known is fetched again, nothing is a final name."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.errors import StoreError
from modelfetch.planning.spans import Span, SpanSet
from modelfetch.transfer import journal, mapping, partial
from modelfetch.transfer.owner import Claim, Watch, claim
from modelfetch.transfer.partial import Partial, resumable_bytes, take_over

SIZE = 1000
BYTES = bytes(range(256)) * 4


def owned(folder: Path) -> Claim:
    held = claim(folder, Watch())
    assert isinstance(held, Claim)
    return held


def opened(folder: Path, size: int = SIZE) -> Partial:
    return Partial(folder, size, owned(folder))


def put(file: Partial, start: int, stop: int) -> None:
    file.write(memoryview(BYTES[start:stop]), start)
    file.note(Span(start, stop))


def content(file: Partial, start: int = 0, stop: int = SIZE) -> bytes:
    buffer = memoryview(bytearray(stop - start))
    return bytes(buffer[: file.readinto(buffer, start)])


def close(file: Partial) -> None:
    file.close()
    file.claim.release()


def open_files(folder: Path) -> list[str]:
    """What this process has open under `folder`."""
    return [file.path for file in psutil.Process().open_files() if Path(file.path).is_relative_to(folder)]


def test_what_was_noted_is_found_again_and_the_rest_is_not(tmp_path: Path) -> None:
    file = opened(tmp_path / "p")
    assert not file.found
    put(file, 100, 200)
    put(file, 500, 600)
    file.write(memoryview(BYTES[700:800]), 700)
    close(file)
    again = opened(tmp_path / "p")
    assert again.found == SpanSet([Span(100, 200), Span(500, 600)])
    assert content(again, 100, 200) == BYTES[100:200]
    assert resumable_bytes(tmp_path / "p", SIZE) == 200
    close(again)


def test_what_was_forgotten_is_not_found_again(tmp_path: Path) -> None:
    file = opened(tmp_path / "p")
    put(file, 0, 200)
    file.forget(Span(50, 60))
    close(file)
    assert opened(tmp_path / "p").found == SpanSet([Span(0, 50), Span(60, 200)])


def test_after_a_reboot_only_what_was_synced_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = opened(tmp_path / "p")
    put(file, 0, 100)
    file.sync(SpanSet([Span(0, 100)]))
    put(file, 200, 300)
    close(file)
    monkeypatch.setattr(partial, "boot_id", lambda: "another-boot")
    assert resumable_bytes(tmp_path / "p", SIZE) == 100
    again = opened(tmp_path / "p")
    assert again.found == SpanSet([Span(0, 100)])
    put(again, 300, 400)
    close(again)
    assert resumable_bytes(tmp_path / "p", SIZE) == 200


def test_syncing_writes_nothing_when_nothing_was_noted_since(tmp_path: Path) -> None:
    file = opened(tmp_path / "p")
    put(file, 0, 100)
    file.sync(SpanSet([Span(0, 100)]))
    before = (tmp_path / "p" / "journal").read_bytes()
    file.sync(SpanSet([Span(0, 100)]))
    assert (tmp_path / "p" / "journal").read_bytes() == before
    put(file, 100, 110)
    file.sync(SpanSet([Span(0, 110)]))
    assert (tmp_path / "p" / "journal").read_bytes().endswith(journal.line("d", Span(0, 110)))


def test_a_closed_partial_is_not_synced(tmp_path: Path) -> None:
    file = opened(tmp_path / "p")
    put(file, 0, 100)
    close(file)
    file.sync(SpanSet([Span(0, 100)]))
    file.close()


def test_data_that_is_shorter_than_the_journal_says_is_not_believed(tmp_path: Path) -> None:
    file = opened(tmp_path / "p")
    put(file, 0, 1000)
    close(file)
    os.truncate(file.data, 400)
    assert resumable_bytes(tmp_path / "p", SIZE) == 400
    assert opened(tmp_path / "p").found == SpanSet([Span(0, 400)])


@pytest.mark.parametrize("name", ["data", "journal"])
def test_without_data_or_journal_everything_is_fetched_again(tmp_path: Path, name: str) -> None:
    file = opened(tmp_path / "p")
    put(file, 0, 1000)
    close(file)
    (tmp_path / "p" / name).unlink()
    assert resumable_bytes(tmp_path / "p", SIZE) == 0
    assert not opened(tmp_path / "p").found


def test_asking_for_what_is_there_makes_and_changes_nothing(tmp_path: Path) -> None:
    assert resumable_bytes(tmp_path / "p", SIZE) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "left",
    [b"", b"modelfetch-jour", b"modelfetch-journal 1", bytes(64), b"modelfetch-journal 1\0\0", b"noise\nd 0 9\n"],
)
def test_a_journal_that_did_not_survive_is_begun_anew(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "journal").write_bytes(left)
    file = opened(tmp_path / "p")
    put(file, 0, 100)
    close(file)
    again = opened(tmp_path / "p")
    assert again.found == SpanSet([Span(0, 100)])
    close(again)


def test_a_line_torn_by_a_kill_costs_itself_only(tmp_path: Path) -> None:
    file = opened(tmp_path / "p")
    put(file, 0, 100)
    close(file)
    with (tmp_path / "p" / "journal").open("ab") as stream:
        stream.write(journal.line("w", Span(200, 300))[:-5])
    again = opened(tmp_path / "p")
    assert again.found == SpanSet([Span(0, 100)])
    put(again, 400, 500)
    close(again)
    assert opened(tmp_path / "p").found == SpanSet([Span(0, 100), Span(400, 500)])


def test_a_journal_of_another_version_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "journal").write_bytes(b"modelfetch-journal 2\nsomething\n")
    (tmp_path / "p" / "data").write_bytes(b"x" * SIZE)
    with pytest.raises(StoreError, match="another version"):
        opened(tmp_path / "p")
    assert (tmp_path / "p" / "journal").read_bytes() == b"modelfetch-journal 2\nsomething\n"
    assert (tmp_path / "p" / "data").read_bytes() == b"x" * SIZE
    assert open_files(tmp_path) == []


def failing(name: str, code: int) -> Callable[..., int]:
    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    fail.__name__ = name
    return fail


@pytest.mark.parametrize("call", ["ftruncate", "pread", "write"])
def test_a_partial_that_cannot_be_opened_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    held = owned(tmp_path / "p")
    with monkeypatch.context() as broken:
        broken.setattr(os, call, failing(call, errno.ENOSPC))
        with pytest.raises(OSError, match="No space left"):
            Partial(tmp_path / "p", SIZE, held)
    assert open_files(tmp_path) == []
    close(Partial(tmp_path / "p", SIZE, held))


@given(st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 300)), max_size=12))
def test_bytes_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int]]
) -> None:
    file = opened(tmp_path_factory.mktemp("partial") / "p")
    noted = SpanSet()
    for start, count in spans:
        put(file, start, min(SIZE, start + count))
        noted.add(Span(start, min(SIZE, start + count)))
    close(file)
    again = opened(file.folder)
    assert again.found == noted
    for span in noted:
        assert content(again, span.start, span.stop) == BYTES[span.start : span.stop]
    close(again)


def test_a_piece_is_compared_with_what_is_there(tmp_path: Path) -> None:
    file = opened(tmp_path / "p")
    put(file, 0, 100)
    assert not file.differs(memoryview(BYTES[10:90]), 10)
    assert file.differs(memoryview(BYTES[11:91]), 10)
    assert file.differs(memoryview(BYTES[:100]), SIZE - 50), "it ends before"
    close(file)


def test_the_data_has_its_full_size_from_the_start(tmp_path: Path) -> None:
    file = opened(tmp_path / "p")
    assert file.data.stat().st_size == SIZE
    assert content(file) == bytes(SIZE)
    close(file)


def test_threads_may_write_beside_each_other(tmp_path: Path) -> None:
    file = opened(tmp_path / "p")
    threads = [threading.Thread(target=put, args=(file, start, start + 100)) for start in range(0, SIZE, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close(file)
    again = opened(tmp_path / "p")
    assert again.found == SpanSet([Span(0, SIZE)])
    assert content(again) == BYTES[:SIZE]
    close(again)


def test_a_write_that_the_system_does_in_parts_is_done_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, view, offset: whole(descriptor, view[:7], offset))
    file = opened(tmp_path / "p")
    put(file, 100, 200)
    assert content(file, 100, 200) == BYTES[100:200]
    close(file)


def test_what_is_discarded_is_closed(tmp_path: Path) -> None:
    file = opened(tmp_path / "p")
    file.discard()
    assert open_files(tmp_path) == []


def test_what_is_discarded_leaves_nothing(tmp_path: Path) -> None:
    file = opened(tmp_path / "p")
    put(file, 0, SIZE)
    file.close()
    file.data.rename(tmp_path / "published")
    file.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["published"]


def test_discarding_leaves_the_folder_to_whoever_claimed_it_meanwhile(tmp_path: Path) -> None:
    file = opened(tmp_path / "p")
    (tmp_path / "p" / "owner.7").write_text("{}")
    file.discard()
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["owner.7"]


KILLED = """
import os, signal, sys
from pathlib import Path
from modelfetch.planning.spans import Span
from modelfetch.transfer.owner import Claim, Watch, claim
from modelfetch.transfer.partial import Partial

folder = Path(sys.argv[1])
held = claim(folder, Watch())
assert isinstance(held, Claim)
file = Partial(folder, 1000, held)
file.write(memoryview(b"x" * 100), 0)
file.note(Span(0, 100))
file.write(memoryview(b"y" * 100), 500)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_had_noted_is_found_at_once(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "p")], check=False)
    assert killed.returncode == -9
    file = opened(tmp_path / "p")
    assert file.found == SpanSet([Span(0, 100)])
    assert content(file, 0, 100) == b"x" * 100
    close(file)


def salvaged(folder: Path, size: int = SIZE) -> Path:
    path = folder / "damaged"
    path.write_bytes(BYTES[:size])
    return path


@pytest.mark.parametrize("size", [1, SIZE - 1, SIZE, SIZE + 1])
def test_what_is_left_of_a_damaged_file_is_taken_over_as_if_it_had_been_fetched(tmp_path: Path, size: int) -> None:
    claimed = owned(tmp_path / "p")
    take_over(salvaged(tmp_path, size), tmp_path / "p", SIZE)
    file = Partial(tmp_path / "p", SIZE, claimed)
    here = min(size, SIZE)
    assert file.found == SpanSet([Span(0, here)])
    assert content(file, 0, here) == BYTES[:here]
    assert file.data.stat().st_size == SIZE
    close(file)
    assert resumable_bytes(tmp_path / "p", SIZE) == here
    assert not (tmp_path / "damaged").exists()


def test_of_an_empty_file_nothing_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    take_over(salvaged(tmp_path, 0), tmp_path / "p", SIZE)
    assert resumable_bytes(tmp_path / "p", SIZE) == 0
    assert not any((tmp_path / "p").iterdir())


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EACCES])
def test_whoever_is_stopped_before_the_rename_has_lost_nothing_and_vouches_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    file = opened(tmp_path / "p")
    close(file)

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "rename", refuse)
    if code == errno.EXDEV:
        take_over(salvaged(tmp_path), tmp_path / "p", SIZE)
    else:
        with pytest.raises(PermissionError):
            take_over(salvaged(tmp_path), tmp_path / "p", SIZE)
    monkeypatch.undo()
    assert (tmp_path / "damaged").read_bytes() == BYTES[:SIZE]
    assert resumable_bytes(tmp_path / "p", SIZE) == 0
    for _ in range(2):
        # What is made in the place of the data is not what that journal told of.
        file = opened(tmp_path / "p")
        assert not file.found
        close(file)


def test_what_an_earlier_run_left_is_read_and_what_this_one_wrote_need_not_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(tmp_path / "p")
    put(file, 0, 200)
    close(file)
    again = opened(tmp_path / "p")
    put(again, 200, 500)
    read: list[int] = []

    def readinto(_: Partial, view: memoryview, offset: int) -> int:
        read.append(offset)
        return len(view)

    monkeypatch.setattr(Partial, "readinto", readinto)
    for span in (Span(0, 100), Span(150, 250), Span(200, 500)):
        with again.reading(span, memoryview(bytearray(1000))) as view:
            assert len(view) == len(span)
    assert read == ([0, 150] if mapping.is_possible() else [0, 150, 200])
    close(again)


@pytest.mark.parametrize("is_mapped", [True, False])
def test_reading_ends_where_the_buffer_does_or_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_mapped: bool
) -> None:
    if not is_mapped:
        monkeypatch.setattr(partial, "mapped", lambda *_: contextlib.nullcontext())
    file = opened(tmp_path / "p")
    put(file, 0, SIZE)
    buffer = memoryview(bytearray(300))
    with file.reading(Span(100, SIZE), buffer) as view:
        assert bytes(view) == BYTES[100 : SIZE if is_mapped and mapping.is_possible() else 400]
    file.data.write_bytes(b"short")
    with file.reading(Span(100, SIZE), buffer) as view:
        assert not view
    close(file)
