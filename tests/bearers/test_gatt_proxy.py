"""The GATT proxy bearer through bleak's own BlueZ backend."""

from __future__ import annotations

from firmware_bridge.bearers.bearer import BearerUp, PduReceived
from firmware_bridge.stack.proxy import PduType
from tests.bearers.gateway import OURS, STRANGERS, gateway, until
from tools.gattlab.lab import GattLab


async def test_pdus_pass_both_ways_through_the_proxy_of_our_network(lab: GattLab) -> None:
    await lab.node(STRANGERS, rssi=-30)
    node = await lab.node(OURS, rssi=-80)
    heard: list[tuple[PduType, bytes]] = []
    node.received = lambda kind, data: heard.append((kind, data))
    async with gateway() as ours:
        assert await ours.next(BearerUp) == BearerUp(node.address, filters=True)
        await ours.bearer.send(PduType.NETWORK, b"to the mesh")
        await until(lambda: bool(heard))
        assert heard == [(PduType.NETWORK, b"to the mesh")]
        node.send(PduType.NETWORK, b"from the mesh")
        assert await ours.next(PduReceived) == PduReceived(PduType.NETWORK, b"from the mesh")
    await until(lambda: not node.connected)
