"""The queue that every source of events here has: bounded, one consumer, and it says what it drops."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator
from typing import TypeVar

E = TypeVar("E")


class BoundedEvents(AsyncIterator[E]):
    """Events in order of arrival, at most `limit`. What goes when it is full is for a subclass to say, which
    counts in `dropped` what was lost. After `close` the iteration ends once it is empty, after `fail` with
    the error."""

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._limit = limit
        self._events: deque[E] = deque()
        self._changed = asyncio.Event()
        self._closed = False
        self._failure: Exception | None = None

    def __len__(self) -> int:
        return len(self._events)

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._closed

    def put(self, event: E) -> None:
        """Add an event; never waits. Ignored after `close`."""
        if self._closed:
            return
        if len(self._events) >= self._limit:
            self._make_room()
        self._events.append(event)
        self._changed.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._changed.set()

    def fail(self, error: Exception) -> None:
        """Nothing more will come, because of `error`, which the consumer is told once. Ignored after
        `close`."""
        if not self._closed:
            self._failure = error
        self.close()

    async def __anext__(self) -> E:
        while not self._events:
            if self._closed:
                failure, self._failure = self._failure, None
                raise failure or StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._events.popleft()

    @abstractmethod
    def _make_room(self) -> None:
        """Drop at least one event."""
