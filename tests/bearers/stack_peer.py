"""A whole stack node behind a bearer, or behind a virtual proxy: as much of a link as these tests need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from firmware_bridge.bearers.bearer import BearerUp, PduReceived
from firmware_bridge.bearers.gatt_proxy import GattProxyBearer
from firmware_bridge.stack import network
from firmware_bridge.stack.events import AccessReceived, Received
from firmware_bridge.stack.iv_index import IvState
from firmware_bridge.stack.keyring import Keyring
from firmware_bridge.stack.network import NetworkPdu
from firmware_bridge.stack.node import StackNode
from firmware_bridge.stack.proxy import (
    Configuration,
    FilterStatus,
    PduType,
    build_configuration,
    parse_configuration,
)
from tests.bearers.gateway import PATIENCE_S
from tools.meshlab import poll

_TICK_S: Final = 0.02
Send = Callable[[PduType, bytes], Awaitable[None]]


class StackPeer:
    """One node with IV index 0 or as given; `messages` are the access messages for it, `statuses` what the
    proxy said of its filter, `up` whether its bearer is."""

    def __init__(
        self, address: int, net_key: bytes, app_key: bytes, devices: Mapping[int, bytes], *, iv_index: int = 0
    ) -> None:
        keys = Keyring.of({0: net_key}, {0: (app_key, 0)}, devices)
        self.node = StackNode(address, keys, IvState(iv_index), 0, lambda state, limit: None)
        self.messages: list[AccessReceived] = []
        self.statuses: list[FilterStatus] = []
        self.beacons = 0
        self.up = asyncio.Event()

    def take(self, kind: PduType, data: bytes) -> None:
        """A PDU came."""
        now = asyncio.get_running_loop().time()
        if kind is PduType.NETWORK:
            self._note(self.node.receive(data, now))
        elif kind is PduType.BEACON:
            self.beacons += 1
            self._note(self.node.beacon(data, now))
        elif kind is PduType.CONFIGURATION:
            self._take_status(data)

    async def transmit(self, send: Send) -> None:
        """Send what is due, again and again."""
        while True:
            self.node.poll(asyncio.get_running_loop().time())
            for pdu in self.node.outgoing():
                await send(PduType.NETWORK, pdu)
            await asyncio.sleep(_TICK_S)

    def say(self, destination: int, payload: bytes, *, device: int | None = None) -> None:
        """Send an access message, under a device key or else the application key."""
        application = 0 if device is None else None
        now = asyncio.get_running_loop().time()
        self.node.send(destination, payload, now, application=application, device=device)

    async def configure(self, bearer: GattProxyBearer, message: Configuration) -> FilterStatus:
        """Tell the proxy something about its filter, and its answer."""
        key = self.node.keyring.transmit_key(0)
        transport = build_configuration(message)
        pdu = NetworkPdu(True, 0, self.node.sequence.take(), self.node.address, 0, transport)
        before = len(self.statuses)
        sealed = network.seal(pdu, key.credentials, self.node.iv.transmit, proxy=True)
        await bearer.send(PduType.CONFIGURATION, sealed)
        async with asyncio.timeout(PATIENCE_S):
            await poll.until(lambda: len(self.statuses) > before)
        return self.statuses[-1]

    async def answer_to(self, source: int, prefix: bytes) -> bytes:
        """The first message from `source` that begins so."""

        def found() -> list[bytes]:
            return [m.payload for m in self.messages if m.source == source and m.payload.startswith(prefix)]

        async with asyncio.timeout(PATIENCE_S):
            await poll.until(lambda: bool(found()))
        return found()[0]

    def _note(self, received: list[Received]) -> None:
        self.messages += [event for event in received if isinstance(event, AccessReceived)]

    def _take_status(self, data: bytes) -> None:
        key = self.node.keyring.transmit_key(0)
        pdu = network.open_sealed(data, key.credentials, self.node.iv.index, proxy=True)
        if pdu is not None:
            status = parse_configuration(pdu.transport)
            assert isinstance(status, FilterStatus)
            self.statuses.append(status)


@asynccontextmanager
async def behind(bearer: GattProxyBearer, peer: StackPeer) -> AsyncIterator[None]:
    """Run `peer` over an open bearer; entered once it is up."""

    async def receive() -> None:
        async for event in bearer.events():
            if isinstance(event, BearerUp):
                peer.up.set()
            elif isinstance(event, PduReceived):
                peer.take(event.kind, event.data)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(receive())]
        async with asyncio.timeout(PATIENCE_S):
            await peer.up.wait()
        running.append(tasks.create_task(peer.transmit(bearer.send)))
        try:
            yield
        finally:
            for task in running:
                task.cancel()
