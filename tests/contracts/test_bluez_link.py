"""The link over a real `bluetooth-meshd` holds the contract of mesh links, on four real nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio

from firmware_bridge.access.link_monitor import MonitorSet
from tests.bridge.real_site import GATEWAY, GROUP, RealSite, address_of, index_of
from tests.contracts.mesh_link import Mesh, MeshLinkContract
from tools.meshlab.topology import Topology

T = TypeVar("T")

# The gateway, two relays beside each other, and behind both a far node.
DIAMOND = Topology.from_links(4, [(0, 1), (0, 2), (1, 3), (2, 3)])
QUICK_MONITOR = MonitorSet(period_units=4, report_every=3, transmissions=1)


class BluezMesh(Mesh):
    gateway, near, far, group = GATEWAY, address_of(1), address_of(3), GROUP

    def __init__(self, site: RealSite) -> None:
        self.site = site
        self.link = site.link

    async def kill(self, address: int) -> None:
        await self.site.lab.kill(index_of(address))

    async def revive(self, address: int) -> None:
        await self.site.lab.restart(index_of(address))

    async def cut(self) -> None:
        await self.site.lab.kill(0)

    async def mend(self) -> None:
        await self.site.lab.restart(0)

    async def within(self, seconds: float, what: Awaitable[T]) -> T:
        async with asyncio.timeout(seconds):
            return await what


@pytest.mark.meshlab
class TestBluezLink(MeshLinkContract):
    @pytest_asyncio.fixture
    async def mesh(self, tmp_path: Path) -> AsyncIterator[BluezMesh]:
        async with RealSite(tmp_path, Topology.star(4)) as site:
            await site.link.open()
            await site.commission(relays=(1, 2))
            await site.hasten(QUICK_MONITOR)
            await site.link.close()
            await site.lab.set_topology(DIAMOND)
            yield BluezMesh(site)
