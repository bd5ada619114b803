"""A real `bluetooth-meshd` is added and removed by the operator's desk, over PB-ADV on the lab's air.

The daemon sends one packet each half second, so that this takes half a minute: it is the only such test.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, Variant

from common.clock import SystemClock
from common.mesh import cdb
from common.mesh.addresses import show
from edge_agent.config import load_config
from edge_agent.nodes.access import stack_administration
from edge_agent.nodes.desk import Desk
from edge_agent.nodes.store import PlainSite
from firmware_bridge.bearers.air import AirBearer, AirPlace
from firmware_bridge.stack_mesh import StackMeshLink, StackSettings
from tests.agent.test_config import TEXT, write
from tests.meshlab.raw_node import ROOT, RawNode
from tools.meshlab.lab import Lab
from tools.meshlab.sitefile import FIRST_ADDRESS, SitePlan
from tools.meshlab.sitefile import write as write_site
from tools.meshlab.topology import Topology

pytestmark = [pytest.mark.meshlab, pytest.mark.alone]

GATEWAY = FIRST_ADDRESS
NODE = 0x0001
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


class Books:
    """A gateway's stack on the air, and the operator's desk over it, with a site of the gateway alone."""

    def __init__(self, folder: Path, sockets: Path) -> None:
        self.path = folder / "site.json"
        site = write_site(self.path, SitePlan(1))
        text = TEXT.replace('"virtual"', f'"stack"\nbearer = "air"\nair = "{sockets}"\nair_node = 1')
        text = text.replace("0x0001", show(GATEWAY)).replace("[mesh]", '[mesh]\nsite_file = "site.json"')
        config = load_config(write(folder, text))
        settings = StackSettings(site, GATEWAY, folder / "state")
        self.link = StackMeshLink(settings, AirBearer(AirPlace(sockets, 1)))
        administration = stack_administration(self.link, config)
        self.desk = Desk(
            GATEWAY, PlainSite(self.path), administration, self._refresh, SystemClock(), lambda *_, **__: None
        )
        self._known = set(self.link.addresses())

    async def _refresh(self) -> None:
        site = cdb.read(self.path)
        now = {node.unicast_address for node in site.live_nodes()}
        await self.link.adopt(site, now - self._known)
        self._known = now

    def file(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.path.read_text())
        return read

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        await self.link.open()
        running = asyncio.ensure_future(self.desk.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await self.link.close()

    async def add(self, uuid: bytes) -> dict[str, Any]:
        """Add the device; the job's last step."""
        job = (await self.desk.add({"uuid": uuid.hex(), "static": STATIC.hex(), "relay": True}))["job"]
        seen = 0
        while True:
            told = await self.desk.follow({"job": job, "seen": seen})
            seen += len(told["steps"])
            if told["over"]:
                last: dict[str, Any] = told["steps"][-1]
                return last


@pytest.mark.timeout(240)
async def test_a_real_daemon_is_added_set_up_and_removed(tmp_path: Path) -> None:
    async with Lab(tmp_path / "lab", 1, Topology.full(2)) as lab:
        books = Books(tmp_path, Path(lab.state()["sockets"]))
        async with books.open(), Newcomer(lab.bus_address, await lab.bus_name(0), NODE) as newcomer:
            await newcomer.wait_for_provisioner()
            found = await books.desk.scan({"seconds": 5})
            assert [device["uuid"] for device in found["devices"]] == [newcomer.uuid.hex()]
            added, _ = await asyncio.gather(books.add(newcomer.uuid), newcomer.joined())
            assert added == {"step": "done", "node": show(NODE)}
            assert list(await newcomer.states("Addresses")) == [NODE]
            entry = books.file()["nodes"][-1]
            assert (entry["security"], entry["configComplete"], entry["crpl"]) == ("secure", True, "0064")
            bound = {m["modelId"] for m in entry["elements"][0]["models"] if m["bind"]}
            assert "1000" in bound
            told = await books.desk.remove({"node": show(NODE)})
            # The daemon's last word never leaves it: it is asked again, and is silent.
            assert told["reset"] is True
            assert books.file()["networkExclusions"] == [{"ivIndex": 0, "addresses": [f"{NODE:04X}"]}]
