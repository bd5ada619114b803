"""The virtual link holds the contract of mesh links, and what its site promises besides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

import pytest
import pytest_asyncio

from common.clock import ManualClock
from firmware_bridge.access.link_monitor import MonitorStatus
from firmware_bridge.virtual import VirtualLink, VirtualSite
from tests.contracts.mesh_link import Mesh, MeshLinkContract

T = TypeVar("T")

GROUP = 0xC000
STEP_S = 0.01


def chain(*path: int, pdr: float) -> dict[tuple[int, int], float]:
    """Links both ways along a path."""
    pairs = list(zip(path, path[1:], strict=False))
    return {key: pdr for a, b in pairs for key in ((a, b), (b, a))}


class VirtualMesh(Mesh):
    """1 (gateway) – 2 – 3 – 4, a second way from 1 over 5 to 3, and 6 beside 2."""

    gateway, near, far = 1, 2, 4
    group, unmonitored, without_relay = GROUP, 6, 6

    def __init__(self, pdr: float) -> None:
        self.site = VirtualSite(
            chain(1, 2, 3, 4, pdr=pdr) | chain(1, 5, 3, pdr=pdr) | chain(2, 6, 5, pdr=pdr),
            relays=(2, 3, 5),
            monitor=MonitorStatus(period_units=5, report_every=4, transmissions=2),
            without_monitor=(6,),
            without_relay=(6,),
            groups={GROUP: (2, 4)},
            gateways=(1,),
        )
        self.clock = ManualClock()
        self.link = VirtualLink(self.site, self.gateway, self.clock)

    async def kill(self, address: int) -> None:
        self.site.down(address)

    async def revive(self, address: int) -> None:
        self.site.up(address)

    async def cut(self) -> None:
        self.site.down(self.gateway)

    async def mend(self) -> None:
        self.site.up(self.gateway)

    async def within(self, seconds: float, what: Awaitable[T]) -> T:
        task = asyncio.ensure_future(what)
        end = self.clock.monotonic() + seconds
        while not task.done() and self.clock.monotonic() < end:
            await self.clock.advance(STEP_S)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise AssertionError(f"not done within {seconds} s")
        return task.result()


class TestVirtualLink(MeshLinkContract):
    @pytest_asyncio.fixture(params=[1.0, 0.9], ids=["no loss", "10 % loss"])
    async def mesh(self, request: pytest.FixtureRequest) -> AsyncIterator[VirtualMesh]:
        mesh = VirtualMesh(request.param)
        yield mesh
        await mesh.link.close()
