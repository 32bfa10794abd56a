"""The sockets: one thread a connection, HTTP/1.1 with keep-alive, bodies sent uncopied, and broken off on demand."""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.simulator.contents import SEGMENT_BYTES
from tests.simulator.exchange import Answer, Question
from tests.simulator.log import Line

# The rate is kept in steps this long, so that a client sees a flow and not lumps.
_RATE_STEP_S = 0.02
_RST_ON_CLOSE = struct.pack("ii", 1, 0)

Answerer = Callable[[Question, int], "tuple[Answer, Line]"]


class Origin(socketserver.ThreadingTCPServer):
    """One listening socket. `answer` is called from the connections' threads."""

    # Joined when the hub stops: no thread and no socket of one test is left to the next.
    daemon_threads = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, answer: Answerer) -> None:
        self.answer = answer
        self.latency_s = 0.0
        self.rate: float | None = None
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._connections = 0
        super().__init__(("127.0.0.1", 0), _Connection)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._accepting = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def start(self) -> None:
        self._accepting.start()

    def stop(self) -> None:
        """Close the port and every connection, wherever it is."""
        self.closing.set()
        self.shutdown()
        self._accepting.join()
        self.drop_connections()
        self.server_close()

    def drop_connections(self) -> None:
        """Break every open connection, as a network that goes away does."""
        with self._lock:
            for connection in self._open:
                _hang_up(connection)

    def register(self, connection: socket.socket) -> int:
        with self._lock:
            self._open.add(connection)
            self._connections += 1
            if self.closing.is_set():
                # Accepted in the last moment: `stop` has not seen it and would wait for it for ever.
                _hang_up(connection)
            return self._connections

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        connection = cast("socket.socket", request)
        with self._lock:
            self._open.discard(connection)
        # Without the shutdown(SHUT_WR) of the base class: it would send a FIN where the fault asks for an RST.
        connection.close()


def _hang_up(connection: socket.socket) -> None:
    # It may have gone away by itself.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Origin

    def setup(self) -> None:
        super().setup()
        self.number = self.server.register(self.connection)
        self._sent_until = 0.0

    def handle(self) -> None:
        # Opening a connection costs a round trip too.
        self.server.closing.wait(self.server.latency_s)
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_GET  # noqa: N815 - the names that http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """The log is ours."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        self.server.closing.wait(self.server.latency_s)
        parts = urlsplit(self.path)
        headers = {name.lower(): text for name, text in self.headers.items()}
        question = Question(self.command, self.path, unquote(parts.path), dict(parse_qsl(parts.query)), headers)
        answer, line = self.server.answer(question, self.number)
        self.send_response_only(answer.status)
        for name, text in answer.wire_headers().items():
            self.send_header(name, text)
        self.send_header("Date", self.date_time_string())
        self.end_headers()
        if answer.endless:
            self.close_connection = True
        if self.command != "HEAD":
            self._send_body(answer, line)

    def _send_body(self, answer: Answer, line: Line) -> None:
        stop = answer.stop
        if answer.break_after is not None and answer.break_after < stop - answer.start:
            stop = answer.start + answer.break_after
            self.close_connection = True
        rate = answer.rate or self.server.rate
        source = answer.body.source
        if rate is None and answer.flipped is None and isinstance(source, Path):
            self._send_file(source, answer.start, stop, line)
        else:
            self._send_segments(answer, stop, rate, line)
        if stop < answer.stop:
            self._break(answer)
        while answer.endless and not self.server.closing.is_set():
            self._send(memoryview(bytes(SEGMENT_BYTES)), line)

    def _send_segments(self, answer: Answer, stop: int, rate: float | None, line: Line) -> None:
        size = SEGMENT_BYTES if rate is None else max(1, min(SEGMENT_BYTES, int(rate * _RATE_STEP_S)))
        offset = answer.start
        for segment in answer.body.segments(answer.start, stop, size):
            if rate is not None:
                self._wait_for_turn(len(segment) / rate)
            self._send(segment if answer.flipped is None else _flip(segment, answer.flipped - offset), line)
            offset += len(segment)

    def _wait_for_turn(self, duration_s: float) -> None:
        """Sleep so that this connection as a whole keeps to its rate, over all its requests."""
        now = time.monotonic()
        self._sent_until = max(now, self._sent_until) + duration_s
        if self.server.closing.wait(self._sent_until - now):
            raise ConnectionAbortedError

    def _send(self, segment: memoryview, line: Line) -> None:
        while segment:
            line.bytes_sent += len(segment)
            sent = 0
            try:
                sent = self.connection.send(segment)
            finally:
                line.bytes_sent -= len(segment) - sent
            segment = segment[sent:]

    def _send_file(self, source: Path, start: int, stop: int, line: Line) -> None:
        with source.open("rb") as file:
            while start < stop:
                count = min(SEGMENT_BYTES * 4, stop - start)
                line.bytes_sent += count
                sent = 0
                try:
                    sent = os.sendfile(self.connection.fileno(), file.fileno(), start, count)
                finally:
                    line.bytes_sent -= count - sent
                if sent == 0:
                    raise ConnectionAbortedError("the file became shorter")
                start += sent

    def _break(self, answer: Answer) -> None:
        if answer.break_by == "stall":
            self.server.closing.wait()
        elif answer.break_by == "rst":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)


def _flip(segment: memoryview, index: int) -> memoryview:
    """The segment with every bit of the byte at `index` turned, where it has that byte."""
    if not 0 <= index < len(segment):
        return segment
    injured = bytearray(segment)
    injured[index] ^= 0xFF
    return memoryview(injured)
