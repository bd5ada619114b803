"""PB-ADV over a radio that advertises and listens (5.2.1)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Final

from common.errors import Rejected
from firmware_bridge.provisioning import beacon, pb_adv
from firmware_bridge.provisioning.bearer import Advertising, Heard
from firmware_bridge.provisioning.pb_adv import AdvLink

MAX_WAITING: Final = 64
"""PDUs that wait to be read on one wire; then the oldest go, counted. They will be repeated."""


class AdvBearer:
    """See `bearer.ProvisioningBearer`. `new_link_id` gives random 32-bit numbers."""

    name = "PB-ADV"

    def __init__(
        self,
        radio: Advertising,
        random: Random | None = None,
        new_link_id: Callable[[], int] = lambda: secrets.randbits(32),
    ) -> None:
        self._radio = radio
        self._random = random or Random()
        self._new_link_id = new_link_id
        self.refused = 0

    async def scan(self, heard: Callable[[Heard], None]) -> None:
        def look(ad_type: int, data: bytes, rssi: int | None) -> None:
            if ad_type != beacon.BEACON_AD_TYPE:
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

    def __init__(self, radio: Advertising) -> None:
        self.dropped = 0
        self._radio = radio
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue(MAX_WAITING)
        self.close = radio.listen(self._hear)

    async def send(self, data: bytes) -> None:
        await self._radio.advertise(pb_adv.AD_TYPE, data)

    async def receive(self) -> bytes:
        return await self._arrived.get()

    def _hear(self, ad_type: int, data: bytes, rssi: int | None) -> None:
        if ad_type != pb_adv.AD_TYPE:
            return
        if self._arrived.full():
            self._arrived.get_nowait()
            self.dropped += 1
        self._arrived.put_nowait(data)
