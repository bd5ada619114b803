"""Our stack through bleak and a virtual proxy to real `bluetooth-meshd` nodes."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from firmware_bridge.bearers.air import AirPlace
from firmware_bridge.stack.keys import NetworkKey
from tests.bearers.gateway import gateway
from tests.bearers.stack_peer import StackPeer, behind
from tests.meshlab.raw_node import Network, RawNode
from tools.gattlab.air_proxy import AirProxy
from tools.gattlab.lab import GattLab
from tools.meshlab.lab import Lab
from tools.meshlab.topology import Topology

pytestmark = pytest.mark.meshlab

PROXY, US = 0x0B00, 0x0001
RELAY_SET, RELAY_STATUS = b"\x80\x27\x01\x08", b"\x80\x28"
TRANSMIT_SET, TRANSMIT_STATUS = b"\x80\x24\x0a", b"\x80\x25"
COMPOSITION_GET, COMPOSITION = b"\x80\x08\x00", b"\x02\x00"


async def test_real_nodes_answer_through_the_proxy_over_a_relay_and_in_segments(
    lab: GattLab, tmp_path: Path
) -> None:
    net = Network()
    key = NetworkKey(net.net_key)
    async with AsyncExitStack() as stack:
        # far ── near ── proxy: whatever reaches the far node was relayed by the near one.
        mesh = await stack.enter_async_context(Lab(tmp_path, 2, Topology.line(3), seed=3))
        far, near = [RawNode(mesh.bus_address, await mesh.bus_name(i), 0x0100 + i) for i in range(2)]
        for node in (far, near):
            await stack.enter_async_context(node)
            await node.join(net)
        proxy_node = await lab.node(b"\x00" + key.network_id)
        place = AirPlace(Path(mesh.state()["sockets"]), 2)
        proxy = await stack.enter_async_context(AirProxy(proxy_node, place, key, PROXY))
        here = StackPeer(
            US, net.net_key, net.app_key, {each.address: each.device_key for each in (far, near)}
        )
        ours = await stack.enter_async_context(gateway(key=key))
        await stack.enter_async_context(behind(ours.bearer, here))

        here.say(near.address, RELAY_SET, device=near.address)
        assert await here.answer_to(near.address, RELAY_STATUS) == RELAY_STATUS + b"\x01\x08"
        here.say(near.address, TRANSMIT_SET, device=near.address)
        assert await here.answer_to(near.address, TRANSMIT_STATUS) == TRANSMIT_STATUS + b"\x0a"
        here.say(far.address, COMPOSITION_GET, device=far.address)
        assert len(await here.answer_to(far.address, COMPOSITION)) > 11
        assert here.beacons >= 1
        assert not here.node.refused
        assert not proxy.server.refused
