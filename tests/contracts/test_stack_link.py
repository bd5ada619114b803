"""The link over our own stack holds the contract of mesh links, on the air with real daemons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio

from firmware_bridge.access.link_monitor import MonitorSet
from tests.bridge.real_site import GATEWAY, GROUP
from tests.bridge.stack_site import LAMP, StackSite, lamp
from tests.contracts.mesh_link import Mesh, MeshLinkContract
from tools.meshlab.topology import Topology

T = TypeVar("T")

# The gateway is node 3; beside it are two relays, and behind both a far lamp.
DIAMOND = Topology.from_links(4, [(3, 0), (3, 1), (0, 2), (1, 2)])
QUICK_MONITOR = MonitorSet(period_units=4, report_every=3, transmissions=1)


class StackMesh(Mesh):
    gateway, near, far, group = GATEWAY, lamp(0), lamp(2), GROUP
    without_relay = GATEWAY

    def __init__(self, site: StackSite) -> None:
        self.site = site
        self.link = site.link

    async def kill(self, address: int) -> None:
        await self.site.lab.kill(address - LAMP)

    async def revive(self, address: int) -> None:
        await self.site.lab.restart(address - LAMP)

    async def cut(self) -> None:
        self.site.cut()

    async def mend(self) -> None:
        self.site.mend()

    async def within(self, seconds: float, what: Awaitable[T]) -> T:
        async with asyncio.timeout(seconds):
            return await what


@pytest.mark.meshlab
class TestStackLink(MeshLinkContract):
    @pytest_asyncio.fixture
    async def mesh(self, tmp_path: Path) -> AsyncIterator[StackMesh]:
        async with StackSite(tmp_path, Topology.star(4)) as site:
            await site.lab.set_topology(Topology.full(4))
            await site.link.open()
            await site.commission(relays=(0, 1))
            await site.hasten(QUICK_MONITOR)
            await site.link.close()
            await site.lab.set_topology(DIAMOND)
            yield StackMesh(site)
