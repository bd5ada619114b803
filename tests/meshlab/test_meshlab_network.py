"""Real daemons in the lab make a real mesh: encryption, loss, relaying, persistence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.meshlab.raw_node import ONOFF_CLIENT, ONOFF_SERVER, Network, RawNode
from tools.meshlab.lab import Lab
from tools.meshlab.topology import Topology

pytestmark = pytest.mark.meshlab

SECONDS = 30
ONOFF_SET_UNACKNOWLEDGED = b"\x82\x03"


@asynccontextmanager
async def _mesh(
    folder: Path, count: int, relays: frozenset[int] = frozenset()
) -> AsyncIterator[tuple[Lab, list[RawNode]]]:
    """A lab whose nodes, 0x0100 on, are imported and know their application key; all hear node 0."""
    network = Network()
    async with AsyncExitStack() as stack:
        lab = await stack.enter_async_context(Lab(folder, count, Topology.star(count), seed=3))
        nodes = [RawNode(lab.bus_address, await lab.bus_name(i), 0x0100 + i) for i in range(count)]
        for node in nodes:
            await stack.enter_async_context(node)
            await node.join(network)
        for index, node in enumerate(nodes):
            model = ONOFF_SERVER if index else ONOFF_CLIENT
            await nodes[0].prepare(node, network, model, index in relays)
        yield lab, nodes


async def _heard(node: RawNode, payload: bytes) -> None:
    """Return once `node` got this message from node 0."""
    async with asyncio.timeout(SECONDS):
        while await node.messages.get() != (0x0100, payload):
            pass


async def test_a_message_is_delivered_over_a_lossy_link(tmp_path: Path) -> None:
    async with _mesh(tmp_path, 2) as (lab, (client, server)):
        await lab.set_loss(0, 1, 0.5)
        before = await lab.stats()
        got = await _send_until(client, server, 20)
        after = await lab.stats()
        lost = after.nodes[1].lost - before.nodes[1].lost
        assert got + lost >= 20
        assert got >= 1
        assert lost >= 1


async def test_messages_cross_three_hops_by_relays(tmp_path: Path) -> None:
    async with _mesh(tmp_path, 4, relays=frozenset({1, 2})) as (lab, nodes):
        await lab.set_topology(Topology.line(4))
        for number in range(5):
            payload = ONOFF_SET_UNACKNOWLEDGED + bytes((number & 1, number))
            await nodes[0].send(nodes[3].address, payload)
            await _heard(nodes[3], payload)
        counts = (await lab.stats()).nodes
        assert counts[2].tx >= 5
        # Segmented, with acknowledgements back over both relays: control messages have a longer MIC.
        composition = await nodes[0].configure(nodes[3].address, b"\x80\x08\x00", b"\x02\x00", 5.0)
        assert len(composition) > 11


async def test_nothing_crosses_a_node_that_does_not_relay(tmp_path: Path) -> None:
    async with _mesh(tmp_path, 3) as (lab, nodes):
        await lab.set_topology(Topology.line(3))
        before = (await lab.stats()).nodes
        await nodes[0].send(nodes[2].address, ONOFF_SET_UNACKNOWLEDGED + b"\x01\x01")
        await nodes[0].send(nodes[1].address, ONOFF_SET_UNACKNOWLEDGED + b"\x01\x02")
        await _heard(nodes[1], ONOFF_SET_UNACKNOWLEDGED + b"\x01\x02")
        after = (await lab.stats()).nodes
        assert after[2].rx == before[2].rx
        assert nodes[2].messages.empty()


async def test_a_killed_node_keeps_its_configuration(tmp_path: Path) -> None:
    async with _mesh(tmp_path, 3, relays=frozenset({1})) as (lab, nodes):
        await lab.set_topology(Topology.line(3))
        await lab.kill(1)
        await lab.restart(1)
        nodes[1].daemon = await lab.bus_name(1)
        await nodes[1].attach()
        payload = ONOFF_SET_UNACKNOWLEDGED + b"\x01\x09"
        await nodes[0].send(nodes[1].address, payload)
        await _heard(nodes[1], payload)
        await nodes[0].send(nodes[2].address, payload)
        await _heard(nodes[2], payload)


async def _send_until(client: RawNode, server: RawNode, count: int) -> int:
    """Send `count` messages, then one that is repeated until it arrives; how many of the first arrived."""
    for number in range(count):
        await client.send(server.address, ONOFF_SET_UNACKNOWLEDGED + bytes((1, number)))
    got: set[bytes] = set()
    last = ONOFF_SET_UNACKNOWLEDGED + b"\x00\xff"
    async with asyncio.timeout(SECONDS):
        while last not in got:
            await client.send(server.address, last)
            try:
                async with asyncio.timeout(0.2):
                    while last not in got:
                        got.add((await server.messages.get())[1])
            except TimeoutError:
                pass  # lost on the way: again
    return len(got - {last})
