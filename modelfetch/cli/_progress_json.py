"""`pull --progress json`: what happens, as one JSON object a line on stderr, for another program to show.

- Every object has `event`, the event's name, and the event's own fields (docs/json.md).
- `progress` is summed up: at most two a second, with what every endpoint has sent so far.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from modelfetch import events
from modelfetch.cli._output import json_for, unheard
from modelfetch.redact import redact

_PROGRESS_EVERY_S = 0.5


class JsonProgress:
    """Listens to a pull; a context manager."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: Counter[str] = Counter()
        self._done = self._total = 0
        self._told_at = 0.0
        self.faults: Counter[tuple[str, str]] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell_progress()

    def __call__(self, event: events.Event) -> None:
        """The listener."""
        with self._lock:
            match event:
                case events.Progress():
                    self._sent[event.endpoint] += event.advanced
                    self._done += event.advanced
                    if time.monotonic() - self._told_at >= _PROGRESS_EVERY_S:
                        self._tell_progress()
                    return
                case events.Salvaged():
                    self._done += event.size
                case events.Lost():
                    self._done -= event.size
                case events.Planned():
                    self._total = event.total_bytes
                    self._done = event.reused_bytes + event.resumed_bytes
                case events.Fault():
                    self.faults[event.endpoint, event.what] += 1
            _tell({"event": type(event).__name__.lower(), **asdict(event)})

    def _tell_progress(self) -> None:
        self._told_at = time.monotonic()
        _tell(
            {"event": "progress", "done_bytes": self._done, "total_bytes": self._total, "sent_bytes": dict(self._sent)}
        )


def _tell(document: dict[str, Any]) -> None:
    with unheard():
        print(redact(json_for(sys.stderr, document)), file=sys.stderr, flush=True)
