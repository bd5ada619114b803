"""What was just stored, told to whoever follows: mirror, alerts, pages.

One bounded queue a subscriber. When it is full it is emptied and replaced by `Lagged`: the subscriber then
reads from the repository what it missed. The publisher never waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias

from common.messages import Kind


@dataclass(frozen=True, slots=True)
class Stored:
    """Messages of `kind` were stored for `site`, covering t0 to t1 (Unix time, gateways' clocks)."""

    site: str
    kind: Kind
    t0: float
    t1: float


@dataclass(frozen=True, slots=True)
class Lagged:
    """Some news were dropped: read from the repository instead."""

    dropped: int


News: TypeAlias = "Stored | Lagged"


class Subscription:
    """One follower's queue; iterate it from the event loop that subscribed."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = Lock()
        self._queue: deque[Stored] = deque()
        self._dropped = 0
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()

    def put(self, stored: Stored) -> None:
        """Queue news from any thread."""
        with self._lock:
            if len(self._queue) >= self._capacity or self._dropped:
                self._dropped += len(self._queue) + 1
                self._queue.clear()
            else:
                self._queue.append(stored)
        try:
            self._loop.call_soon_threadsafe(self._wake.set)
        except RuntimeError:
            pass  # the follower's event loop has ended before it unsubscribed

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> News:
        while (news := self._take()) is None:
            self._wake.clear()
            await self._wake.wait()
        return news

    def _take(self) -> News | None:
        with self._lock:
            if self._dropped:
                lagged, self._dropped = Lagged(self._dropped), 0
                return lagged
            return self._queue.popleft() if self._queue else None


class Bus:
    """The in-process bus; published to from the storing thread."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []

    @contextmanager
    def subscribe(self, capacity: int = 256) -> Iterator[Subscription]:
        """Follow from now on, until the context ends. Needs a running event loop."""
        subscription = Subscription(capacity)
        self._subscriptions = [*self._subscriptions, subscription]
        try:
            yield subscription
        finally:
            self._subscriptions = [s for s in self._subscriptions if s is not subscription]

    def publish(self, news: Iterable[Stored]) -> None:
        """Tell everyone. Never blocks, never raises."""
        subscriptions = self._subscriptions
        for stored in news:
            for subscription in subscriptions:
                subscription.put(stored)
