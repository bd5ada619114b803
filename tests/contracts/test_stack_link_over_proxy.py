"""The link over our own stack holds the contract through bleak and a GATT proxy, too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.contracts.mesh_link import MeshLinkContract
from tests.contracts.test_stack_link import DIAMOND, StackMesh, hasten
from tools.interoperability.proxied import ProxiedSite
from tools.meshlab.topology import Topology


class ProxiedMesh(StackMesh):
    site: ProxiedSite

    async def cut(self) -> None:
        self.site.proxy.node.refuse = True
        await self.site.proxy.node.drop()

    async def mend(self) -> None:
        self.site.proxy.node.refuse = False


@pytest.mark.meshlab
class TestStackLinkOverProxy(MeshLinkContract):
    @pytest_asyncio.fixture
    async def mesh(self, tmp_path: Path) -> AsyncIterator[ProxiedMesh]:
        async with ProxiedSite(tmp_path, Topology.full(4)) as site:
            await site.link.open()
            await site.commission(relays=(0, 1))
            await hasten(site)
            await site.link.close()
            await site.lab.set_topology(DIAMOND)
            yield ProxiedMesh(site)
