"""A bounded queue between two parts of the agent that never makes the sender wait."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """First in, first out. Full policy: the oldest goes, counted in `dropped`. One consumer, one loop."""

    def __init__(self, limit: int) -> None:
        self._items: deque[T] = deque()
        self._limit = limit
        self._filled = asyncio.Event()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add `item`, at the price of the oldest when full."""
        if len(self._items) >= self._limit:
            self._items.popleft()
            self.dropped += 1
        self._items.append(item)
        self._filled.set()

    async def get(self) -> T:
        """The oldest item, as soon as there is one. Cancellation loses nothing."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        return self._items.popleft()

    async def wait(self) -> None:
        """Return once there is something; it stays."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
