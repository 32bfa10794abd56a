"""One line of progress over bytes that are read from a disk."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Protocol, Self


class Reading(Protocol):
    """So many more bytes were read, of `total_bytes` that will be."""

    @property
    def advanced(self) -> int: ...

    @property
    def total_bytes(self) -> int: ...


class ReadingBar:
    """A context manager, and a listener from any thread."""

    def __init__(self, doing: str, *, shown: bool) -> None:
        from tqdm import tqdm

        self._lock = threading.Lock()
        self._bar = tqdm(
            total=0, unit="B", unit_scale=True, desc=doing, disable=not shown, leave=False, dynamic_ncols=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def __call__(self, reading: Reading) -> None:
        with self._lock:
            self._bar.total = reading.total_bytes
            self._bar.update(reading.advanced)
