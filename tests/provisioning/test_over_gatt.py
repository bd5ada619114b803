"""PB-GATT: bleak's own backend finds, connects to and provisions a virtual device."""

from __future__ import annotations

import asyncio
import os

import pytest

from common.clock import SystemClock
from common.errors import Unavailable
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


async def first(bearer: GattBearer) -> Heard:
    heard: asyncio.Queue[Heard] = asyncio.Queue()
    scan = asyncio.ensure_future(bearer.scan(heard.put_nowait))
    try:
        async with asyncio.timeout(20):
            return await heard.get()
    finally:
        scan.cancel()
        await asyncio.gather(scan, return_exceptions=True)
