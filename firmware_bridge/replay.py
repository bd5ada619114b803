"""ReplayLink: a recorded stretch of a site as a MeshLink, so that an agent, or its next version, lives it
again.

What was recorded cannot be changed: questions are answered as nodes answered then, changes are refused with
NotSupported, and messages that are sent go nowhere. With a `FastClock` for the link and whoever listens to
it, a day passes in minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from common.clock import Clock, SystemClock
from common.errors import Misconfigured, NotSupported, Rejected, RejectReason, TimedOut, Unavailable
from common.mesh.addresses import check_unicast, is_virtual, show
from common.mesh.configuration import ConfigurationChange, NodeConfiguration
from common.recording import Recording
from firmware_bridge.access.generic_onoff import OnOffGet, OnOffStatus
from firmware_bridge.access.link_monitor import MonitorGet, MonitorStatus
from firmware_bridge.access.message import build
from firmware_bridge.access.opcodes import check_payload, split
from firmware_bridge.event_queue import EventQueue
from firmware_bridge.link import Event, LinkDown, LinkUp
from firmware_bridge.replay_events import Neighbourhood, beginning, happenings

READ_S: Final = 0.05
"""What reading a configuration takes: it was not recorded."""

USUAL_TRIP_S: Final = 0.05
"""A round trip to a node that was not asked in the recording."""

TIMEOUT_S: Final = 4.0


class FastClock:
    """Another clock, `speed` times as fast from the moment it is made; wall time starts at `wall`."""

    def __init__(self, clock: Clock, speed: float, wall: float | None = None) -> None:
        if not 1e-3 <= speed <= 1e6:
            raise Misconfigured(f"speed {speed}", "use 0.001 to 1,000,000")
        self._clock, self._speed = clock, speed
        self._start = clock.monotonic()
        self._wall = clock.wall() if wall is None else wall

    def wall(self) -> float:
        return self._wall + self.monotonic()

    def monotonic(self) -> float:
        return (self._clock.monotonic() - self._start) * self._speed

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds / self._speed)


class ReplayLink:
    """The gateway of `recording`, whose time begins when the link is opened. Ends with a LinkDown."""

    def __init__(self, recording: Recording, clock: Clock | None = None, *, queue_limit: int = 4096) -> None:
        self.address = recording.header.address
        self._recording = recording
        self._clock: Clock = clock or SystemClock()
        self._queue_limit = queue_limit
        self._queue = EventQueue(queue_limit)
        self._known = Neighbourhood()
        self._up = self._opened = False
        self._ended = asyncio.Event()
        self._driver: asyncio.Task[None] | None = None

    @property
    def dropped_events(self) -> int:
        """Events that a slow consumer lost."""
        return self._queue.dropped

    async def open(self) -> None:
        if self._opened:
            return
        if not self._recording.entries:
            raise Misconfigured("nothing was recorded", "record a stretch in which the gateway was running")
        if self._queue.closed:
            self._queue = EventQueue(self._queue_limit)
        self._known = beginning(self._recording)
        self._ended = asyncio.Event()
        self._opened = self._up = True
        self._queue.put(LinkUp(self._clock.monotonic(), self.address))
        # Owned by the link from here to `close`: a task group cannot span two calls.
        self._driver = asyncio.create_task(self._drive(), name=f"replay of {self._recording.header.site}")

    async def close(self) -> None:
        self._opened = self._up = False
        self._ended.set()
        self._queue.close()
        if self._driver is not None:
            self._driver.cancel()
            await asyncio.gather(self._driver, return_exceptions=True)

    def events(self) -> AsyncIterator[Event]:
        return self._queue

    async def configure(self, address: int, change: ConfigurationChange) -> NodeConfiguration:
        check_unicast(address)
        self._require_up()
        if change:
            raise NotSupported("a recorded site cannot be changed")
        found = self._known.configurations.get(address)
        await self._wait(READ_S if found and self._lives(address) else TIMEOUT_S)
        if found is None or not self._lives(address):
            raise TimedOut(f"{show(address)} did not tell its configuration when this was recorded")
        return found

    async def send(self, destination: int, payload: bytes) -> None:
        check_payload(payload)
        if not 1 <= destination <= 0xFFFF or is_virtual(destination):
            raise Rejected(RejectReason.OUT_OF_RANGE, f"{destination} is no address to send to")
        self._require_up()

    async def request(self, destination: int, payload: bytes, response: int, timeout: float) -> bytes:
        check_payload(payload)
        check_unicast(destination)
        self._require_up()
        answer = _ANSWERS.get((split(payload)[0], response))
        takes = self._known.round_trip_s.get(destination, USUAL_TRIP_S)
        if answer is None or takes >= timeout or not self._answers(destination):
            await self._wait(timeout)
            raise TimedOut(f"{show(destination)} did not answer when this was recorded")
        await self._wait(takes)
        return answer

    async def restart(self, address: int) -> None:
        check_unicast(address)
        self._require_up()
        raise NotSupported("a recorded site cannot be changed")

    async def _drive(self) -> None:
        start = self._clock.monotonic()
        for offset, event in happenings(self._recording, self._known):
            wait = start + offset - self._clock.monotonic()
            if wait > 0:
                await self._clock.sleep(wait)
            if event is not None:
                self._queue.put(_at(event, start))
        await self._clock.sleep(start + self._recording.seconds - self._clock.monotonic())
        self._up = False
        self._ended.set()
        self._queue.put(LinkDown(self._clock.monotonic(), "the recording ends here"))

    async def _wait(self, seconds: float) -> None:
        """Let time pass. Raises Unavailable as soon as the replay ends."""
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        end = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({sleep, end}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            end.cancel()
            await asyncio.gather(sleep, end, return_exceptions=True)
        self._require_up()

    def _lives(self, address: int) -> bool:
        return address not in self._known.dead

    def _answers(self, address: int) -> bool:
        known = address in self._known.configurations or address in self._known.listeners
        return known and self._lives(address) and address not in self._known.unanswered

    def _require_up(self) -> None:
        if not self._up:
            raise Unavailable("the recording is not being replayed")


_ANSWERS: Final = {
    (OnOffGet.OPCODE, OnOffStatus.OPCODE): build(OnOffStatus(False)),
    (MonitorGet.OPCODE, MonitorStatus.OPCODE): build(MonitorStatus()),
}
"""What nodes answer, by the opcodes of question and answer. What their lamps were was not recorded."""


def _at(event: Event, start: float) -> Event:
    """The event in the time of the link's clock."""
    return replace(event, t=start + event.t)
