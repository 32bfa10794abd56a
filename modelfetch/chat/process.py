"""The child process that holds the model, as the program sees it: requests go in, reports come out, until it ends.

- It ends with whoever leaves this, by whatever way, and everything that it has started ends with it.
- Its noise is kept to the last bytes, to explain a crash with; it costs no disk and never holds the child up.
- A line that is no report is the last one: from then on nothing the child says could be believed.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from modelfetch.chat.protocol import Load, Report, Request, Stop, from_line, to_line
from modelfetch.model.isolation import child_command, child_environment
from modelfetch.processes import Group, Streams, oom_kills, signal_of

CHILD = "modelfetch.chat.child"
LOG_BYTES = 16_384
# The longest line an honest child writes is one fragment of text, and a fragment of text is a few tokens.
MAX_LINE_BYTES = 1 << 20
# A child may be gone while somebody it has started holds its pipe open; so often that is looked for.
_LOOK_S = 0.5
_BURIAL_S = 2.0
_READ_BYTES = 65_536


@dataclass(frozen=True)
class Ending:
    """How the child ended: by itself or by a signal, and whether the kernel has killed anything for memory since."""

    exit_status: int
    signal: str | None
    for_memory: bool
    garbled: bool
    log: str


class ModelProcess:
    """One child with one model. It is asked by one thread, which `stop` and `kill` may interrupt."""

    def __init__(self, load: Load) -> None:
        """Start it and tell it what to load.

        Raises:
            OSError: it cannot be started.
        """
        self._scratch = TemporaryDirectory(prefix="modelfetch-chat-", ignore_cleanup_errors=True)
        self._killed_before = oom_kills()
        self._telling = False
        self._stop_wanted: Stop | None = None
        self._garbled = False
        self._line = bytearray()
        self._noise = bytearray()
        self._reports, reporting = os.pipe()
        try:
            self._group = Group(
                [*child_command(CHILD), str(reporting)],
                environment=_environment(load, Path(self._scratch.name)),
                streams=Streams(subprocess.PIPE, subprocess.PIPE, subprocess.STDOUT, (reporting,)),
                folder=Path(self._scratch.name),
            )
        except BaseException:
            os.close(self._reports)
            self._scratch.cleanup()
            raise
        finally:
            os.close(reporting)
        requests, noise = self._group.stdin, self._group.stdout
        assert requests is not None
        assert noise is not None
        self._requests = requests
        self._noise_reader = threading.Thread(target=self._keep_noise, args=(noise,), daemon=True)
        self._noise_reader.start()
        self.tell(load)

    def has_ended(self) -> bool:
        """Whether it is over, and can only be closed."""
        return self._group.has_ended()

    def tell(self, request: Request) -> None:
        """Send a request. One that no longer reaches the child is no error: `next_report` will say that it ended."""
        self._telling = True
        self._write(to_line(request))
        self._telling = False
        if self._stop_wanted is not None:
            self._write(to_line(self._stop_wanted))
            self._stop_wanted = None

    def stop(self, number: int) -> None:
        """Ask the child to end the reply of this number. A signal may come while another request is being sent; then
        this one waits for it."""
        if self._telling:
            self._stop_wanted = Stop(number)
        else:
            self._write(to_line(Stop(number)))

    def kill(self) -> None:
        """End the child now. What it said before is still heard."""
        self._group.kill_all()

    def next_report(self) -> Report | None:
        """What the child says next; None once it has ended, or when that was no report. Blocks until then."""
        try:
            line = self._next_line()
            said = from_line(line) if line is not None else None
        except ValueError:
            said = None
            self._garbled = True
        if said is None or isinstance(said, Report):
            return said
        self._garbled = True
        return None

    def close(self) -> Ending:
        """End it, if it has not ended, and say how it did."""
        self._group.kill_all()
        status = self._group.wait()
        self._noise_reader.join(_LOOK_S)
        os.close(self._reports)
        self._requests.close()
        self._scratch.cleanup()
        return Ending(
            exit_status=status,
            signal=signal_of(status),
            for_memory=oom_kills() > self._killed_before,
            garbled=self._garbled,
            log=self._noise.decode("utf-8", "replace"),
        )

    def _next_line(self) -> bytes | None:
        while b"\n" not in self._line:
            if len(self._line) > MAX_LINE_BYTES:
                raise ValueError("a line without end")
            data = self._read()
            if not data:
                # Its pipe is closed before it is over, and how it ends by itself is to be seen.
                self._group.ends_within(_BURIAL_S)
                return None
            self._line += data
        line, _, self._line = self._line.partition(b"\n")
        return bytes(line)

    def _write(self, line: bytes) -> None:
        left = memoryview(line)
        with suppress(BrokenPipeError):
            while left:
                left = left[os.write(self._requests.fileno(), left) :]

    def _read(self) -> bytes:
        with selectors.DefaultSelector() as selector:
            selector.register(self._reports, selectors.EVENT_READ)
            while not selector.select(_LOOK_S):
                if self._group.has_ended():
                    return b""
        return os.read(self._reports, _READ_BYTES)

    def _keep_noise(self, noise: IO[bytes]) -> None:
        with noise:
            while data := os.read(noise.fileno(), _READ_BYTES):
                self._noise += data
                del self._noise[:-LOG_BYTES]


def _environment(load: Load, scratch: Path) -> dict[str, str]:
    environment = child_environment(os.environ, scratch, runs_foreign_code=load.trust_remote_code)
    if load.wish.on_cpu:
        # CUDA reserves memory in every process that only asks for it.
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return environment
