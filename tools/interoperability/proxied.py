"""The same site through bleak: our stack, a GATT connection, a virtual proxy on the air, real daemons."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Final

from firmware_bridge.bearers.gatt_proxy import GattProxySettings
from firmware_bridge.bearers.proxy_choice import Pauses
from firmware_bridge.stack import network
from firmware_bridge.stack.keys import NetworkKey
from firmware_bridge.stack.proxy import PduType
from firmware_bridge.stack_link.over_proxy import link_over_proxy
from firmware_bridge.stack_mesh import StackMeshLink, StackSettings
from tools.gattlab.air_proxy import AirProxy
from tools.gattlab.lab import GattLab
from tools.interoperability.site import GATEWAY, StackSite
from tools.meshlab.topology import Topology

PROXY: Final = 0x0B00
QUICK: Final = GattProxySettings(scan_s=5.0, settle_s=0.1, connect_s=5.0, pauses=Pauses(0.05, 0.5))


def link_to(settings: StackSettings) -> StackMeshLink:
    """A link over the GATT proxies of this machine's bus, without patience for slow ones."""
    return link_over_proxy(settings, QUICK, random=Random(5), open_timeout_s=15.0)


class Overheard:
    """Every PDU that the gateway gave to its proxy, by IV index and sequence number.

    A connection loses and repeats nothing: a number that comes twice was used twice.
    """

    def __init__(self, key: NetworkKey, source: int) -> None:
        self._key = key
        self._source = source
        self.numbers: set[tuple[int, int]] = set()
        self.reused: list[tuple[int, int]] = []

    def take(self, kind: PduType, data: bytes) -> None:
        """Look at a PDU on its way from the gateway."""
        if kind not in (PduType.NETWORK, PduType.CONFIGURATION):
            return
        is_proxy, iv_index = kind is PduType.CONFIGURATION, network.receive_iv_index(data, 0)
        pdu = network.open_sealed(data, self._key.credentials, iv_index, proxy=is_proxy)
        if pdu is not None and pdu.source == self._source:
            number = iv_index, pdu.sequence
            if number in self.numbers:
                self.reused.append(number)
            self.numbers.add(number)


class ProxiedSite(StackSite):
    """A `StackSite` whose link goes through the virtual proxy on our node of the lab.

    `overheard` are the gateway's numbers, whichever process sends as the gateway.
    """

    def __init__(self, folder: Path, topology: Topology) -> None:
        super().__init__(folder, topology)
        self.gatt = GattLab()

    async def _make_link(self, stack: AsyncExitStack) -> StackMeshLink:
        key = NetworkKey(self.site.net_keys[0].key.reveal())
        self.overheard = Overheard(key, GATEWAY)
        await stack.enter_async_context(self.gatt)
        node = await self.gatt.node(b"\x00" + key.network_id)
        self.proxy = await stack.enter_async_context(AirProxy(node, self.place, key, PROXY))
        to_proxy = node.received

        def received(kind: PduType, data: bytes) -> None:
            self.overheard.take(kind, data)
            to_proxy(kind, data)

        node.received = received
        return link_to(self.settings())
