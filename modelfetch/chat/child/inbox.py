"""What the program asks of the child, read in a thread, so that a reply can be stopped while it is written."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from typing import BinaryIO

from modelfetch.chat.protocol import Ask, Load, Stop, from_line


class Inbox:
    """Requests in their order; stops go past them. When the program is gone, so is this process."""

    def __init__(self, requests: BinaryIO) -> None:
        self._requests = requests
        self._asked: queue.SimpleQueue[Ask] = queue.SimpleQueue()
        self._stopped = 0
        first = from_line(requests.readline())
        if not isinstance(first, Load):
            raise TypeError(f"{first} came before there was a model")
        self.load = first

    def open(self) -> None:
        """Begin to read what follows the first request."""
        threading.Thread(target=self._read, daemon=True).start()

    def is_stopped(self, number: int) -> bool:
        """Whether the reply to the request of this number is to end."""
        return number <= self._stopped

    def __iter__(self) -> Iterator[Ask]:
        while True:
            yield self._asked.get()

    def _read(self) -> None:
        for line in self._requests:
            match from_line(line):
                case Stop(number):
                    self._stopped = number
                case Ask() as ask:
                    self._asked.put(ask)
        os._exit(0)
