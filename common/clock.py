"""Time as a parameter: everything that waits or stamps gets a `Clock`, so that tests never sleep."""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import Protocol


class Clock(Protocol):
    """Two kinds of time, in seconds."""

    def wall(self) -> float:
        """Unix time; may jump. For stamps that other machines read."""

    def monotonic(self) -> float:
        """Never goes back. For every duration and deadline."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of monotonic time."""


class SystemClock:
    """The machine's clock."""

    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that moves only when told to. Sleepers wake in the order of their deadlines."""

    def __init__(self, wall: float = 1_700_000_000.0, monotonic: float = 0.0) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._counter = 0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []

    def wall(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self._counter += 1
        sleeper = (self._monotonic + seconds, self._counter, asyncio.Event())
        heapq.heappush(self._sleepers, sleeper)
        try:
            await sleeper[2].wait()
        except asyncio.CancelledError:
            # A sleeper that nobody awaits would cost `advance` a stop for nothing.
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)
            raise

    async def advance(self, seconds: float) -> None:
        """Move on by `seconds`, waking each sleeper at its own moment."""
        end = self._monotonic + seconds
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            moment, _, woken = heapq.heappop(self._sleepers)
            self._move_to(moment)
            woken.set()
            await _settle()
        self._move_to(end)

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock forwards or back without any time passing, as NTP does."""
        self._wall += seconds

    def _move_to(self, monotonic: float) -> None:
        step = max(0.0, monotonic - self._monotonic)
        self._monotonic += step
        self._wall += step


async def _settle(turns: int = 20) -> None:
    """Let every task that can run do so."""
    for _ in range(turns):
        await asyncio.sleep(0)
