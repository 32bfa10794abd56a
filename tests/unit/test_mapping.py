"""Reading a file where it lies in memory: what is had so is the file, and what cannot be is not touched."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from modelfetch.planning.spans import Span
from modelfetch.transfer import mapping
from modelfetch.transfer.mapping import mapped

CONTENT = random.Random(5).randbytes(3 * mmap.ALLOCATIONGRANULARITY + 17)
only_where_possible = pytest.mark.skipif(not mapping.is_possible(), reason="a call of Linux 5.14")
only_on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a call of Linux")


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[int]:
    path = folder / "data"
    path.write_bytes(CONTENT)
    descriptor = os.open(path, os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@only_where_possible
@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (0, len(CONTENT)), (4095, 4097), (5000, 9000), (len(CONTENT) - 1, len(CONTENT))]
)
def test_it_is_what_the_file_holds(tmp_path: Path, start: int, stop: int) -> None:
    with opened(tmp_path) as descriptor, mapped(descriptor, Span(start, stop)) as view:
        assert view is not None
        assert bytes(view) == CONTENT[start:stop]


@only_where_possible
def test_it_shows_what_was_written_just_now(tmp_path: Path) -> None:
    with opened(tmp_path) as descriptor:
        os.pwrite(descriptor, b"new", 5000)
        with mapped(descriptor, Span(4999, 5004)) as view:
            assert view is not None
            assert bytes(view) == CONTENT[4999:5000] + b"new" + CONTENT[5003:5004]


@pytest.mark.parametrize("length", [0, 10, mmap.ALLOCATIONGRANULARITY])
def test_a_file_that_is_shorter_is_not_touched(tmp_path: Path, length: int) -> None:
    with opened(tmp_path) as descriptor:
        os.ftruncate(descriptor, length)
        with mapped(descriptor, Span(0, len(CONTENT))) as view:
            assert view is None


class _NoPages(mmap.mmap):
    def madvise(self, *_: Any) -> None:
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))


def test_pages_that_the_disk_does_not_give_back_are_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mmap, "mmap", _NoPages)
    with opened(tmp_path) as descriptor, mapped(descriptor, Span(0, 100)) as view:
        assert view is None


class _OldSystem(mmap.mmap):
    made = 0

    def __new__(cls, *given: Any, **named: Any) -> Self:
        cls.made += 1
        return super().__new__(cls, *given, **named)

    def madvise(self, *_: Any) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


@only_on_linux
def test_an_older_system_is_asked_for_the_call_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "mmap", _OldSystem)
    mapping._populates.cache_clear()
    try:
        with opened(tmp_path) as descriptor:
            for _ in range(3):
                with mapped(descriptor, Span(0, 100)) as view:
                    assert view is None
    finally:
        mapping._populates.cache_clear()
    assert _OldSystem.made == 1


def test_a_file_that_cannot_be_mapped_is_read(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        with mapped(reader, Span(0, 10)) as view:
            assert view is None
    finally:
        os.close(reader)
        os.close(writer)


def test_other_systems_have_no_such_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with opened(tmp_path) as descriptor, mapped(descriptor, Span(0, 10)) as view:
        assert view is None
