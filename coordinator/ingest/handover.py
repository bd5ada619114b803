"""The bounded queue between the network's thread and the storing thread.

Full policy: `put` waits, which holds back PUBACKs and thereby the broker; after its patience the message is
dropped and counted. It is not acknowledged then, so its gateway sends it again.
"""

from __future__ import annotations

import time
from collections import deque
from threading import Condition, Lock
from typing import Final, NamedTuple

MAX_MESSAGES: Final = 8192
MAX_BYTES: Final = 64 << 20
PATIENCE_S: Final = 5.0


class Heard(NamedTuple):
    """A message as it came. `retained`: the broker had kept it from before."""

    topic: str
    payload: bytes
    retained: bool


class HandOver:
    """One putter, one taker."""

    def __init__(
        self, messages: int = MAX_MESSAGES, size: int = MAX_BYTES, patience_s: float = PATIENCE_S
    ) -> None:
        self._limit, self._size_limit, self._patience_s = messages, size, patience_s
        self._queue: deque[Heard] = deque()
        self._size = 0
        self._wanted = 1
        self._closed = False
        lock = Lock()
        self._room = Condition(lock)
        self._filled = Condition(lock)
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, heard: Heard) -> bool:
        """Queue a message; False when it was dropped."""
        with self._room:
            if not self._has_room() and not self._room.wait_for(self._has_room, self._patience_s):
                self.dropped += 1
                return False
            if self._closed:
                return False
            self._queue.append(heard)
            self._size += len(heard.payload)
            if len(self._queue) >= self._wanted:
                self._filled.notify()
        return True

    def take(self, at_most: int, linger_s: float, idle_s: float) -> list[Heard]:
        """Up to `at_most` messages: waits `idle_s` for the first, then `linger_s` for company.

        An empty list means that nothing came, or that the queue is closed and empty.
        """
        with self._filled:
            self._wait(1, idle_s)
            if self._queue and not self._closed:
                self._wait(at_most, linger_s)
            taken = [self._queue.popleft() for _ in range(min(at_most, len(self._queue)))]
            self._size -= sum(len(heard.payload) for heard in taken)
            self._room.notify()
        return taken

    def close(self) -> None:
        """Refuse further messages and wake both sides. Safe to call twice."""
        with self._room:
            self._closed = True
            self._room.notify_all()
            self._filled.notify_all()

    def _wait(self, wanted: int, seconds: float) -> None:
        """Until `wanted` messages are there, the bytes fill up, it is closed, or the time is over."""
        deadline = time.monotonic() + seconds
        self._wanted = wanted
        while len(self._queue) < wanted and self._size < self._size_limit and not self._closed:
            left = deadline - time.monotonic()
            if left <= 0 or not self._filled.wait(left):
                break

    def _has_room(self) -> bool:
        return self._closed or (len(self._queue) < self._limit and self._size < self._size_limit)
