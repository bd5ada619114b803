"""The queue between a bearer and the one consumer of its events: bounded, and it says what it drops."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from firmware_bridge.bearers.bearer import BearerEvent, PduReceived

LIMIT: Final = 512


class BearerEvents(AsyncIterator[BearerEvent]):
    """Events in order of arrival, at most `limit` (two or more).

    When full, the oldest PDU goes, counted in `dropped`. Where there is none, the two oldest events go, an up
    and its down: what is left still tells the state truly. After `close` the iteration ends once it is empty.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.dropped = 0
        self._limit = limit
        self._events: deque[BearerEvent] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._closed

    def put(self, event: BearerEvent) -> None:
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

    async def __anext__(self) -> BearerEvent:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._events.popleft()

    def _make_room(self) -> None:
        for index, event in enumerate(self._events):
            if isinstance(event, PduReceived):
                del self._events[index]
                self.dropped += 1
                return
        self._events.popleft()
        self._events.popleft()
