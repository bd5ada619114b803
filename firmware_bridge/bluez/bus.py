"""One connection to a message bus: calls with a time limit, calls served, names watched.

It never reconnects: whoever needs it again opens a fresh one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

from common.errors import MeshtwinError, Unavailable
from common.logs import get_logger
from firmware_bridge.bluez.errors import from_reply, translated

# A handler answers a method call with the reply's signature and body, or None where it is not its own.
Reply = tuple[str, list[Any]]
Handler = Callable[[Message], Reply | None]

_DAEMON: Final = "org.freedesktop.DBus"
_DAEMON_PATH: Final = "/org/freedesktop/DBus"
CALL_TIMEOUT_S: Final = 3.0

_log = get_logger(__name__)


class Bus:
    """`async with Bus(address)`; `None` is the system bus. Raises Unavailable or Misconfigured on entry."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._bus: MessageBus | None = None
        self._vanished: dict[str, asyncio.Event] = {}
        self._ending: asyncio.Task[None] | None = None
        # Set when the connection ended, by us or by itself.
        self.closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        with translated():
            bus = MessageBus(bus_address=self._address, bus_type=BusType.SYSTEM)
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await bus.connect()
        bus.add_message_handler(self._watch)
        self._bus = bus
        self._ending = asyncio.create_task(self._wait_for_end(bus))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        bus, self._bus = self._bus, None
        if bus is not None and self._ending is not None:
            bus.disconnect()
            await self._ending

    @property
    def own_name(self) -> str:
        """Our unique name on the bus."""
        return self._connected().unique_name or ""

    def serve(self, handler: Handler) -> None:
        """Answer method calls. An error of ours becomes an error reply, any other one is a bug."""

        def adapter(message: Message) -> Message | bool | None:
            if message.message_type is not MessageType.METHOD_CALL:
                return None
            try:
                reply = handler(message)
            except MeshtwinError as error:
                return Message.new_error(message, "org.bluez.mesh.Error.Failed", type(error).__name__)
            if reply is None:
                return None
            return Message.new_method_return(message, reply[0], reply[1])

        self._connected().add_message_handler(adapter)

    async def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
    ) -> list[Any]:
        """Call a method and return the reply's body. Raises what `errors` maps to."""
        message = Message(destination, path, interface, member, signature=signature, body=list(body))
        with translated():
            async with asyncio.timeout(CALL_TIMEOUT_S):
                reply = await self._connected().call(message)
        if reply is None:
            raise Unavailable(f"{member}: no reply")
        if reply.message_type is MessageType.ERROR:
            detail = reply.body[0] if reply.body else ""
            raise from_reply(reply.error_name or "", f"{member}: {detail}")
        return list(reply.body)

    async def names(self) -> list[str]:
        """Unique names on the bus, but for ours and the bus daemon's."""
        (names,) = await self.call(_DAEMON, _DAEMON_PATH, _DAEMON, "ListNames")
        return [name for name in names if name.startswith(":") and name != self.own_name]

    async def owner(self, name: str) -> str:
        """The unique name behind a well-known one. Raises Unavailable while nobody owns it."""
        (owner,) = await self.call(_DAEMON, _DAEMON_PATH, _DAEMON, "GetNameOwner", "s", [name])
        return str(owner)

    async def pid(self, name: str) -> int:
        """The process behind a name."""
        (pid,) = await self.call(_DAEMON, _DAEMON_PATH, _DAEMON, "GetConnectionUnixProcessID", "s", [name])
        return int(pid)

    async def watch(self, name: str) -> asyncio.Event:
        """An event that is set when the owner of this unique name leaves the bus."""
        vanished = self._vanished.setdefault(name, asyncio.Event())
        rule = f"type='signal',sender='{_DAEMON}',member='NameOwnerChanged',arg0='{name}'"
        await self.call(_DAEMON, _DAEMON_PATH, _DAEMON, "AddMatch", "s", [rule])
        return vanished

    def _watch(self, message: Message) -> None:
        if message.member == "NameOwnerChanged" and message.sender == _DAEMON and not message.body[2]:
            vanished = self._vanished.get(message.body[0])
            if vanished is not None:
                vanished.set()

    def _connected(self) -> MessageBus:
        if self._bus is None or not self._bus.connected:
            raise Unavailable("the connection to the message bus is closed")
        return self._bus

    async def _wait_for_end(self, bus: MessageBus) -> None:
        """Set `closed` when the connection ends, whatever ended it. The one waiter on dbus-fast's future:
        a cancelled one would cancel it for the others."""
        try:
            waiting: Awaitable[None] = bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
            await waiting
        except Exception as error:
            _log.debug("bus-connection-ended", error=error)
        self.closed.set()
