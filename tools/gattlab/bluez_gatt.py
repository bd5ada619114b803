"""The GATT objects that bluetoothd shows of a connected device (src/gatt-client.c of BlueZ)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar
from uuid import UUID

from bumble.att import ATT_Error
from bumble.device import Connection, Peer
from bumble.gatt import Characteristic
from bumble.gatt_client import CharacteristicProxy, DescriptorProxy, ServiceProxy
from dbus_fast import Variant

from firmware_bridge.bearers.gatt_service import uuid as long_uuid
from tools.gattlab.bluez_objects import (
    CHARACTERISTIC,
    DESCRIPTOR,
    SERVICE,
    BluezError,
    BusObject,
    ObjectTree,
    Reply,
    from_att,
)

ASKED_MTU: Final = 517
"""What bluetoothd asks for on every connection."""

_GENERIC_ACCESS: Final = {"00001800-0000-1000-8000-00805f9b34fb", "00001801-0000-1000-8000-00805f9b34fb"}
_T = TypeVar("_T")
_Flags = Characteristic.Properties
_FLAGS: Final = {
    _Flags.READ: "read",
    _Flags.WRITE_WITHOUT_RESPONSE: "write-without-response",
    _Flags.WRITE: "write",
    _Flags.NOTIFY: "notify",
    _Flags.INDICATE: "indicate",
}


class Subscriptions:
    """Who wants notifications of which characteristic, by path: the daemon's memory, not a connection's.

    A link loss does not clear it. As long as the client's own connection to the bus lives, the daemon
    subscribes again by itself when the device is back: `by_itself` counts that.
    """

    def __init__(self) -> None:
        self.clients: dict[str, set[str]] = {}
        self.by_itself = 0

    def forget(self, client: str) -> None:
        """A client has left the bus."""
        for clients in self.clients.values():
            clients.discard(client)


class RemoteGatt:
    """The services of one connection, from discovery to its end."""

    def __init__(self, path: str, tree: ObjectTree, subscriptions: Subscriptions) -> None:
        self._path = path
        self._tree = tree
        self._subscriptions = subscriptions
        self._paths: list[str] = []
        self._characteristics: dict[str, RemoteCharacteristic] = {}

    async def discover(self, connection: Connection) -> list[str]:
        """Show what the device has; the UUIDs of its services. Renews subscriptions that were not ended."""
        peer = Peer(connection)
        await peer.request_mtu(ASKED_MTU)
        uuids = []
        for service in await peer.discover_services():
            uuid = _uuid(service)
            uuids.append(uuid)
            if uuid not in _GENERIC_ACCESS:
                await self._show_service(service, uuid, connection)
        for path, characteristic in self._characteristics.items():
            if self._subscriptions.clients.get(path):
                self._subscriptions.by_itself += 1
                await characteristic.subscribe()
        return uuids

    def hide(self) -> None:
        """The device was forgotten."""
        for path in self._paths:
            self._tree.remove(path)

    def lost(self) -> None:
        """The connection ended: the objects stay, and refuse everything."""
        for characteristic in self._characteristics.values():
            characteristic.connected = False

    async def unsubscribe_unwanted(self) -> None:
        """Stop the notifications that nobody wants any more."""
        for path, characteristic in self._characteristics.items():
            if not self._subscriptions.clients.get(path):
                await characteristic.unsubscribe()

    async def _show_service(self, service: ServiceProxy, uuid: str, connection: Connection) -> None:
        path = f"{self._path}/service{service.handle:04x}"
        properties = {
            "UUID": Variant("s", uuid),
            "Device": Variant("o", self._path),
            "Primary": Variant("b", True),
            "Includes": Variant("ao", []),
        }
        self._tree.add(BusObject(path, SERVICE, properties, {}))
        self._paths.append(path)
        for proxy in await service.discover_characteristics():
            await proxy.discover_descriptors()
            # BlueZ names a characteristic by the handle of its declaration.
            own = f"{path}/char{proxy.handle - 1:04x}"
            shown = RemoteCharacteristic(own, path, proxy, connection, self._tree, self._subscriptions)
            self._characteristics[own] = shown
            for descriptor in proxy.descriptors:
                self._tree.add(_descriptor(own, descriptor))


class RemoteCharacteristic:
    """One characteristic of a connected device."""

    def __init__(
        self,
        path: str,
        service: str,
        proxy: CharacteristicProxy[bytes],
        connection: Connection,
        tree: ObjectTree,
        subscriptions: Subscriptions,
    ) -> None:
        self.connected = True
        self._path = path
        self._proxy = proxy
        self._room = connection.att_mtu - 3
        self._tree = tree
        self._subscriptions = subscriptions
        self._flags = [name for flag, name in _FLAGS.items() if proxy.properties & flag]
        properties = {
            "UUID": Variant("s", _uuid(proxy)),
            "Service": Variant("o", service),
            "Flags": Variant("as", self._flags),
            "MTU": Variant("q", connection.att_mtu),
            "Value": Variant("ay", b""),
            "Notifying": Variant("b", False),
        }
        methods = {
            "WriteValue": self._write,
            "StartNotify": self._start_notify,
            "StopNotify": self._stop_notify,
        }
        tree.add(BusObject(path, CHARACTERISTIC, properties, methods))

    async def subscribe(self) -> None:
        """Turn notifications on at the device."""
        await self._proxy.subscribe(self._notified)
        self._tree.change(self._path, {"Notifying": Variant("b", True)})

    async def unsubscribe(self) -> None:
        """Turn them off."""
        if self.connected:
            await self._proxy.unsubscribe(self._notified)
        self._tree.change(self._path, {"Notifying": Variant("b", False)})

    def _notified(self, value: bytes) -> None:
        self._tree.change(self._path, {"Value": Variant("ay", bytes(value))})

    async def _write(self, _: str, body: list[Any]) -> None:
        self._check_connected()
        value, options = bytes(body[0]), body[1]
        command = "type" in options and options["type"].value == "command"
        if command and len(value) > self._room:
            raise BluezError("Failed", "Failed to initiate write")
        await _translated(self._proxy.write_value(value, with_response=not command))

    async def _start_notify(self, sender: str, _: list[Any]) -> None:
        self._check_connected()
        if "notify" not in self._flags:
            raise BluezError("NotSupported", "Operation is not supported")
        clients = self._subscriptions.clients.setdefault(self._path, set())
        first = not clients
        clients.add(sender)
        if first:
            await _translated(self.subscribe())

    async def _stop_notify(self, sender: str, _: list[Any]) -> None:
        clients = self._subscriptions.clients.get(self._path, set())
        if sender not in clients:
            raise BluezError("Failed", "No notify session started")
        clients.discard(sender)
        if not clients:
            await self.unsubscribe()

    def _check_connected(self) -> None:
        if not self.connected:
            raise BluezError("NotConnected", "Not Connected")


def _descriptor(characteristic: str, proxy: DescriptorProxy) -> BusObject:
    async def read(_: str, __: list[Any]) -> Reply:
        return "ay", [bytes(await _translated(proxy.read_value()))]

    properties = {
        "UUID": Variant("s", _uuid(proxy)),
        "Characteristic": Variant("o", characteristic),
        "Value": Variant("ay", b""),
    }
    path = f"{characteristic}/desc{proxy.handle:04x}"
    return BusObject(path, DESCRIPTOR, properties, {"ReadValue": read})


async def _translated(operation: Awaitable[_T]) -> _T:
    try:
        return await operation
    except ATT_Error as error:
        raise from_att(error) from error
    except asyncio.CancelledError as error:
        # Bumble cancels what is pending when the connection ends; our own task is not meant.
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        raise BluezError("Failed", "the connection ended") from error


def _uuid(proxy: ServiceProxy | CharacteristicProxy[bytes] | DescriptorProxy) -> str:
    uuid = proxy.type if isinstance(proxy, DescriptorProxy) else proxy.uuid
    raw = uuid.uuid_bytes
    return long_uuid(int.from_bytes(raw, "little")) if len(raw) == 2 else str(UUID(bytes=raw[::-1]))
