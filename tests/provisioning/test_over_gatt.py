"""PB-GATT: bleak's own backend finds, connects to and provisions a virtual device."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from common.clock import SystemClock
from common.errors import Unavailable
from firmware_bridge.bearers.bearer import BearerUp
from firmware_bridge.bearers.gatt_service import PROVISIONING
from firmware_bridge.provisioning import gatt_bearer, oob
from firmware_bridge.provisioning.attempts import Attempts
from firmware_bridge.provisioning.bearer import Heard
from firmware_bridge.provisioning.device import Device, Joined
from firmware_bridge.provisioning.gatt_bearer import GattBearer
from firmware_bridge.provisioning.pdus import Algorithm, Capabilities, Choice
from firmware_bridge.provisioning.provisioner import Provisioner, Send
from firmware_bridge.provisioning.security import KeyPair, NetworkData
from firmware_bridge.provisioning.session import provision
from firmware_bridge.stack.proxy import PduType
from tests.bearers.gateway import OURS, gateway, until
from tools.gattlab.lab import GattLab
from tools.gattlab.proxy_node import ProxyNode

UUID = bytes(range(16))
STATIC = bytes(range(32))
BOTH = 1 << Algorithm.CMAC_AES128 | 1 << Algorithm.HMAC_SHA256


class Label:
    """Knows the static value; is asked nothing."""

    def __init__(self) -> None:
        self.device_key = b""

    async def choose(self, said: Capabilities) -> Choice:
        return oob.choose(said, static=True, interactive=False)

    async def enter(self, choice: Choice) -> str:
        raise AssertionError("nothing is shown")

    async def show(self, choice: Choice, value: str) -> None:
        raise AssertionError("nothing is entered")

    async def keep(self, device_key: bytes) -> NetworkData:
        self.device_key = device_key
        return NetworkData(bytes(16), 0, 7, 0x0123)


async def unprovisioned(lab: GattLab, joined: list[Joined]) -> ProxyNode:
    """A device whose writes go to the device's machine, with the least MTU there is."""
    node = await lab.node(UUID + b"\x80\x00", mtu=23, service=PROVISIONING)
    device = Device(
        Capabilities(1, BOTH, static_oob=True, oob_only=True),
        KeyPair.generate(),
        os.urandom,
        Attempts(),
        static=STATIC,
    )

    def received(kind: PduType, data: bytes) -> None:
        assert kind is PduType.PROVISIONING
        for step in device.receive(data, 0.0):
            if isinstance(step, Send):
                node.send(PduType.PROVISIONING, step.pdu)
            if isinstance(step, Joined):
                joined.append(step)

    node.received = received
    return node


async def test_a_device_is_found_and_provisioned_through_bleak() -> None:
    async with GattLab() as lab:
        joined: list[Joined] = []
        node = await unprovisioned(lab, joined)
        bearer, dialogue = GattBearer(), Label()
        assert (await first(bearer)).device.uuid == UUID
        async with bearer.connect(UUID) as (link, wire):
            machine = Provisioner(KeyPair.generate(), os.urandom, static=STATIC)
            await provision(machine, link, wire, dialogue, SystemClock())
        assert joined == [Joined(NetworkData(bytes(16), 0, 7, 0x0123), dialogue.device_key)]
        assert max(map(len, node.raw)) == 20


async def test_a_device_that_hangs_up_is_a_named_error() -> None:
    async with GattLab() as lab:
        joined: list[Joined] = []
        node = await unprovisioned(lab, joined)
        bearer, dropping = GattBearer(), list[asyncio.Future[None]]()

        async def attempt() -> None:
            async with bearer.connect(UUID) as (link, wire):
                node.received = lambda kind, data: dropping.append(asyncio.ensure_future(node.drop()))
                machine = Provisioner(KeyPair.generate(), os.urandom, static=STATIC)
                await provision(machine, link, wire, Label(), SystemClock())

        with pytest.raises(Unavailable):
            await attempt()
        await asyncio.gather(*dropping)
        assert joined == []


async def test_a_device_that_is_not_there_is_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatt_bearer, "FIND_S", 0.3)

    async def attempt() -> None:
        async with GattBearer().connect(bytes(16)):
            raise AssertionError("there is nobody")

    async with GattLab():
        with pytest.raises(Unavailable, match="00000000"):
            await attempt()


async def test_scans_and_the_search_for_a_proxy_share_one_discovery() -> None:
    """bluetoothd grants a client no second one. Both hear, also what the other had heard before."""
    async with GattLab() as lab:
        await unprovisioned(lab, [])
        await lab.node(OURS)
        scan, searching = asyncio.ensure_future(first(GattBearer())), asyncio.Event()
        async with scanning_forever(searching), gateway() as ours:
            await ours.next(BearerUp)
            assert (await scan).device.uuid == UUID
            assert (await first(GattBearer())).device.uuid == UUID


async def test_a_scan_works_while_the_link_finds_no_proxy() -> None:
    async with GattLab() as lab:
        await unprovisioned(lab, [])
        async with gateway():
            assert (await first(GattBearer())).device.uuid == UUID


async def test_a_scan_that_was_cancelled_at_any_moment_blocks_no_later_one() -> None:
    async with GattLab() as lab:
        await unprovisioned(lab, [])
        for turns in range(24):
            scan = asyncio.ensure_future(GattBearer().scan(lambda _: None))
            for _ in range(turns):
                await asyncio.sleep(0)
            scan.cancel()
            await asyncio.gather(scan, return_exceptions=True)
            assert scan.cancelled()
        assert (await first(GattBearer())).device.uuid == UUID
        await until(lambda: not lab.bluez.discovering)


async def test_without_a_message_bus_a_scan_tells_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    with pytest.raises(Unavailable, match=r"message bus(.|\n)*fix: apt-get install bluez"):
        await GattBearer().scan(lambda _: None)


@asynccontextmanager
async def scanning_forever(heard: asyncio.Event) -> AsyncIterator[None]:
    """An operator's scan that goes on, and has heard something by now."""
    scan = asyncio.ensure_future(GattBearer().scan(lambda _: heard.set()))
    try:
        async with asyncio.timeout(20):
            await heard.wait()
        yield
    finally:
        scan.cancel()
        await asyncio.gather(scan, return_exceptions=True)


async def first(bearer: GattBearer) -> Heard:
    heard: asyncio.Queue[Heard] = asyncio.Queue()
    scan = asyncio.ensure_future(bearer.scan(heard.put_nowait))
    try:
        async with asyncio.timeout(20):
            return await heard.get()
    finally:
        scan.cancel()
        await asyncio.gather(scan, return_exceptions=True)
