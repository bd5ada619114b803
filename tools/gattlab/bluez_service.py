"""A small bluetoothd: what bleak uses of `org.bluez`, on a bus of the caller's, over a virtual radio.

Behaves as BlueZ 5.66 does where that matters to a client: see `Subscriptions` for its memory, `RemoteDevice`
for connecting. `fail_next`, `hang` and `kill` are its faults.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from bumble.att import ATT_Error
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from tools.gattlab.bluez_device import REMEMBERED_S, RemoteDevice
from tools.gattlab.bluez_gatt import Subscriptions
from tools.gattlab.bluez_objects import (
    ADAPTER,
    OBJECT_MANAGER,
    BluezError,
    BusObject,
    ObjectTree,
    Reply,
    from_att,
)
from tools.gattlab.radio import Heard, Radio

ADAPTER_PATH: Final = "/org/bluez/hci0"
_BUS: Final = "org.freedesktop.DBus"
_RULE: Final = f"type='signal',sender='{_BUS}',member='NameOwnerChanged'"


class BluezService:
    """`start` to `stop`, or to `kill`, which ends it as SIGKILL ends a daemon: without a word.

    `calls` counts method calls by name.
    """

    def __init__(self, radio: Radio, bus_address: str, *, powered: bool = True) -> None:
        self.calls: dict[str, int] = {}
        self.subscriptions = Subscriptions()
        self._radio = radio
        self._address = bus_address
        self._powered = powered
        self._answering = asyncio.Event()
        self._answering.set()
        self._bus: MessageBus | None = None
        self._tree = ObjectTree(self._emit)
        self._devices: dict[str, RemoteDevice] = {}
        self._discoverers: set[str] = set()
        self._wanted: set[str] = set()
        self._failures: dict[str, list[BluezError]] = {}
        self._working: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take the name `org.bluez`."""
        self._bus = await MessageBus(bus_address=self._address).connect()
        self._bus.add_message_handler(self._handle)
        self._tree.add(BusObject(ADAPTER_PATH, ADAPTER, self._adapter(), self._adapter_methods()))
        await self._bus.call(Message(_BUS, "/", _BUS, "AddMatch", signature="s", body=[_RULE]))
        await self._bus.request_name("org.bluez")

    async def stop(self) -> None:
        """End for good. Nothing happens if it has ended."""
        bus, self._bus = self._bus, None
        if bus is None:
            return
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)

    async def kill(self) -> None:
        """The bus sees the name vanish, nobody hears a signal, and the kernel ends the connections."""
        await self.stop()
        await self._radio.stop()
        await self._radio.start()

    @property
    def discovering(self) -> bool:
        """Whether any client's discovery is under way."""
        return bool(self._discoverers)

    def knows(self, address: str) -> bool:
        """Whether a device was heard, and not forgotten since."""
        return address in self._devices

    def fail_next(self, member: str, error: BluezError) -> None:
        """Answer the next call of a method with an error."""
        self._failures.setdefault(member, []).append(error)

    def hang(self) -> None:
        """Stay on the bus and answer nothing more."""
        self._answering.clear()

    def _adapter(self) -> dict[str, Variant]:
        return {
            "Address": Variant("s", "F0:00:00:00:00:99"),
            "Name": Variant("s", "lab"),
            "Alias": Variant("s", "lab"),
            "Powered": Variant("b", self._powered),
            "Discovering": Variant("b", False),
            "Roles": Variant("as", ["central", "peripheral"]),
            "UUIDs": Variant("as", []),
        }

    def _adapter_methods(self) -> dict[str, Any]:
        return {
            "SetDiscoveryFilter": self._set_filter,
            "StartDiscovery": self._start_discovery,
            "StopDiscovery": self._stop_discovery,
        }

    def _emit(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        if self._bus is not None and self._bus.connected:
            signal = Message(
                message_type=MessageType.SIGNAL,
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=body,
            )
            self._bus.send(signal)

    def _handle(self, message: Message) -> Message | bool | None:
        if message.member == "NameOwnerChanged" and message.body[0].startswith(":") and not message.body[2]:
            self._work(self._client_left(message.body[0]))
            return None
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        self._work(self._answer(message))
        return True

    def _work(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _answer(self, message: Message) -> None:
        member = message.member or ""
        self.calls[member] = self.calls.get(member, 0) + 1
        await self._answering.wait()
        try:
            signature, body = await self._call(message, member) or ("", [])
            reply = Message.new_method_return(message, signature, body)
        except BluezError as error:
            reply = Message.new_error(message, error.name, error.text)
        if self._bus is not None and self._bus.connected:
            self._bus.send(reply)

    async def _call(self, message: Message, member: str) -> Reply | None:
        if message.interface == OBJECT_MANAGER:
            return "a{oa{sa{sv}}}", [self._tree.managed()]
        if failures := self._failures.get(member):
            raise failures.pop(0)
        called = self._tree.find(message.path or "")
        if called is None or member not in called.methods:
            raise _unknown("UnknownObject" if called is None else "UnknownMethod", f"{message.path} {member}")
        try:
            return await called.methods[member](message.sender or "", message.body)
        except ATT_Error as error:
            raise from_att(error) from error

    async def _client_left(self, client: str) -> None:
        self.subscriptions.forget(client)
        for device in list(self._devices.values()):
            await device.unsubscribe_unwanted()
        await self._end_discovery(client)

    async def _set_filter(self, _: str, body: list[Any]) -> None:
        uuids = body[0].get("UUIDs")
        self._wanted = set(uuids.value) if uuids is not None else set()

    async def _start_discovery(self, sender: str, _: list[Any]) -> None:
        if sender in self._discoverers:
            raise BluezError("InProgress", "Operation already in progress")
        if not self._powered:
            raise BluezError("NotReady", "Resource Not Ready")
        self._discoverers.add(sender)
        if len(self._discoverers) == 1:
            await self._radio.listen(self._heard)
            self._tree.change(ADAPTER_PATH, {"Discovering": Variant("b", True)})

    async def _stop_discovery(self, sender: str, _: list[Any]) -> None:
        if sender not in self._discoverers:
            raise BluezError("Failed", "No discovery started")
        await self._end_discovery(sender)

    async def _end_discovery(self, sender: str) -> None:
        if sender not in self._discoverers:
            return
        self._discoverers.discard(sender)
        if not self._discoverers:
            await self._radio.unlisten(self._heard)
            self._tree.change(ADAPTER_PATH, {"Discovering": Variant("b", False)})
            for device in self._devices.values():
                device.unheard()

    def _heard(self, heard: Heard) -> None:
        self._forget_old()
        known = self._devices.get(heard.address)
        if known is not None:
            known.hear(heard)
        elif not self._wanted or self._wanted & _long(heard):
            device = RemoteDevice(ADAPTER_PATH, heard, self._radio, self._tree, self.subscriptions)
            self._devices[heard.address] = device

    def _forget_old(self) -> None:
        now = asyncio.get_running_loop().time()
        for address, device in list(self._devices.items()):
            if not device.connected and now - device.last_heard > REMEMBERED_S:
                device.forget()
                del self._devices[address]


def _unknown(name: str, text: str) -> BluezError:
    error = BluezError(name, text)
    error.name = f"{_BUS}.Error.{name}"
    return error


def _long(heard: Heard) -> set[str]:
    return {f"{service:08x}-0000-1000-8000-00805f9b34fb" for service in heard.services}
