"""Runs the child process and hears it out: observations from one pipe, noise from another, an end in every case.

Imports nothing that a model can touch, and judges nothing.

- The child has a session of its own. When it is over, whatever is left in its process group is killed.
- It reads nothing: its stdin is empty.
- Noise is kept to its last `LOG_BYTES`; a child that floods its output costs no disk and no memory here.
- A hang ends at the time limit, a crash and the kernel's out-of-memory killer are told apart, and each is an `Ended`.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modelfetch.processes import Group, Streams, oom_kills, signal_of
from modelfetch.smoketest.lines import from_line
from modelfetch.smoketest.observations import Ended, Garbled, Observation, Started

Listener = Callable[[Observation], None]

LOG_BYTES = 16_384
# The longest line an honest child writes is a list of 1000 names.
MAX_LINE_BYTES = 4 << 20
MAX_OBSERVATIONS = 10_000
# How long output may still be on its way once the process is over.
DRAIN_S = 2.0
_READ_BYTES = 65_536


def run_child(
    command: Sequence[str], *, environment: Mapping[str, str], scratch: Path, timeout_s: float, listener: Listener
) -> tuple[Observation, ...]:
    """Run `command`, to which the number of the pipe for observations is added; the last observation is `Ended`."""
    read_end, write_end = os.pipe()
    noise_end, noise = os.pipe()
    try:
        process = Group(
            [*command, str(write_end)],
            environment=environment,
            streams=Streams(stdout=noise, stderr=noise, kept=(write_end,)),
            folder=scratch,
        )
    except BaseException:
        os.close(read_end)
        os.close(noise_end)
        raise
    finally:
        os.close(write_end)
        os.close(noise)
    hearing = _Hearing(process, read_end, noise_end, listener)
    try:
        hearing.hear(timeout_s)
    finally:
        # Nothing is left of the child, however we come to leave it: Ctrl-C included.
        process.end()
        hearing.close()
    return tuple(hearing.observations)


class _Hearing:
    """What was heard of one child so far."""

    def __init__(self, process: Group, read_end: int, noise_end: int, listener: Listener) -> None:
        self.observations: list[Observation] = []
        self._process = process
        self._read_end = read_end
        self._noise_end = noise_end
        self._listener = listener
        self._line = bytearray()
        self._log = bytearray()
        self._phase = "start"

    def hear(self, timeout_s: float) -> None:
        """Listen until the process is over or its time is."""
        started = time.monotonic()
        killed_before = oom_kills()
        with selectors.DefaultSelector() as selector:
            selector.register(self._read_end, selectors.EVENT_READ, self._take_observations)
            selector.register(self._noise_end, selectors.EVENT_READ, self._take_noise)
            over = False
            while not over and (left := started + timeout_s - time.monotonic()) > 0:
                self._pump(selector, min(left, 0.1))
                over = self._process.has_ended()
            self._process.kill_all()
            drained = time.monotonic() + DRAIN_S
            while selector.get_map() and time.monotonic() < drained:
                self._pump(selector, 0.1)
        status = self._process.wait()
        self._observe(
            Ended(
                exit_status=status if status >= 0 else None,
                signal=signal_of(status),
                timed_out=not over,
                seconds=time.monotonic() - started,
                phase=self._phase,
                oom_kills=oom_kills() - killed_before,
                log=self._log.decode("utf-8", "replace"),
            )
        )

    def close(self) -> None:
        os.close(self._read_end)
        os.close(self._noise_end)

    def _pump(self, selector: selectors.BaseSelector, wait_s: float) -> None:
        for key, _ in selector.select(wait_s):
            data = os.read(key.fd, _READ_BYTES)
            if data:
                key.data(data)
            else:
                selector.unregister(key.fd)

    def _take_noise(self, data: bytes) -> None:
        self._log += data
        del self._log[:-LOG_BYTES]

    def _take_observations(self, data: bytes) -> None:
        self._line += data
        *lines, rest = self._line.split(b"\n")
        self._line = rest
        if len(rest) > MAX_LINE_BYTES:
            self._line.clear()
            self._observe(Garbled(f"a line of more than {MAX_LINE_BYTES} bytes"))
        for line in lines:
            self._observe(from_line(line.decode("utf-8", "replace")))

    def _observe(self, observation: Observation) -> None:
        if isinstance(observation, Started):
            self._phase = observation.phase
        if len(self.observations) < MAX_OBSERVATIONS or isinstance(observation, Ended):
            self.observations.append(observation)
            self._listener(observation)
