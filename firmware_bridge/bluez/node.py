"""Calls on an attached node: `Node1` and `Management1` of `bluetooth-meshd`."""

from __future__ import annotations

from typing import Final

from dbus_fast import Variant

from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.opcodes import check_payload
from firmware_bridge.bluez.application import ELEMENT
from firmware_bridge.bluez.bus import Bus

_NODE: Final = "org.bluez.mesh.Node1"
_MANAGEMENT: Final = "org.bluez.mesh.Management1"


class AttachedNode:
    """Our node while its daemon has us attached. Every call raises Unavailable once the daemon is gone."""

    def __init__(self, bus: Bus, daemon: str, path: str, address: int) -> None:
        self._bus = bus
        self._daemon = daemon
        self._path = path
        self.address = address

    async def send(self, destination: int, payload: bytes, key_index: int) -> None:
        """Send under an application key with the node's default TTL. Raises Rejected, Unavailable."""
        body = [ELEMENT, destination, key_index, {}, check_payload(payload)]
        await self._bus.call(self._daemon, self._path, _NODE, "Send", "oqqa{sv}ay", body)

    async def send_with_device_key(self, destination: int, payload: bytes) -> None:
        """Send to a node (ourselves too) under that node's device key.

        Raises NotKnown where the key was not imported, Rejected, Unavailable.
        """
        body = [ELEMENT, destination, True, 0, {}, check_payload(payload)]
        await self._bus.call(self._daemon, self._path, _NODE, "DevKeySend", "oqbqa{sv}ay", body)

    async def publish(self, model: ModelId, payload: bytes) -> None:
        """Publish as the model's publication state says. Raises NotKnown where it has none."""
        options = {} if model.company is None else {"Vendor": Variant("q", model.company)}
        body = [ELEMENT, model.model, options, check_payload(payload)]
        await self._bus.call(self._daemon, self._path, _NODE, "Publish", "oqa{sv}ay", body)

    async def import_device_key(self, address: int, elements: int, key: bytes) -> None:
        """Keep a node's device key, our own too; again is fine."""
        body = [address, elements, key]
        await self._bus.call(self._daemon, self._path, _MANAGEMENT, "ImportRemoteNode", "qyay", body)
