"""Virtual Bluetooth radios on one link, and the one that bluetoothd uses: it listens and connects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bumble.controller import Controller
from bumble.core import AdvertisingData
from bumble.device import Advertisement, Connection, Device
from bumble.hci import Address
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport.common import AsyncPipeSink

USUAL_RSSI: Final = -60
_SERVICE_DATA: Final = AdvertisingData.Type.SERVICE_DATA_16_BIT_UUID
_UUIDS: Final = AdvertisingData.Type.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS
_NAME: Final = AdvertisingData.Type.COMPLETE_LOCAL_NAME


@dataclass(frozen=True, slots=True)
class Heard:
    """An advertisement. Services are 16-bit UUIDs."""

    address: str
    rssi: int
    services: tuple[int, ...]
    service_data: dict[int, bytes]
    name: str | None


Hearer = Callable[[Heard], None]


class VirtualDevice(Device):
    """A device on the link, by its random address. While `mute` it keeps its connections and answers
    nothing."""

    def __init__(self, link: LocalLink, address: str, name: str) -> None:
        controller = Controller(name, link=link, public_address=address)
        super().__init__(
            name=name, address=Address(address), host=Host(controller, AsyncPipeSink(controller))
        )
        self.mute = False

    def on_gatt_pdu(self, connection: Connection, pdu: bytes) -> None:
        if not self.mute:
            super().on_gatt_pdu(connection, pdu)


class Radio:
    """The adapter's radio. `strengths` gives the dBm that an address is heard with: Bumble knows one only."""

    def __init__(self, link: LocalLink, address: str) -> None:
        self.device = VirtualDevice(link, address, "adapter")
        self.strengths: dict[str, int] = {}
        self._hearers: list[Hearer] = []
        self._switch = asyncio.Lock()
        self.device.on("advertisement", self._advertised)

    async def start(self) -> None:
        await self.device.power_on()

    async def stop(self) -> None:
        """End connections and listening."""
        self._hearers.clear()
        await self._set_scanning()
        for connection in list(self.device.connections.values()):
            await connection.disconnect()
        await self.device.power_off()

    async def listen(self, hearer: Hearer) -> None:
        """Tell `hearer` of every advertisement from now on."""
        self._hearers.append(hearer)
        await self._set_scanning()

    async def unlisten(self, hearer: Hearer) -> None:
        """No more. Nothing happens if it did not listen."""
        if hearer in self._hearers:
            self._hearers.remove(hearer)
        await self._set_scanning()

    async def connect(self, address: str) -> Connection:
        """Connect once the address advertises; waits for ever for one that does not. May be cancelled."""
        near = asyncio.Event()

        def hearer(heard: Heard) -> None:
            if heard.address == address:
                near.set()

        await self.listen(hearer)
        try:
            await near.wait()
        finally:
            await self.unlisten(hearer)
        return await self.device.connect(Address(address, Address.RANDOM_DEVICE_ADDRESS))

    async def _set_scanning(self) -> None:
        async with self._switch:
            if self._hearers and not self.device.scanning:
                await self.device.start_scanning(legacy=True)
            elif not self._hearers and self.device.scanning:
                await self.device.stop_scanning(legacy=True)

    def _advertised(self, advertisement: Advertisement) -> None:
        address = advertisement.address.to_string(False)
        heard = _parse(advertisement.data, address, self.strengths.get(address, USUAL_RSSI))
        for hearer in list(self._hearers):
            hearer(heard)


def _parse(data: AdvertisingData, address: str, rssi: int) -> Heard:
    services: list[int] = []
    service_data: dict[int, bytes] = {}
    name = None
    for kind, value in data.ad_structures:
        if kind == _UUIDS:
            services += [int.from_bytes(value[i : i + 2], "little") for i in range(0, len(value), 2)]
        elif kind == _SERVICE_DATA:
            service_data[int.from_bytes(value[:2], "little")] = bytes(value[2:])
        elif kind == _NAME:
            name = bytes(value).decode("utf-8", "replace")
    return Heard(address, rssi, tuple(services), service_data, name)
