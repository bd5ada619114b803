"""The link of a machine without a mesh: nothing comes, nothing goes, and it ends when it is told to."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import NotSupported
from common.mesh.configuration import ConfigurationChange
from firmware_bridge.link import MeshLink
from firmware_bridge.no_mesh import NoMesh


async def test_nothing_comes_until_it_is_closed() -> None:
    link: MeshLink = NoMesh()
    await link.open()

    async def heard() -> list[object]:
        return [event async for event in link.events()]

    listening = asyncio.ensure_future(heard())
    await asyncio.sleep(0)
    assert not listening.done()
    await link.close()
    await link.close()
    assert await listening == []


async def test_everything_else_is_refused_by_name() -> None:
    link: MeshLink = NoMesh()
    for asked in (
        link.configure(1, ConfigurationChange()),
        link.send(1, b"\x82\x01"),
        link.request(1, b"\x82\x01", 0x8204, 1.0),
        link.restart(1),
    ):
        with pytest.raises(NotSupported, match="no mesh"):
            await asked
