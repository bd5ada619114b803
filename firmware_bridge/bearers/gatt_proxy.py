"""The bearer of a gateway without a mesh daemon: to the mesh through a GATT proxy, like a phone, with bleak.

Finds the proxies of the network, keeps one connection up, and tells what passes. It neither sets the proxy's
filter, which takes sequence numbers, nor looks into PDUs: that is for the link above.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random
from typing import Final, NoReturn

from bleak.backends.device import BLEDevice

from common.clock import Clock, SystemClock
from common.errors import MeshtwinError, Rejected, RejectReason, Unavailable
from common.logs import get_logger
from firmware_bridge.bearers.bearer import BearerDown, BearerEvent, BearerUp, PduReceived
from firmware_bridge.bearers.event_queue import BearerEvents
from firmware_bridge.bearers.gatt_connection import GattConnection
from firmware_bridge.bearers.gatt_leftovers import free_leftovers
from firmware_bridge.bearers.gatt_liveness import Liveness
from firmware_bridge.bearers.gatt_scan import Found, ProxyScan, Recognise, look
from firmware_bridge.bearers.gatt_service import PROXY
from firmware_bridge.bearers.proxy_choice import STABLE_S, Pauses, ProxyHistory, Sighting, choose
from firmware_bridge.stack.proxy import PduType

OPEN_TIMEOUT_S: Final = 10.0
CLOSE_AGAIN_S: Final = 8.0
"""Longer than a connection takes to end."""


@dataclass(frozen=True, slots=True)
class GattProxySettings:
    """Times in seconds. `adapter` is such as "hci0"; None takes the first that is powered.

    A scan ends `settle_s` after the first proxy was heard, so that nearer ones are heard, too, and after
    `scan_s` at the latest.
    """

    adapter: str | None = None
    scan_s: float = 10.0
    settle_s: float = 1.0
    connect_s: float = 15.0
    pauses: Pauses = field(default_factory=Pauses)
    liveness: Liveness = field(default_factory=Liveness)


class GattProxyBearer:
    """See `bearers.bearer.ChoosingBearer`. `recognise` tells which proxies are of our network; see
    `gatt_scan.of_networks`.

    `refused` counts, by reason, connections that were ended because the proxy broke the proxy protocol.
    One bearer a network and machine: it ends connections to that network which nobody of its own holds, as a
    killed process leaves them.
    """

    def __init__(
        self,
        recognise: Recognise,
        settings: GattProxySettings | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self.history = ProxyHistory()
        self.refused: Counter[RejectReason] = Counter()
        self._recognise = recognise
        self._settings = settings or GattProxySettings()
        self._clock = clock or SystemClock()
        self._random = random or Random()
        self._log = get_logger(__name__)
        self._events = BearerEvents()
        self._owner: asyncio.Task[None] | None = None
        self._listening: asyncio.Future[None] | None = None
        self._connection: GattConnection | None = None
        self._attempts = 0
        self._closing = False
        self._found_some = False
        self._distrusted = False
        self._last_reason = ""

    @property
    def dropped(self) -> int:
        """PDUs that nobody took in time."""
        return self._events.dropped

    async def open(self) -> None:
        if self._owner is not None:
            return
        if self._events.closed:
            self._events = BearerEvents()
        self._closing = self._found_some = False
        self._listening = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._run(), name="gatt proxy bearer")
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await self._listening
        except TimeoutError as error:
            await self.close()
            raise Unavailable("bluetoothd does not answer") from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        self._closing = True
        while self._owner is not None and not self._owner.done():
            # Once may not be enough: see `common.tasks.uncancelled`.
            self._owner.cancel()
            await asyncio.wait([self._owner], timeout=CLOSE_AGAIN_S)
        self._owner = None
        self._events.close()

    def events(self) -> AsyncIterator[BearerEvent]:
        return self._events

    async def send(self, kind: PduType, data: bytes) -> None:
        connection = self._connection
        if connection is None:
            raise Unavailable("there is no connection to a proxy")
        await connection.send(kind, data)

    def distrust(self, reason: str) -> None:
        connection = self._connection
        if connection is not None:
            self._distrusted = True
            connection.end(Unavailable(reason))

    async def _run(self) -> None:
        try:
            while True:
                await self._attempt()
                if self._closing:
                    return
                pause = self._settings.pauses.after(self._attempts, self._random.random())
                await self._clock.sleep(pause)
        except Exception:
            # A bug: the consumer sees the events end instead of waiting for ever.
            self._log.exception("gatt-proxy-failed")
            self._events.close()
            raise

    async def _attempt(self) -> None:
        """Scan, choose, connect and serve, until that ends, which it always does by an error."""
        self._attempts += 1
        try:
            await self._session(await self._look())
        except MeshtwinError as error:
            if isinstance(error, Rejected):
                self.refused[error.reason] += 1
            if self._listening is not None and not self._listening.done():
                self._listening.set_exception(error)
            # What stays the same is told once.
            log = self._log.debug if str(error) == self._last_reason else self._log.info
            log("proxy-attempt-ended", attempt=self._attempts, reason=error)
            self._last_reason = str(error)

    async def _look(self) -> list[Found]:
        settings = self._settings
        if not self._found_some:
            await free_leftovers(self._recognise)
        scan = ProxyScan(self._recognise, self._clock)
        found = await look(scan, settings.scan_s, settings.settle_s, settings.adapter, self._started)
        self._found_some = bool(found)
        if scan.ignored:
            self._log.warning("advertisements-ignored", count=scan.ignored)
        return found

    def _started(self) -> None:
        if self._listening is not None and not self._listening.done():
            self._listening.set_result(None)

    async def _session(self, found: list[Found]) -> NoReturn:
        by_sighting = {each.sighting: each.device for each in found}
        chosen = choose(by_sighting, self.history, self._clock.monotonic())
        if chosen is None:
            raise Unavailable("no proxy of the network is in reach")
        lasted_s = 0.0
        try:
            async with self._connection_to(by_sighting[chosen]) as connection:
                begun = self._clock.monotonic()
                try:
                    await self._serve(connection, chosen)
                finally:
                    # Silence at the end is no merit.
                    lasted_s = 0.0 if self._distrusted else connection.heard_at - begun
        except MeshtwinError:
            self._note(chosen.who, lasted_s)
            raise
        raise AssertionError("serving always ends by an error")

    def _connection_to(self, device: BLEDevice) -> GattConnection:
        return GattConnection(
            device,
            PROXY,
            self._received,
            self._clock,
            liveness=self._settings.liveness,
            connect_s=self._settings.connect_s,
        )

    async def _serve(self, connection: GattConnection, proxy: Sighting) -> NoReturn:
        self._log.info("proxy-connected", peer=proxy.device, who=proxy.who, rssi=proxy.rssi)
        self._connection, self._distrusted = connection, False
        self._events.put(BearerUp(proxy.who, filters=True))
        reason = "closed"
        try:
            await connection.run()
        except MeshtwinError as error:
            reason = str(error)
            raise
        finally:
            self._connection = None
            self._events.put(BearerDown(reason))

    def _note(self, who: str, lasted_s: float) -> None:
        """Let history know of a connection that carried PDUs for so long, or never was."""
        self.history.ended(who, lasted_s, self._clock.monotonic())
        if lasted_s >= STABLE_S:
            self._attempts = 1

    def _received(self, kind: PduType, data: bytes) -> None:
        self._events.put(PduReceived(kind, data))
