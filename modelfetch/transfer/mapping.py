"""Bytes of a file where the system keeps them in memory: hashing them there saves the copy that reading makes.

- Whoever touches a mapped page that cannot be had (a disk error, a file cut short) is killed, so every page is asked
  for before, by a call that fails instead.
- Where the system has no such call, or no mapping of such a file, there is none: reading works everywhere. Whether it
  has the call is asked once: a mapping for nothing costs a tenth of the time that hashing takes.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import mmap
import sys
from collections.abc import Iterator

from modelfetch.planning.spans import Span

# MADV_POPULATE_READ, of Linux 5.14 and later.
_POPULATE_READ = 22


def is_possible() -> bool:
    """Whether this system can be asked for pages so."""
    return sys.platform.startswith("linux") and _populates()


@contextlib.contextmanager
def mapped(descriptor: int, span: Span) -> Iterator[memoryview | None]:
    """The bytes of `span`, all of which are there; None where they cannot be had so."""
    begin = span.start // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    pages = _pages(descriptor, begin, span.stop - begin)
    if pages is None:
        yield None
        return
    with pages, memoryview(pages) as view, view[span.start - begin :] as wanted:
        yield wanted


def _pages(descriptor: int, begin: int, length: int) -> mmap.mmap | None:
    if not is_possible():
        return None
    try:
        pages = mmap.mmap(descriptor, length, mmap.MAP_SHARED, mmap.PROT_READ, offset=begin)
    except (OSError, ValueError):  # ValueError: the file is shorter
        return None
    try:
        pages.madvise(_POPULATE_READ)
    except OSError:
        pages.close()
        return None
    return pages


@functools.cache
def _populates() -> bool:
    try:
        with mmap.mmap(-1, mmap.PAGESIZE) as page:
            page.madvise(_POPULATE_READ)
    except OSError as error:
        return error.errno != errno.EINVAL
    return True
