"""A virtual mesh node as a GATT client sees it: it advertises, takes writes, and notifies.

What it does with proxy PDUs is its holder's: a test, a second stack, or `proxy_server`. Everything that can
go wrong on this side of the radio is a method or an attribute here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from bumble.core import UUID, AdvertisingData
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.hci import HCI_ErrorCode
from bumble.link import LocalLink

from firmware_bridge.bearers.gatt_service import PROXY, GattService
from firmware_bridge.stack.proxy import Joiner, PduType, split
from tools.gattlab.radio import VirtualDevice

USUAL_MTU: Final = 69
"""What a node offers that fits any network PDU into one write."""

_INTERVAL_MS: Final = 20.0
_FLAGS: Final = b"\x06"  # general discoverable, no classic Bluetooth


class ProxyNode:
    """A connectable node. `service_data` is what it advertises of itself, changed by `advertise`.

    `received(kind, data)` hears of every whole PDU, `subscribed()` of every client that turns notifications
    on, while it does so: what is sent then is sent during the client's subscription. `raw` are the writes as
    they came. `refuse` hangs up on whoever connects; `mute` says and answers nothing.
    """

    def __init__(
        self,
        link: LocalLink,
        address: str,
        service_data: bytes,
        *,
        mtu: int = USUAL_MTU,
        service: GattService = PROXY,
    ) -> None:
        self.address = address
        self.mtu = mtu
        self.refuse = False
        self.raw: list[bytes] = []
        self.connects = 0
        self.received: Callable[[PduType, bytes], None] = lambda kind, data: None
        self.subscribed: Callable[[], None] = lambda: None
        self._device = VirtualDevice(link, address, f"node {address[-2:]}")
        self._service_data = service_data
        self._uuid = _short(service.service)
        self._joiner = Joiner()
        self._connection: Connection | None = None
        self._listening = False
        self._sending: set[asyncio.Task[None]] = set()
        self._data_out = self._add(service)
        self._device.gatt_server.max_mtu = mtu
        self._device.on("connection", self._connected)

    @property
    def connected(self) -> bool:
        """Whether a client is connected."""
        return self._connection is not None

    @property
    def listened_to(self) -> bool:
        """Whether a client takes notifications."""
        return self._listening

    async def start(self) -> None:
        """Power on and advertise."""
        await self._device.power_on()
        await self.advertise(self._service_data)

    async def stop(self) -> None:
        """Power off, like a node whose supply fails."""
        await self.hide()
        await self.drop()
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self._device.power_off()

    async def advertise(self, service_data: bytes) -> None:
        """Advertise as connectable, again after each connection."""
        await self.hide()
        self._service_data = service_data
        uuid = self._uuid.to_bytes(2, "little")
        self._device.advertising_data = bytes(
            AdvertisingData(
                [
                    (AdvertisingData.Type.FLAGS, _FLAGS),
                    (AdvertisingData.Type.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, uuid),
                    (AdvertisingData.Type.SERVICE_DATA_16_BIT_UUID, uuid + service_data),
                ]
            )
        )
        await self._device.start_advertising(
            auto_restart=True,
            advertising_interval_min=_INTERVAL_MS,
            advertising_interval_max=_INTERVAL_MS,
        )

    async def hide(self) -> None:
        """Advertise no more: nobody hears it, and a connect waits for ever."""
        if self._device.is_advertising:
            await self._device.stop_advertising()

    async def drop(self) -> None:
        """Hang up."""
        if self._connection is not None:
            await self._connection.disconnect(HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR)

    def forget_subscription(self) -> None:
        """Lose the client's subscription, as a node does that restarted its application."""
        self._device.gatt_server.subscribers.clear()
        self._listening = False

    @property
    def mute(self) -> bool:
        return self._device.mute

    @mute.setter
    def mute(self, mute: bool) -> None:
        self._device.mute = mute

    def send(self, kind: PduType, data: bytes) -> None:
        """Notify a whole PDU in pieces that fit; nothing happens without a listener."""
        for piece in split(kind, data, self.room):
            self.notify(piece)

    @property
    def room(self) -> int:
        """Bytes that fit a notification."""
        return (self._connection.att_mtu if self._connection is not None else self.mtu) - 3

    def notify(self, piece: bytes) -> None:
        """Notify bytes as they are."""
        if self._listening and not self.mute:
            task = asyncio.ensure_future(self._device.notify_subscribers(self._data_out, piece))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    def _add(self, service: GattService) -> Characteristic[bytes]:
        data_in: Characteristic[bytes] = Characteristic(
            UUID.from_16_bits(_short(service.data_in)),
            Characteristic.Properties.WRITE_WITHOUT_RESPONSE,
            Characteristic.WRITEABLE,
            CharacteristicValue(write=self._written),
        )
        data_out: Characteristic[bytes] = Characteristic(
            UUID.from_16_bits(_short(service.data_out)),
            Characteristic.Properties.NOTIFY,
            Characteristic.Permissions(0),
        )
        data_out.on("subscription", self._subscription)
        self._device.add_service(Service(UUID.from_16_bits(self._uuid), [data_in, data_out]))
        return data_out

    def _connected(self, connection: Connection) -> None:
        self.connects += 1
        self._connection = connection
        self._joiner = Joiner()
        connection.on("disconnection", self._disconnected)
        if self.refuse:
            task = asyncio.ensure_future(self.drop())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    def _disconnected(self, _: int) -> None:
        self._connection = None
        self._listening = False

    def _subscription(self, _: Connection, notify: bool, __: bool) -> None:
        self._listening = notify
        if notify:
            self.subscribed()

    def _written(self, _: Connection, value: bytes) -> None:
        self.raw.append(bytes(value))
        whole = self._joiner.take(bytes(value), 0.0)
        if whole is not None:
            self.received(*whole)


def _short(uuid: str) -> int:
    return int(uuid[:8], 16)
