"""A mesh node driven by bare D-Bus messages: as little as it takes to judge the lab on its own.

It knows nothing of the product's BlueZ client, so a fault there cannot hide one here.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

ROOT = "/test"
ELEMENT = "/test/element"
ONOFF_SERVER, ONOFF_CLIENT, CONFIG_CLIENT = 0x1000, 0x1001, 0x0001


class RefusedByDaemon(Exception):
    """The daemon answered with an error."""


@dataclass(frozen=True)
class Network:
    """One network's keys."""

    net_key: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    app_key: bytes = field(default_factory=lambda: secrets.token_bytes(16))


class RawNode:
    """`async with RawNode(lab.bus_address, name, address)`; `name` is its daemon's, and may change later.

    `messages` gets (source, payload) under the application key, `statuses` the same under device keys.
    """

    def __init__(self, bus_address: str, daemon: str, address: int) -> None:
        self.daemon = daemon
        self.address = address
        self.device_key = secrets.token_bytes(16)
        self.messages: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.statuses: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self._uuid = uuid4().bytes  # the daemon refuses random bytes that are no UUID
        self._bus = MessageBus(bus_address=bus_address)
        self._joined: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._path = ""

    async def __aenter__(self) -> Self:
        await self._bus.connect()
        self._bus.add_message_handler(self._called)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bus.disconnect()
        await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    async def join(self, network: Network) -> None:
        """Import the node into its daemon, and attach."""
        flags = {"IvUpdate": Variant("b", False), "KeyRefresh": Variant("b", False)}
        body = [ROOT, self._uuid, self.device_key, network.net_key, 0, flags, 0, self.address]
        await self._call("/org/bluez/mesh", "Network1", "Import", "oayayayqa{sv}uq", body)
        await asyncio.wait_for(self._joined, 10)
        await self.attach()

    async def attach(self) -> None:
        body = [ROOT, self._joined.result()]
        self._path = (await self._call("/org/bluez/mesh", "Network1", "Attach", "ot", body))[0]

    async def learn_device_key(self, other: RawNode) -> None:
        body = [other.address, 1, other.device_key]
        await self._call(self._path, "Management1", "ImportRemoteNode", "qyay", body)

    async def send(self, destination: int, payload: bytes) -> None:
        body = [ELEMENT, destination, 0, {}, payload]
        await self._call(self._path, "Node1", "Send", "oqqa{sv}ay", body)

    async def configure(self, destination: int, payload: bytes, status: bytes, wait: float = 1.0) -> bytes:
        """Send a Config message until a status that begins with `status` comes back from the node."""
        async with asyncio.timeout(30):
            while True:
                body = [ELEMENT, destination, True, 0, {}, payload]
                await self._call(self._path, "Node1", "DevKeySend", "oqbqa{sv}ay", body)
                try:
                    async with asyncio.timeout(wait):
                        return await self._status(destination, status)
                except TimeoutError:
                    continue

    async def prepare(self, other: RawNode, network: Network, model: int, relay: bool = False) -> None:
        """Give a node, ourselves too, the application key, bind a model, and set relay and pace."""
        await self.learn_device_key(other)
        to, address = other.address, other.address.to_bytes(2, "little")
        await self.configure(to, b"\x80\x24\x08", b"\x80\x25")  # network transmit: once, 20 ms
        await self.configure(to, b"\x80\x27" + bytes((relay, 0x08)), b"\x80\x28")
        await self.configure(to, b"\x00\x00\x00\x00" + network.app_key, b"\x80\x03\x00", 3.0)
        bind = b"\x80\x3d" + address + b"\x00\x00" + model.to_bytes(2, "little")
        await self.configure(to, bind, b"\x80\x3e\x00")

    async def _status(self, source: int, prefix: bytes) -> bytes:
        while True:
            sender, payload = await self.statuses.get()
            if sender == source and payload.startswith(prefix):
                return payload

    async def _call(
        self, path: str, interface: str, member: str, signature: str, body: list[Any]
    ) -> list[Any]:
        message = Message(
            self.daemon, path, f"org.bluez.mesh.{interface}", member, signature=signature, body=body
        )
        reply = await asyncio.wait_for(self._bus.call(message), 10)
        assert reply is not None
        if reply.message_type is MessageType.ERROR:
            raise RefusedByDaemon(f"{member}: {reply.error_name} {reply.body}")
        return reply.body

    def _called(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL or not (message.path or "").startswith(ROOT):
            return None
        match message.member, message.body:
            case "GetManagedObjects", []:
                return Message.new_method_return(message, "a{oa{sa{sv}}}", [_objects()])
            case "JoinComplete", [token]:
                self._joined.set_result(token)
            case "JoinFailed", [reason]:
                self._joined.set_exception(RefusedByDaemon(reason))
            case "MessageReceived", [source, _, _, payload]:
                self.messages.put_nowait((source, bytes(payload)))
            case "DevKeyMessageReceived", [source, _, _, payload]:
                self.statuses.put_nowait((source, bytes(payload)))
        return Message.new_method_return(message)


def _objects() -> dict[str, dict[str, dict[str, Variant]]]:
    models: list[list[Any]] = [[model, {}] for model in (CONFIG_CLIENT, ONOFF_SERVER, ONOFF_CLIENT)]
    application = {"CompanyID": 0x05F1, "ProductID": 1, "VersionID": 1, "CRPL": 100}
    return {
        f"{ROOT}/application": {
            "org.bluez.mesh.Application1": {name: Variant("q", value) for name, value in application.items()},
            "org.bluez.mesh.Provisioner1": {},
        },
        ELEMENT: {
            "org.bluez.mesh.Element1": {
                "Index": Variant("y", 0),
                "Location": Variant("q", 0),
                "Models": Variant("a(qa{sv})", models),
                "VendorModels": Variant("a(qqa{sv})", []),
            }
        },
    }
