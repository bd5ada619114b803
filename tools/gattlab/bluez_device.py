"""A device that bluetoothd heard: connect, disconnect, and being forgotten (src/device.c of BlueZ)."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from bumble.device import Connection
from dbus_fast import Variant

from firmware_bridge.bearers.gatt_service import uuid
from tools.gattlab.bluez_gatt import RemoteGatt, Subscriptions
from tools.gattlab.bluez_objects import DEVICE, BluezError, BusObject, ObjectTree, Properties
from tools.gattlab.radio import Heard, Radio

REMEMBERED_S: Final = 30.0
"""How long a device that was only heard is kept."""


class RemoteDevice:
    """One address, from when it is first heard until it is forgotten."""

    def __init__(
        self, adapter: str, heard: Heard, radio: Radio, tree: ObjectTree, subscriptions: Subscriptions
    ) -> None:
        self.address = heard.address
        self.path = f"{adapter}/dev_{heard.address.replace(':', '_')}"
        self.last_heard = asyncio.get_running_loop().time()
        self._radio = radio
        self._tree = tree
        self._subscriptions = subscriptions
        self._gatt: RemoteGatt | None = None
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Any] | None = None
        self._ended = asyncio.Event()
        methods = {"Connect": self._connect, "Disconnect": self._disconnect}
        tree.add(BusObject(self.path, DEVICE, _first(adapter, heard), methods))

    @property
    def connected(self) -> bool:
        return self._connection is not None

    def hear(self, heard: Heard) -> None:
        """Tell what changed since the last advertisement, as for a discovery without duplicates."""
        self.last_heard = asyncio.get_running_loop().time()
        shown = self._tree.find(self.path)
        if shown is not None:
            fresh = _of(heard)
            self._tree.change(self.path, {k: v for k, v in fresh.items() if shown.properties.get(k) != v})

    def unheard(self) -> None:
        """Discovery ended: signal strength is no longer known."""
        self._tree.change(self.path, {}, ["RSSI"])

    async def unsubscribe_unwanted(self) -> None:
        """A client left the bus."""
        if self._gatt is not None and self.connected:
            await self._gatt.unsubscribe_unwanted()

    def forget(self) -> None:
        """Take everything off the bus."""
        self._tree.remove(self.path)

    async def _connect(self, _: str, __: list[Any]) -> None:
        if self._connecting is not None:
            raise BluezError("InProgress", "Operation already in progress")
        if self.connected:
            return
        self._connecting = asyncio.current_task()
        try:
            await self._establish()
        except asyncio.CancelledError as error:
            raise BluezError("Failed", "le-connection-abort-by-local") from error
        finally:
            self._connecting = None

    async def _establish(self) -> None:
        """Ends by a cancellation where Disconnect, or the device, is quicker."""
        connection = await self._radio.connect(self.address)
        self._connection = connection
        self._ended.clear()
        connection.on("disconnection", self._lost)
        self._tree.change(self.path, {"Connected": Variant("b", True)})
        if self._gatt is not None:
            self._gatt.hide()
        self._gatt = RemoteGatt(self.path, self._tree, self._subscriptions)
        uuids = await self._gatt.discover(connection)
        if not self.connected:
            raise asyncio.CancelledError
        resolved = {"ServicesResolved": Variant("b", True), "UUIDs": Variant("as", uuids)}
        self._tree.change(self.path, resolved)

    def _lost(self, _: int) -> None:
        self._connection = None
        self._ended.set()
        if self._gatt is not None:
            self._gatt.lost()
        if self._connecting is not None:
            self._connecting.cancel()
        ended = {"ServicesResolved": Variant("b", False), "Connected": Variant("b", False)}
        self._tree.change(self.path, ended)

    async def _disconnect(self, _: str, __: list[Any]) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            await self._connection.disconnect()
            await self._ended.wait()
        elif self._connecting is None:
            raise BluezError("NotConnected", "Not Connected")


def _first(adapter: str, heard: Heard) -> Properties:
    return {
        "Address": Variant("s", heard.address),
        "AddressType": Variant("s", "random"),
        "Alias": Variant("s", heard.address.replace(":", "-")),
        "Adapter": Variant("o", adapter),
        "Paired": Variant("b", False),
        "Bonded": Variant("b", False),
        "Trusted": Variant("b", False),
        "Blocked": Variant("b", False),
        "LegacyPairing": Variant("b", False),
        "Connected": Variant("b", False),
        "ServicesResolved": Variant("b", False),
        **_of(heard),
    }


def _of(heard: Heard) -> Properties:
    data = {uuid(service): Variant("ay", value) for service, value in heard.service_data.items()}
    name = {} if heard.name is None else {"Name": Variant("s", heard.name)}
    return {
        "RSSI": Variant("n", heard.rssi),
        "UUIDs": Variant("as", [uuid(service) for service in heard.services]),
        "ServiceData": Variant("a{sv}", data),
        **name,
    }
