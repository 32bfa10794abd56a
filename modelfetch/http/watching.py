"""What comes over a connection, for as long as it is worth waiting for. How long that is, `planning.retry` says.

- Whatever came of a TLS record counts, though nobody can read it before the record is whole: on a link of 10 kB/s that
  eight lanes share, one takes longer than nothing is waited for. Only the kernel has seen it; where the kernel does not
  tell, a record must be whole in time.
"""

from __future__ import annotations

import io
import socket
import ssl
import sys
import time
from typing import Any

from modelfetch.planning.retry import FaultError, Patience

# Of Linux's `struct tcp_info`: where `tcpi_bytes_received` is, which has been there since Linux 4.1.
_RECEIVED = slice(128, 136)


class Watched(io.RawIOBase):
    """The bytes that `sock` receives; `raw` is what http.client made of it, and keeps it open."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, patience: Patience) -> None:
        self._raw = raw
        self._socket = sock
        self._timeout_s = sock.gettimeout()
        self._patience = patience

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Receive what is there, at least one byte; 0 at the end.

        Raises:
            TimeoutError: nothing came within the socket's time.
            FaultError: TRICKLE.
        """
        arrived = self._arrived()
        while True:
            began, is_whole = time.monotonic(), True
            try:
                count = self._socket.recv_into(buffer)
            except TimeoutError:
                before, arrived, is_whole = arrived, self._arrived(), False
                count = arrived - before
                if count <= 0:
                    raise
            if fault := self._patience.ends(count, time.monotonic() - began):
                raise FaultError(fault)
            if is_whole:
                return count

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _arrived(self) -> int:
        """How many bytes have arrived, whole records or not. Always the same where that is not known or not asked."""
        is_impatient = self._socket.gettimeout() != self._timeout_s
        if sys.platform != "linux" or is_impatient or not isinstance(self._socket, ssl.SSLSocket):
            return 0
        information = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED.stop)
        return int.from_bytes(information[_RECEIVED], sys.byteorder)
