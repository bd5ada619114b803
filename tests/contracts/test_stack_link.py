"""The link over our own stack holds the contract of mesh links, on the air with real daemons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio

from common.errors import TimedOut
from firmware_bridge.access.link_monitor import MonitorSet, MonitorStatus
from firmware_bridge.access.message import build
from tests.bridge.real_site import insist
from tests.contracts.mesh_link import Mesh, MeshLinkContract
from tools.interoperability.site import GATEWAY, GROUP, StackSite, lamp_address
from tools.meshlab.topology import Topology

T = TypeVar("T")

# The gateway is node 3; beside it are two relays, and behind both a far lamp.
DIAMOND = Topology.from_links(4, [(3, 0), (3, 1), (0, 2), (1, 2)])
QUICK_MONITOR = MonitorSet(period_units=4, report_every=3, transmissions=1)


class StackMesh(Mesh):
    gateway, near, far, group = GATEWAY, lamp_address(0), lamp_address(2), GROUP
    without_relay = GATEWAY

    def __init__(self, site: StackSite) -> None:
        self.site = site
        self.link = site.link

    async def kill(self, address: int) -> None:
        await self.site.lab.kill(address - lamp_address(0))

    async def revive(self, address: int) -> None:
        await self.site.lab.restart(address - lamp_address(0))

    async def cut(self) -> None:
        place = self.site.place
        place.theirs.rename(place.folder / "away")

    async def mend(self) -> None:
        place = self.site.place
        (place.folder / "away").rename(place.theirs)

    async def within(self, seconds: float, what: Awaitable[T]) -> T:
        async with asyncio.timeout(seconds):
            return await what


async def hasten(site: StackSite) -> None:
    """Let everybody monitor quickly, the gateway's own node too."""
    for address in (GATEWAY, *map(lamp_address, range(3))):
        ask = partial(site.link.request, address, build(QUICK_MONITOR), MonitorStatus.OPCODE, 0.5)
        await insist(ask, TimedOut)


@pytest.mark.meshlab
class TestStackLink(MeshLinkContract):
    @pytest_asyncio.fixture
    async def mesh(self, tmp_path: Path) -> AsyncIterator[StackMesh]:
        async with StackSite(tmp_path, Topology.full(4)) as site:
            await site.link.open()
            await site.commission(relays=(0, 1))
            await hasten(site)
            await site.link.close()
            await site.lab.set_topology(DIAMOND)
            yield StackMesh(site)
