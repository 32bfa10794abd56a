"""Shows a pull while it runs: one line on a terminal, a line now and then in a log, nothing when quiet.

- The line has what was fetched and what is left, the speed, the time left, and who sends how much.
- Speed and time left are about bytes that came over the network in this run; what was there before only moves the bar.
- A fault is told once for each endpoint and kind, at once with -v, otherwise in the closing sentence.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

from modelfetch import events
from modelfetch.cli._output import say, unheard
from modelfetch.units import format_bytes, format_duration

LOG_LINE_EVERY_S = 10.0
# A wait this long is told even without -v: nothing seems to happen meanwhile.
LONG_WAIT_S = 5.0
_BAR = "{desc}{percentage:3.0f}%|{bar:24}| {n_fmt}/{total_fmt} {rate_fmt} {remaining} left{postfix}"


class PullProgress:
    """Listens to a pull; a context manager. `quiet` says nothing at all, `verbose` tells of every step."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._bar: Any = None
        self._lock = threading.Lock()
        self._sent: Counter[str] = Counter()
        self._total = self._here = 0
        self._began = self._told_at = time.monotonic()
        self.faults: Counter[tuple[str, str]] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            with unheard():
                self._bar.close()

    def __call__(self, event: events.Event) -> None:
        """The listener."""
        with self._lock, unheard():
            match event:
                case events.Progress():
                    self._sent[event.endpoint] += event.advanced
                    self._advance(event.advanced)
                case events.Salvaged():
                    self._tell(f"{event.path}: what is right of a damaged copy is kept", always=True)
                    self._advance(event.size)
                case events.Lost():
                    self._advance(-event.size)
                case events.Fault():
                    self.faults[event.endpoint, event.what] += 1
                    self._tell_fault(event)
                case events.Planned():
                    self._plan(event)
                case events.Waiting():
                    self._tell(f"{event.what}: {event.owner} is fetching it; waiting for that", always=True)
                case events.Resolved():
                    answer = f"has commit {event.commit[:12]}" if event.commit else event.error
                    self._tell(f"{event.endpoint}: {answer}", always=False)
                case events.Resolving():
                    self._tell(f"asking {', '.join(event.endpoints)} for {event.reference}", always=False)
                case events.FileDone():
                    pass

    def _tell_fault(self, event: events.Fault) -> None:
        wait = f" in {format_duration(event.wait_s)}" if event.wait_s >= 1 else ""
        is_long = event.wait_s >= LONG_WAIT_S
        if is_long or self.faults[event.endpoint, event.what] == 1:
            self._tell(f"{event.endpoint}: {event.path}: {event.what}; {event.action}{wait}", always=is_long)

    def _plan(self, event: events.Planned) -> None:
        self._total = event.total_bytes
        self._here = event.reused_bytes + event.resumed_bytes
        self._began = self._told_at = time.monotonic()
        to_fetch = self._total - self._here
        here = f", {format_bytes(self._here)} of it here already" if self._here else ""
        files = f"{event.files} file" + ("s" if event.files != 1 else "")
        what = f"{event.repo} from {event.hub}, commit {event.commit[:12]}"
        self._tell(f"{what}: {files}, {format_bytes(event.total_bytes)}{here}", always=True)
        for note in event.notes:
            self._tell(f"  {note}", always=True)
        if to_fetch > 0 and not self._quiet and sys.stderr.isatty():
            self._bar = _new_bar(self._total, self._here)

    def _advance(self, count: int) -> None:
        self._here += count
        if self._bar is not None:
            self._bar.set_postfix_str(self._shares(), refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._told_at >= LOG_LINE_EVERY_S:
            self._told_at = time.monotonic()
            self._tell(self._log_line(), always=True)

    def _log_line(self) -> str:
        rate = sum(self._sent.values()) / max(time.monotonic() - self._began, 0.001)
        left = format_duration((self._total - self._here) / rate) if rate else "unknown time"
        shares = f" ({self._shares()})" if self._shares() else ""
        done = f"{format_bytes(self._here)} of {format_bytes(self._total)}"
        return f"{done} ({self._here * 100 // self._total}%), {format_bytes(rate)}/s, {left} left{shares}"

    def _shares(self) -> str:
        if len(self._sent) < 2:
            return ""
        whole = sum(self._sent.values()) or 1
        return ", ".join(f"{name} {sent * 100 // whole}%" for name, sent in self._sent.most_common(3))

    def _tell(self, text: str, *, always: bool) -> None:
        if self._quiet or not (always or self._verbose):
            return
        if self._bar is not None:
            self._bar.clear()
        say(text)
        if self._bar is not None:
            self._bar.refresh()


def _new_bar(total: int, initial: int) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=total,
        initial=initial,
        unit="B",
        unit_scale=True,
        dynamic_ncols=True,
        leave=False,
        mininterval=0.2,
        smoothing=0.1,
        bar_format=_BAR,
        file=sys.stderr,
    )
