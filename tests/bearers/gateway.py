"""A network's key, what its proxies advertise, and a bearer with the patience of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from firmware_bridge.bearers.bearer import BearerDown, BearerEvent, BearerUp, PduReceived
from firmware_bridge.bearers.gatt_proxy import GattProxyBearer, GattProxySettings
from firmware_bridge.bearers.gatt_scan import of_networks
from firmware_bridge.bearers.proxy_choice import Pauses
from firmware_bridge.stack.keys import NetworkKey
from tools.meshlab import poll

KEY = NetworkKey(bytes(range(16)))
OURS = b"\x00" + KEY.network_id
STRANGERS = b"\x00" + NetworkKey(bytes(16)).network_id
QUICK = GattProxySettings(scan_s=5.0, settle_s=0.1, connect_s=3.0, pauses=Pauses(0.02, 0.1))
PATIENCE_S = 15.0

E = TypeVar("E", BearerUp, BearerDown, PduReceived)


class Gateway:
    """A bearer and what it told."""

    def __init__(self, bearer: GattProxyBearer) -> None:
        self.bearer = bearer
        self.told: list[BearerEvent] = []
        self._events: AsyncIterator[BearerEvent] = bearer.events()

    async def next(self, kind: type[E]) -> E:
        """The next event of a kind."""
        async with asyncio.timeout(PATIENCE_S):
            async for event in self._events:
                self.told.append(event)
                if isinstance(event, kind):
                    return event
        raise AssertionError("the events ended")


@asynccontextmanager
async def gateway(key: NetworkKey = KEY, **changes: Any) -> AsyncIterator[Gateway]:
    """An open bearer of a network, which knows the nodes 1 to 9. `changes` are settings."""
    recognise = of_networks(lambda: [key], lambda: range(1, 10))
    bearer = GattProxyBearer(recognise, replace(QUICK, **changes), random=Random(7))
    await bearer.open()
    try:
        yield Gateway(bearer)
    finally:
        await bearer.close()


async def until(condition: Callable[[], bool]) -> None:
    """Return once it holds."""
    async with asyncio.timeout(PATIENCE_S):
        await poll.until(condition)
