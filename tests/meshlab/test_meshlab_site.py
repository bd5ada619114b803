"""A whole site of real nodes: configured as planned, and used over its wanted topology."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import TimedOut, Unavailable
from common.mesh import cdb
from common.mesh.configuration import ConfigurationChange, Transmit
from firmware_bridge.access.generic_onoff import OnOffSet, OnOffStatus
from firmware_bridge.access.link_monitor import MonitorSet, MonitorStatus
from firmware_bridge.access.message import AccessMessage, build
from firmware_bridge.bluez_mesh import BluezMeshLink
from firmware_bridge.link import NeighbourReport
from tools.meshlab.commission import gateway_link
from tools.meshlab.meshsite import MeshSite
from tools.meshlab.poll import until
from tools.meshlab.sitefile import SitePlan
from tools.meshlab.topology import Topology

pytestmark = pytest.mark.meshlab

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 30
PLAN = SitePlan(4, gateways=2, relays=frozenset({2}), default_ttl=6, network_transmit=Transmit(2, 10))
# Gateway 0 - relay 2 - lamp 3, and gateway 1 hears nobody.
TOPOLOGY = Topology.from_links(4, [(0, 2), (2, 3)])


async def test_a_site_is_configured_as_planned_and_its_topology_in_place(tmp_path: Path) -> None:
    async with MeshSite(tmp_path, PLAN, TOPOLOGY) as site:
        assert await site.lab.topology() == TOPOLOGY
        async with gateway_link(site.lab, site.site, PLAN, 0, site.gateway_state(0)) as link:
            for index in (0, 2, 3):
                stated = await link.configure(PLAN.address_of(index), ConfigurationChange())
                assert stated.relay is (index == 2)
                assert stated.default_ttl == 6
                assert stated.network_transmit == Transmit(2, 10)
            await _answers(link, PLAN.address_of(3))
            await _reports(link, {PLAN.address_of(2), PLAN.address_of(3)})
        async with gateway_link(site.lab, site.site, PLAN, 1, site.gateway_state(1)) as link:
            stated = await link.configure(PLAN.address_of(1), ConfigurationChange())
            assert stated.default_ttl == 6


async def test_a_lamp_whose_daemon_was_killed_comes_back_by_itself(tmp_path: Path) -> None:
    plan = SitePlan(2)
    async with (
        MeshSite(tmp_path, plan) as site,
        gateway_link(site.lab, site.site, plan, 0, site.gateway_state(0)) as link,
    ):
        await site.lab.kill(1)
        await site.lab.restart(1)
        await _answers(link, plan.address_of(1))


async def test_a_lamp_that_is_told_to_restart_reboots_its_daemon(tmp_path: Path) -> None:
    plan = SitePlan(2)
    async with (
        MeshSite(tmp_path, plan) as site,
        gateway_link(site.lab, site.site, plan, 0, site.gateway_state(0)) as link,
    ):
        pid = site.lab.daemon_pid(1)
        await link.restart(plan.address_of(1))
        async with asyncio.timeout(SECONDS):
            await until(lambda: site.lab.daemon_pid(1) != pid)
        await _answers(link, plan.address_of(1))


async def test_a_site_starts_again_where_it_was(tmp_path: Path) -> None:
    plan = SitePlan(2)
    async with MeshSite(tmp_path, plan) as site:
        keys = site.site.net_keys[0].key.reveal()
    async with MeshSite(tmp_path, plan) as site:
        assert site.site.net_keys[0].key.reveal() == keys
        async with gateway_link(site.lab, site.site, plan, 0, site.gateway_state(0)) as link:
            await _answers(link, plan.address_of(1))


async def test_a_site_tells_when_its_lamps_are_gone(tmp_path: Path) -> None:
    async with MeshSite(tmp_path, SitePlan(2)) as site:
        (lamps,) = (child for child in site.lab.essential if child.name == "nodes")
        lamps.kill()
        with pytest.raises(Unavailable, match="nodes ended"):
            await site.run()


def test_the_command_line_makes_a_mesh(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tools.meshlab",
        "up",
        "--folder",
        str(tmp_path),
        "--count",
        "3",
        "--json",
    ]
    command += ["--gateways", "1", "--relay", "1", "--topology", "line"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        state = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    site = cdb.read(tmp_path / "site.json")
    assert [node.configuration().relay for node in site.nodes] == [False, True, False]
    assert state["count"] == 3
    assert (tmp_path / "gateway-0" / "tokens").is_dir()


async def _answers(link: BluezMeshLink, address: int) -> None:
    """Return once a lamp answered an OnOff message."""
    await _insist(link, address, OnOffSet(True, 1), OnOffStatus.OPCODE)


async def _insist(link: BluezMeshLink, address: int, question: AccessMessage, answer: int) -> None:
    async def answered() -> bool:
        try:
            await link.request(address, build(question), answer, 0.5)
        except TimedOut:
            return False
        return True

    async with asyncio.timeout(SECONDS):
        await until(answered)


async def _reports(link: BluezMeshLink, receivers: set[int]) -> None:
    """Return once each of these nodes, told to be quick, has reported its neighbours."""
    for receiver in receivers:
        await _insist(link, receiver, MonitorSet(2, 2, 1), MonitorStatus.OPCODE)
    missing = set(receivers)
    async with asyncio.timeout(SECONDS):
        async for event in link.events():
            if isinstance(event, NeighbourReport):
                missing.discard(event.receiver)
            if not missing:
                return
