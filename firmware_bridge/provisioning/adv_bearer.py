"""PB-ADV over a radio that advertises and listens (5.2.1)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Final

from common.errors import Rejected
from firmware_bridge.provisioning import beacon
from firmware_bridge.provisioning.bearer import Hear, Heard, Radio
from firmware_bridge.provisioning.pb_adv import AdvLink
from firmware_bridge.stack.proxy import PduType

MAX_WAITING: Final = 64
"""PDUs that wait to be read on one wire; then the oldest go, counted. They will be repeated."""


class AdvBearer:
    """See `bearer.ProvisioningBearer` (5.2.1). `new_link_id` gives random 32-bit numbers, not zero: such a
    link is ignored by bluetooth-meshd."""

    name = "PB-ADV"

    def __init__(
        self,
        radio: Radio,
        random: Random | None = None,
        new_link_id: Callable[[], int] = lambda: 1 + secrets.randbelow(0xFFFFFFFF),
    ) -> None:
        self._radio = radio
        self._random = random or Random()
        self._new_link_id = new_link_id
        self.refused = 0

    async def scan(self, heard: Callable[[Heard], None]) -> None:
        def look(kind: PduType, data: bytes, rssi: int | None) -> None:
            if kind is not PduType.BEACON:
                return
            try:
                device = beacon.parse(data)
            except Rejected:
                self.refused += 1
                return
            if device is not None:
                heard(Heard(device, rssi))

        stop = self._radio.listen(look)
        try:
            await asyncio.Event().wait()
        finally:
            stop()

    @asynccontextmanager
    async def connect(self, uuid: bytes) -> AsyncIterator[tuple[AdvLink, AdvWire]]:
        link = AdvLink(self._new_link_id(), uuid, provisioner=True, spread=self._random.uniform)
        wire = AdvWire(self._radio)
        try:
            yield link, wire
        finally:
            wire.close()


class AdvWire:
    """See `bearer.Wire`. All links' PDUs come here; a link takes its own."""

    def __init__(self, radio: Radio) -> None:
        self.dropped = 0
        self._radio = radio
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue(MAX_WAITING)
        self.close = radio.listen(self._hear)

    async def send(self, data: bytes) -> None:
        await self._radio.send(PduType.PROVISIONING, data)

    async def receive(self) -> bytes:
        return await self._arrived.get()

    def _hear(self, kind: PduType, data: bytes, rssi: int | None) -> None:
        if kind is not PduType.PROVISIONING:
            return
        if self._arrived.full():
            self._arrived.get_nowait()
            self.dropped += 1
        self._arrived.put_nowait(data)


class BearerRadio:
    """A bearer as a `bearer.Radio`: whoever reads its events offers them here too. `send` is the bearer's."""

    def __init__(self, send: Callable[[PduType, bytes], Awaitable[None]]) -> None:
        self._send = send
        self._listeners: list[Hear] = []

    async def send(self, kind: PduType, data: bytes) -> None:
        await self._send(kind, data)

    def listen(self, heard: Hear) -> Callable[[], None]:
        self._listeners.append(heard)
        return lambda: self._listeners.remove(heard)

    def offer(self, kind: PduType, data: bytes, rssi_dbm: int | None = None) -> None:
        """A PDU came; costs next to nothing while nobody listens."""
        for heard in tuple(self._listeners):
            heard(kind, data, rssi_dbm)
