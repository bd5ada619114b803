"""A virtual GATT proxy on the meshlab's air: bleak on one side, real `bluetooth-meshd` nodes on the other.

    async with Lab(folder, 4, Topology.grid(…)) as mesh, GattLab() as lab:
        async with AirProxy(await lab.node(data), place, key, address) as proxy:
            ...  # the bearer under test connects to `proxy.node`

The topology has one node more than there are daemons: that one is the proxy's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Final, Self

from common.mesh.configuration import Transmit
from firmware_bridge.bearers.air import AirBearer, AirPlace
from firmware_bridge.bearers.bearer import BearerUp, PduReceived
from firmware_bridge.stack.keys import NetworkKey
from firmware_bridge.stack.proxy import PduType
from tools.gattlab.proxy_node import ProxyNode
from tools.gattlab.proxy_server import ProxyServer

USUAL_TRANSMIT: Final = Transmit(3, 20)
WAITING: Final = 256
"""PDUs of the client that wait for the air; then the oldest goes."""


class AirProxy:
    """`node` is what a GATT client sees, with its faults; `server` holds the filter and meets the mesh.

    `address` is the proxy's own unicast address, which nobody else has. Entering waits for the air.
    """

    def __init__(
        self,
        node: ProxyNode,
        place: AirPlace,
        key: NetworkKey,
        address: int,
        *,
        iv_index: int = 0,
        transmit: Transmit = USUAL_TRANSMIT,
    ) -> None:
        self.node = node
        self.server = ProxyServer(key, address, node.send, self._queue, iv_index=iv_index)
        self._air = AirBearer(place, transmit)
        self._waiting: deque[bytes] = deque(maxlen=WAITING)
        self._more = asyncio.Event()
        self._up = asyncio.Event()
        node.received = self.server.from_client
        node.subscribed = self.server.subscribed

    async def __aenter__(self) -> Self:
        await self._air.open()
        self._work = asyncio.gather(self._from_air(), self._to_air())
        await self._up.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        await self._air.close()

    def _queue(self, pdu: bytes) -> None:
        self._waiting.append(pdu)
        self._more.set()

    async def _to_air(self) -> None:
        while True:
            while not self._waiting:
                self._more.clear()
                await self._more.wait()
            await self._air.send(PduType.NETWORK, self._waiting.popleft())

    async def _from_air(self) -> None:
        async for event in self._air.events():
            if isinstance(event, BearerUp):
                self._up.set()
            elif isinstance(event, PduReceived) and event.kind is PduType.NETWORK:
                self.server.from_air(event.data)
            elif isinstance(event, PduReceived) and event.kind is PduType.BEACON:
                self.server.beacon_from_air(event.data)
