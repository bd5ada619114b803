"""Our stack through bleak, a second one at the proxy: the whole way but for the mesh."""

from __future__ import annotations

import asyncio

from firmware_bridge.stack.proxy import (
    AddAddresses,
    FilterStatus,
    FilterType,
    PduType,
    RemoveAddresses,
    SetFilterType,
)
from tests.bearers.gateway import KEY, OURS, gateway
from tests.bearers.stack_peer import StackPeer, behind
from tools.gattlab.lab import GattLab
from tools.gattlab.proxy_server import ProxyServer

APP = bytes(range(16, 32))
DEVICES = {1: bytes([1] * 16), 2: bytes([2] * 16)}
LONG = bytes(range(200))


def peer(address: int) -> StackPeer:
    return StackPeer(address, KEY.key, APP, DEVICES)


async def test_messages_of_any_length_pass_both_ways_between_two_stacks(lab: GattLab) -> None:
    proxy_node = await lab.node(OURS, mtu=33)
    here, there = peer(1), peer(2)
    proxy_node.received = there.take

    async def notify(kind: PduType, data: bytes) -> None:
        proxy_node.send(kind, data)

    async with asyncio.TaskGroup() as tasks:
        transmitting = tasks.create_task(there.transmit(notify))
        async with gateway() as ours, behind(ours.bearer, here):
            here.say(2, LONG, device=2)
            assert await there.answer_to(1, LONG[:4]) == LONG
            there.say(1, LONG[::-1])
            assert await here.answer_to(2, b"") == LONG[::-1]
        transmitting.cancel()


async def test_the_beacon_and_the_filter_of_a_proxy_server_come_through(lab: GattLab) -> None:
    proxy_node = await lab.node(OURS)
    here = peer(1)
    server = ProxyServer(KEY, 0x0B00, proxy_node.send, lambda _: None)
    proxy_node.received, proxy_node.subscribed = server.from_client, server.subscribed
    async with gateway() as ours, behind(ours.bearer, here):
        configure = here.configure
        accept, reject = FilterType.ACCEPT, FilterType.REJECT
        assert await configure(ours.bearer, AddAddresses((1, 0xC000))) == FilterStatus(accept, 2)
        assert await configure(ours.bearer, RemoveAddresses((0xC000, 5))) == FilterStatus(accept, 1)
        assert await configure(ours.bearer, SetFilterType(reject)) == FilterStatus(reject, 0)
        assert here.beacons == 1


async def test_a_proxy_that_drops_its_beacon_still_carries_messages(lab: GattLab) -> None:
    proxy_node = await lab.node(OURS)
    here = peer(1)
    server = ProxyServer(KEY, 0x0B00, proxy_node.send, lambda _: None)
    server.greets = False
    proxy_node.received, proxy_node.subscribed = server.from_client, server.subscribed
    async with gateway() as ours, behind(ours.bearer, here):
        await here.configure(ours.bearer, SetFilterType(FilterType.ACCEPT))
        assert here.beacons == 0
