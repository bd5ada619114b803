"""Listens for proxies of our network by their service data, through bleak. Does not decide which to use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from common.clock import Clock
from firmware_bridge.bearers.gatt_discovery import listening
from firmware_bridge.bearers.gatt_service import PROXY
from firmware_bridge.bearers.proxy_choice import Sighting
from firmware_bridge.stack.keys import NetworkKey
from firmware_bridge.stack.service_data import ProxyOffer, recognise

Recognise = Callable[[bytes], ProxyOffer | None]

MOST_ADVERTISEMENTS: Final = 512
"""Different service data looked into in one scan. A Node Identity costs a hash for every node known, and
anybody can send one."""


@dataclass(frozen=True, slots=True)
class Found:
    """A proxy of ours, with what bleak needs to connect to it."""

    sighting: Sighting
    device: BLEDevice


def of_networks(
    keys: Callable[[], Iterable[NetworkKey]], addresses: Callable[[], Iterable[int]]
) -> Recognise:
    """Recognise proxies of these networks, asked anew each time: keys are refreshed and nodes are added.

    `addresses` are the unicast addresses of the nodes known, for Node Identities.
    """

    def of_ours(data: bytes) -> ProxyOffer | None:
        offers = (recognise(data, key, addresses()) for key in keys())
        return next((offer for offer in offers if offer is not None), None)

    return of_ours


class ProxyScan:
    """What one scan heard. `ignored` counts service data beyond what one scan looks into."""

    def __init__(self, recognise: Recognise, clock: Clock) -> None:
        self.ignored = 0
        self.first = asyncio.Event()
        self._recognise = recognise
        self._clock = clock
        self._offers: dict[bytes, ProxyOffer | None] = {}
        self._found: dict[str, Found] = {}

    @property
    def found(self) -> list[Found]:
        """The proxies of our network, each as it was last heard."""
        return list(self._found.values())

    def heard(self, device: BLEDevice, advertisement: AdvertisementData) -> None:
        """bleak's callback for every advertisement."""
        data = advertisement.service_data.get(PROXY.service)
        offer = None if data is None else self._offer(bytes(data))
        if offer is None:
            return
        sighting = Sighting(device.address, advertisement.rssi, offer, self._clock.monotonic())
        self._found[device.address] = Found(sighting, device)
        self.first.set()

    def _offer(self, data: bytes) -> ProxyOffer | None:
        if data not in self._offers:
            if len(self._offers) >= MOST_ADVERTISEMENTS:
                self.ignored += 1
                return None
            self._offers[data] = self._recognise(data)
        return self._offers[data]


async def look(
    scan: ProxyScan, longest_s: float, settle_s: float, adapter: str | None, started: Callable[[], None]
) -> list[Found]:
    """Scan until `settle_s` after the first proxy of ours was heard, for `longest_s` at most.

    `started` is called once the radio listens. Raises Unavailable, TimedOut, Misconfigured.
    """
    async with listening(scan.heard, adapter):
        started()
        try:
            async with asyncio.timeout(longest_s):
                await scan.first.wait()
                await asyncio.sleep(settle_s)
        except TimeoutError:
            pass  # what was found until now is the answer
    return scan.found
