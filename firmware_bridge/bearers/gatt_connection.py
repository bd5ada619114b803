"""One connection to a proxy, from connect to disconnect: PDUs in pieces both ways, and whether it lives.

Never reconnects: its holder makes a fresh one. What the PDUs say is not looked at.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, NoReturn, Self

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.exc import BleakGATTProtocolError

from common.clock import Clock
from common.errors import MeshtwinError, NotSupported, Rejected, RejectReason, Unavailable
from common.logs import get_logger
from common.tasks import together
from firmware_bridge.bearers.gatt_errors import translated
from firmware_bridge.bearers.gatt_liveness import Check, Liveness, until_bluetoothd_goes
from firmware_bridge.bearers.gatt_service import SUBSCRIPTION, GattService
from firmware_bridge.bearers.pdu_writer import PduWriter
from firmware_bridge.stack.proxy import Joiner, PduType, split

WRITE_TIMEOUT_S: Final = 5.0
DISCONNECT_TIMEOUT_S: Final = 5.0
_EARLY: Final = 64
"""Pieces kept that come before `run`: the proxy's beacons are sent while we subscribe."""

_log = get_logger(__name__)
Sink = Callable[[PduType, bytes], None]


class GattConnection:
    """`async with GattConnection(…) as connection` connects and subscribes; `run` then serves it.

    `sink` gets every whole PDU in order, once `run` is called; those that came before are kept for it.
    Entering raises Unavailable, TimedOut, or NotSupported where the device lacks the service. Leaving always
    disconnects, also a client that was dropped: otherwise bluetoothd would subscribe by itself at the next
    connect, and the beacon that the proxy then sends would be lost.
    """

    def __init__(
        self,
        device: BLEDevice,
        service: GattService,
        sink: Sink,
        clock: Clock,
        *,
        liveness: Liveness,
        connect_s: float,
    ) -> None:
        self._service = service
        self._sink = sink
        self._clock = clock
        self._liveness = liveness
        self._connect_s = connect_s
        self._client = BleakClient(device, self._dropped, services=[service.service], timeout=connect_s)
        self._joiner = Joiner()
        self._writer = PduWriter(self._write)
        self._early: deque[bytes] | None = deque(maxlen=_EARLY)
        self._over = asyncio.Event()
        self._reason: MeshtwinError = Unavailable("the connection is closed")
        self._heard = self._answered = clock.monotonic()

    async def __aenter__(self) -> Self:
        try:
            with translated(f"connect to {self._client.address}"):
                # bleak's own limit covers the attempt, but not its clean-up when bluetoothd hangs.
                async with asyncio.timeout(self._connect_s + DISCONNECT_TIMEOUT_S):
                    await self._client.connect()
                    await self._subscribe()
        except BaseException:
            await self._disconnect()
            raise
        self._heard = self._answered = self._clock.monotonic()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._disconnect()

    @property
    def room(self) -> int:
        """Bytes that fit a write: the negotiated ATT MTU − 3. More fails with "Failed to initiate write"."""
        return self._data_in.max_write_without_response_size

    @property
    def heard_at(self) -> float:
        """When the last PDU came, or else the connection, on the monotonic clock."""
        return self._heard

    async def send(self, kind: PduType, data: bytes) -> None:
        """Write a whole PDU, in as many pieces as it takes. Raises Unavailable; may be cancelled."""
        await self._writer.send(split(kind, data, self.room))

    async def run(self) -> NoReturn:
        """Serve the connection until it ends; always raises why: Unavailable, TimedOut, or Rejected for a
        proxy that breaks the rules of pieces (6.3.2.2)."""
        self._take_early()
        async with together() as tasks:
            tasks.create_task(self._writer.run())
            tasks.create_task(self._watch_over())
            tasks.create_task(self._watch_silence())
            tasks.create_task(until_bluetoothd_goes())
        raise AssertionError("none of the tasks returns")

    async def _subscribe(self) -> None:
        service = self._client.services.get_service(self._service.service)
        if service is None:
            raise NotSupported(f"{self._client.address} has no service {self._service.service}")
        data_in = service.get_characteristic(self._service.data_in)
        data_out = service.get_characteristic(self._service.data_out)
        if data_in is None or data_out is None:
            raise NotSupported(f"{self._client.address} lacks a characteristic of {self._service.service}")
        self._data_in = data_in
        self._descriptor = data_out.get_descriptor(SUBSCRIPTION)
        await self._client.start_notify(data_out, self._notified)

    def _notified(self, _: BleakGATTCharacteristic, data: bytearray) -> None:
        if self._early is not None:
            self._early.append(bytes(data))
        else:
            self._take(bytes(data))

    def _take_early(self) -> None:
        early, self._early = self._early, None
        for piece in early or ():
            self._take(piece)

    def _take(self, piece: bytes) -> None:
        if self._over.is_set():
            return
        self._heard = self._clock.monotonic()
        try:
            whole = self._joiner.take(piece, self._heard)
        except Rejected as error:
            self.end(error)
            return
        if whole is not None:
            self._sink(*whole)

    def _dropped(self, _: BleakClient) -> None:
        self.end(Unavailable("the proxy, or the way to it, dropped the connection"))

    def end(self, reason: MeshtwinError) -> None:
        """Let `run` raise `reason`, unless it has one already."""
        if not self._over.is_set():
            self._reason = reason
            self._over.set()

    async def _watch_over(self) -> NoReturn:
        await self._over.wait()
        raise self._reason

    async def _watch_silence(self) -> NoReturn:
        while True:
            check, again_s = self._liveness.check(self._heard, self._answered, self._clock.monotonic())
            if check is Check.GIVE_UP:
                raise Unavailable(f"nothing was heard for {self._liveness.silence_s:g} s")
            if check is Check.ASK:
                await self._ask()
            if self._joiner.overdue(self._clock.monotonic()):
                raise Rejected(RejectReason.EXPIRED, "the rest of a proxy PDU did not come")
            await self._clock.sleep(again_s)

    async def _ask(self) -> None:
        """Let the proxy answer over the air whether we are subscribed. Raises Unavailable, TimedOut."""
        if self._descriptor is None:
            return
        with translated("ask whether the proxy is there"):
            async with asyncio.timeout(self._liveness.answer_s):
                value = await self._read(self._descriptor)
        if value and not value[0] & 1:
            raise Unavailable("the proxy forgot that we subscribed")
        self._answered = self._clock.monotonic()

    async def _read(self, descriptor: BleakGATTDescriptor) -> bytes:
        try:
            return bytes(await self._client.read_gatt_descriptor(descriptor))
        except BleakGATTProtocolError:
            return b""  # a refusal is an answer

    async def _write(self, piece: bytes) -> None:
        with translated("write"):
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._client.write_gatt_char(self._data_in, piece, response=False)

    async def _disconnect(self) -> None:
        self.end(Unavailable("the connection is closed"))
        try:
            with translated("disconnect"):
                async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                    await self._client.disconnect()
        except MeshtwinError as error:
            # Must not take the place of what ended the connection. bleak has released its side all the same.
            _log.debug("disconnect-failed", peer=self._client.address, reason=error)
