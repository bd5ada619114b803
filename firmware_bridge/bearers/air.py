"""The lab's software air as a bearer: our node is one more among the daemons that meet there.

Node n sends [AD type][data] to DIR/air.n and receives [length][AD type][data] at DIR/node.n, both Unix
datagram sockets; an advertisement has 31 bytes at most. There is no signal strength. Nothing here starts an
air, and no real radio works like this: gateways use a GATT proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.clock import Clock, SystemClock
from common.errors import MeshtwinError, Misconfigured, Rejected, RejectReason, Unavailable
from common.mesh.configuration import Transmit
from common.tasks import together
from firmware_bridge.bearers.bearer import BearerDown, BearerEvent, BearerUp, PduReceived
from firmware_bridge.bearers.event_queue import BearerEvents
from firmware_bridge.stack.proxy import PduType

MAX_DATA: Final = 29
WAITING: Final = 64
"""Transmissions that wait for their turn; when so many do, `send` waits."""

USUAL_PACE: Final = Transmit(2, 20)
GAP_S: Final = 0.003
"""Between two advertisements of one radio. A listener's socket holds ten of them."""

_AD_TYPES: Final = {PduType.PROVISIONING: 0x29, PduType.NETWORK: 0x2A, PduType.BEACON: 0x2B}
_KINDS: Final = {ad_type: kind for kind, ad_type in _AD_TYPES.items()}
_LOOK_S: Final = 0.2
_READS_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class AirPlace:
    """Which node of which air we are."""

    folder: Path
    node: int

    @property
    def ours(self) -> Path:
        """Where the air sends to."""
        return self.folder / f"node.{self.node}"

    @property
    def theirs(self) -> Path:
        """Where we send to."""
        return self.folder / f"air.{self.node}"


@dataclass(slots=True)
class _Advertisement:
    """A datagram that goes out `left` more times, next at `due`."""

    datagram: bytes
    left: int
    interval_s: float
    due: float


class AirBearer:
    """See `bearers.bearer.AdvertisingBearer`. `network_transmit` is how often PDUs go out, and how far apart;
    beacons and provisioning PDUs go out once."""

    def __init__(
        self, place: AirPlace, network_transmit: Transmit = USUAL_PACE, clock: Clock | None = None
    ) -> None:
        self.network_transmit = network_transmit
        self._place = place
        self._clock = clock or SystemClock()
        self._events = BearerEvents()
        self._waiting: deque[_Advertisement] = deque()
        self._room = asyncio.Event()
        self._work = asyncio.Event()
        self._inbox: socket.socket | None = None
        self._outbox: socket.socket | None = None
        self._owner: asyncio.Task[None] | None = None

    @property
    def dropped(self) -> int:
        """PDUs that nobody read in time."""
        return self._events.dropped

    async def open(self) -> None:
        if self._owner is not None:
            return
        if self._events.closed:
            self._events = BearerEvents()
        try:
            self._inbox = _bound(self._place.ours)
        except OSError as error:
            raise Misconfigured(
                f"there is no air in {self._place.folder}: {error.strerror or error}",
                "name the folder of sockets of a running lab",
            ) from error
        asyncio.get_running_loop().add_reader(self._inbox.fileno(), self._read)
        self._owner = asyncio.create_task(self._run())

    async def close(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.cancel()
            await asyncio.gather(owner, return_exceptions=True)
        if self._inbox is not None:
            asyncio.get_running_loop().remove_reader(self._inbox.fileno())
            self._inbox.close()
            self._inbox = None
            with contextlib.suppress(OSError):
                self._place.ours.unlink()
        self._disconnect()
        self._events.close()

    def events(self) -> AsyncIterator[BearerEvent]:
        return self._events

    async def send(self, kind: PduType, data: bytes, transmit: Transmit | None = None) -> None:
        """Put a PDU on air; `transmit` replaces network transmit for this one.

        Raises Unavailable while there is no air, Rejected for what no advertisement carries.
        """
        ad_type = _AD_TYPES.get(kind)
        if ad_type is None or not 1 <= len(data) <= MAX_DATA:
            raise Rejected(RejectReason.OVERSIZED, f"{kind.name} of {len(data)} bytes in an advertisement")
        while len(self._waiting) >= WAITING and self._outbox is not None:
            self._room.clear()
            await self._room.wait()
        if self._outbox is None:
            raise Unavailable("the air is away")
        pace = transmit or (self.network_transmit if kind is PduType.NETWORK else Transmit(1, 10))
        self._waiting.append(
            _Advertisement(
                bytes((ad_type,)) + data, pace.count, pace.interval_ms / 1000, self._clock.monotonic()
            )
        )
        self._work.set()

    async def _run(self) -> None:
        """The bearer's own task. A bug in it ends the events, so that the consumer notices."""
        try:
            while True:
                await self._attempt()
                await asyncio.sleep(_LOOK_S)
        except Exception:
            self._events.close()
            raise

    async def _attempt(self) -> None:
        """Look for the air, and transmit while it is there."""
        try:
            self._outbox = _connected(self._place.theirs)
            self._events.put(BearerUp(f"air node {self._place.node}", filters=False))
            async with together() as tasks:
                tasks.create_task(self._transmit())
                tasks.create_task(self._look_after())
        except MeshtwinError as error:
            if self._outbox is not None:
                self._events.put(BearerDown(str(error)))
            self._disconnect()

    async def _look_after(self) -> None:
        """End when the air does: an idle datagram socket tells nothing."""
        while True:
            await asyncio.sleep(_LOOK_S)
            _connected(self._place.theirs).close()

    async def _transmit(self) -> None:
        while True:
            while not self._waiting:
                self._work.clear()
                await self._work.wait()
            now = self._clock.monotonic()
            next_one = min(self._waiting, key=lambda waiting: waiting.due)
            if next_one.due > now:
                await self._until_due(next_one.due - now)
                continue
            self._put_on_air(next_one, now)
            await asyncio.sleep(GAP_S)

    async def _until_due(self, seconds: float) -> None:
        self._work.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._work.wait()
        except TimeoutError:
            pass  # it is due

    def _put_on_air(self, advertisement: _Advertisement, now: float) -> None:
        assert self._outbox is not None
        try:
            self._outbox.send(advertisement.datagram)
        except BlockingIOError:
            pass  # the air's own queue is full: lost like any other transmission
        except OSError as error:
            raise Unavailable(f"the air went away: {error.strerror or error}") from error
        advertisement.left -= 1
        advertisement.due = now + advertisement.interval_s
        if advertisement.left == 0:
            self._waiting.remove(advertisement)
            self._room.set()

    def _read(self) -> None:
        assert self._inbox is not None
        for _ in range(_READS_AT_ONCE):
            try:
                datagram = self._inbox.recv(64)
            except OSError:
                return  # nothing more now
            if len(datagram) < 3 or datagram[0] != len(datagram) - 1:
                continue  # the air's own questions, and noise
            kind = _KINDS.get(datagram[1])
            if kind is not None and self._outbox is not None:
                self._events.put(PduReceived(kind, datagram[2:]))

    def _disconnect(self) -> None:
        if self._outbox is not None:
            self._outbox.close()
            self._outbox = None
        self._waiting.clear()
        self._room.set()


def _bound(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # of a process that was killed
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        inbox.bind(str(path))
    except OSError:
        inbox.close()
        raise
    return inbox


def _connected(path: Path) -> socket.socket:
    """A socket that sends to the air. Raises Unavailable."""
    outbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        outbox.connect(str(path))
    except OSError as error:
        outbox.close()
        raise Unavailable(f"the air is away: {error.strerror or error}") from error
    return outbox
