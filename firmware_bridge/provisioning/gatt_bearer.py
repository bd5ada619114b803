"""PB-GATT through bleak: devices that offer the Mesh Provisioning Service, and a connection to one (7.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from common.clock import Clock, SystemClock
from common.errors import Unavailable
from common.tasks import together
from firmware_bridge.bearers.gatt_connection import GattConnection
from firmware_bridge.bearers.gatt_discovery import listening
from firmware_bridge.bearers.gatt_liveness import Liveness
from firmware_bridge.bearers.gatt_service import PROVISIONING
from firmware_bridge.provisioning import beacon
from firmware_bridge.provisioning.bearer import Heard
from firmware_bridge.provisioning.pb_gatt import GattLink
from firmware_bridge.stack.proxy import PduType

FIND_S: Final = 20.0
CONNECT_S: Final = 15.0
MAX_WAITING: Final = 16
"""PDUs that wait to be read; then the oldest go, counted."""

Look = Callable[[BLEDevice, Heard], None]


class GattBearer:
    """See `bearer.ProvisioningBearer` (5.2.2). `adapter` is such as "hci0"; None takes a powered one."""

    name = "PB-GATT"

    def __init__(self, adapter: str | None = None, clock: Clock | None = None) -> None:
        self._adapter = adapter
        self._clock = clock or SystemClock()

    async def scan(self, heard: Callable[[Heard], None]) -> None:
        async with self._listening(lambda _, found: heard(found)):
            await asyncio.Event().wait()

    @asynccontextmanager
    async def connect(self, uuid: bytes) -> AsyncIterator[tuple[GattLink, GattWire]]:
        device = await self._find(uuid)
        wire = GattWire()
        async with (
            GattConnection(
                device, PROVISIONING, wire.heard, self._clock, liveness=Liveness(), connect_s=CONNECT_S
            ) as connection,
            together() as tasks,
        ):
            wire.connection = connection
            serving = tasks.create_task(connection.run())
            try:
                yield GattLink(), wire
            finally:
                serving.cancel()

    async def _find(self, uuid: bytes) -> BLEDevice:
        """The device with this UUID. Raises Unavailable when it is not heard, Misconfigured."""
        found: asyncio.Future[BLEDevice] = asyncio.get_running_loop().create_future()

        def look(device: BLEDevice, heard: Heard) -> None:
            if heard.device.uuid == uuid and not found.done():
                found.set_result(device)

        async with self._listening(look):
            try:
                async with asyncio.timeout(FIND_S):
                    return await found
            except TimeoutError:
                raise Unavailable(f"no device {uuid.hex()} offers to be provisioned over GATT") from None

    def _listening(self, look: Look) -> AbstractAsyncContextManager[None]:
        def heard(device: BLEDevice, advertisement: AdvertisementData) -> None:
            data = advertisement.service_data.get(PROVISIONING.service, b"")
            if (said := beacon.parse_service_data(bytes(data))) is not None:
                look(device, Heard(said, advertisement.rssi))

        return listening(heard, self._adapter)


class GattWire:
    """See `bearer.Wire`: whole provisioning PDUs of one connection."""

    def __init__(self) -> None:
        self.dropped = 0
        self.connection: GattConnection | None = None
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue(MAX_WAITING)

    async def send(self, data: bytes) -> None:
        assert self.connection is not None
        await self.connection.send(PduType.PROVISIONING, data)

    async def receive(self) -> bytes:
        return await self._arrived.get()

    def heard(self, kind: PduType, data: bytes) -> None:
        """Take a PDU that the connection brought."""
        if kind is not PduType.PROVISIONING:
            return
        if self._arrived.full():
            self._arrived.get_nowait()
            self.dropped += 1
        self._arrived.put_nowait(data)
