"""A real `bluetooth-meshd` is provisioned by ours, over PB-ADV on the lab's air.

The daemon sends one packet each half second, so that this takes half a minute: it is the only such test.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, Variant

from common.clock import SystemClock
from firmware_bridge.bearers.air import AirBearer, AirPlace
from firmware_bridge.bearers.bearer import PduReceived
from firmware_bridge.provisioning import oob
from firmware_bridge.provisioning.adv_bearer import AdvBearer, BearerRadio
from firmware_bridge.provisioning.bearer import Heard
from firmware_bridge.provisioning.pdus import Algorithm, Capabilities, Choice
from firmware_bridge.provisioning.provisioner import Provisioner
from firmware_bridge.provisioning.security import KeyPair, NetworkData
from firmware_bridge.provisioning.session import provision
from tests.meshlab.raw_node import ROOT, RawNode
from tools.meshlab.lab import Lab
from tools.meshlab.topology import Topology

pytestmark = [pytest.mark.meshlab, pytest.mark.alone]

ADDRESS = 0x0123
NET_KEY = bytes(range(16))
STATIC = bytes(range(100, 116))


class Newcomer(RawNode):
    """A node whose daemon waits to be provisioned, and knows a static value. Daemons up to 5.66 mistake the
    byte order of their own actions, so that values cannot be shown or entered."""

    async def wait_for_provisioner(self) -> None:
        await self._call("/org/bluez/mesh", "Network1", "Join", "oay", [ROOT, self._uuid])

    async def joined(self) -> None:
        await asyncio.wait_for(self._joined, 60)
        await self.attach()

    async def states(self, name: str) -> Any:
        message = Message(
            self.daemon, self._path, "org.freedesktop.DBus.Properties", "Get",
            signature="ss", body=["org.bluez.mesh.Node1", name],
        )  # fmt: skip
        reply = await asyncio.wait_for(self._bus.call(message), 10)
        assert reply is not None
        return reply.body[0].value

    @property
    def uuid(self) -> bytes:
        return self._uuid

    def _called(self, message: Message) -> Message | None:
        if message.member == "PromptStatic":
            return Message.new_method_return(message, "ay", [STATIC])
        answer = super()._called(message)
        if message.member == "GetManagedObjects" and answer is not None:
            agent = {"org.bluez.mesh.ProvisionAgent1": {"Capabilities": Variant("as", ["static-oob"])}}
            answer.body[0][f"{ROOT}/agent"] = agent
        return answer


class Label:
    """Knows the device's static value, and needs to be asked nothing."""

    async def choose(self, said: Capabilities) -> Choice:
        assert said.can(Algorithm.CMAC_AES128)
        return oob.choose(said, static=True, interactive=False)

    async def enter(self, choice: Choice) -> str:
        raise AssertionError("nothing is shown")

    async def show(self, choice: Choice, value: str) -> None:
        raise AssertionError("nothing is entered")

    async def keep(self, device_key: bytes) -> NetworkData:
        return NetworkData(NET_KEY, 0, 5, ADDRESS)


async def overhear(bearer: AirBearer, radio: BearerRadio) -> None:
    async for event in bearer.events():
        if isinstance(event, PduReceived):
            radio.offer(event.kind, event.data)


@pytest.mark.timeout(300)
async def test_a_real_daemon_becomes_a_node_of_our_network(tmp_path: Path) -> None:
    async with Lab(tmp_path, 1, Topology.full(2)) as lab:
        bearer = AirBearer(AirPlace(Path(lab.state()["sockets"]), 1))
        radio = BearerRadio(bearer.send)
        await bearer.open()
        listening = asyncio.ensure_future(overhear(bearer, radio))
        try:
            async with Newcomer(lab.bus_address, await lab.bus_name(0), ADDRESS) as newcomer:
                await newcomer.wait_for_provisioner()
                advertising = AdvBearer(radio)
                assert (await first(advertising)).device.uuid == newcomer.uuid
                async with advertising.connect(newcomer.uuid) as (link, wire):
                    machine = Provisioner(KeyPair.generate(), os.urandom, static=STATIC)
                    await provision(machine, link, wire, Label(), SystemClock())
                await newcomer.joined()
                assert list(await newcomer.states("Addresses")) == [ADDRESS]
                assert await newcomer.states("IvIndex") == 5
        finally:
            await bearer.close()
            await listening


async def first(bearer: AdvBearer) -> Heard:
    heard: asyncio.Queue[Heard] = asyncio.Queue()
    scan = asyncio.ensure_future(bearer.scan(heard.put_nowait))
    try:
        async with asyncio.timeout(60):
            return await heard.get()
    finally:
        scan.cancel()
        await asyncio.gather(scan, return_exceptions=True)
