"""The queue between a mesh link and the one consumer of its events: bounded, and it says what it drops."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from firmware_bridge.link import Event, Heartbeat, Message, NeighbourReport

# What can be missed, least important first: the next one of its kind tells nearly the same.
_DISPENSABLE: tuple[type[Event], ...] = (Heartbeat, Message, NeighbourReport)


class EventQueue(AsyncIterator[Event]):
    """Events in order of arrival, at most `limit`.

    When full, the oldest `Heartbeat` goes, else the oldest `Message`, else the oldest `NeighbourReport`,
    else the oldest event; `dropped` counts them. After `close` the iteration ends once it is empty.
    """

    def __init__(self, limit: int = 4096) -> None:
        self.dropped = 0
        self._limit = limit
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._events)

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._closed

    def put(self, event: Event) -> None:
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

    async def __anext__(self) -> Event:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._events.popleft()

    def _make_room(self) -> None:
        self.dropped += 1
        for kind in _DISPENSABLE:
            for index, event in enumerate(self._events):
                if isinstance(event, kind):
                    del self._events[index]
                    return
        self._events.popleft()
