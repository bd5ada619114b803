"""The link of a machine that has no mesh: it only computes for gateways that have one. Nothing ever comes
from it, and nothing can be sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from common.errors import NotSupported
from common.mesh.configuration import ConfigurationChange, NodeConfiguration
from firmware_bridge.link import Event


class NoMesh:
    """Implements `MeshLink` as far as that can be."""

    def __init__(self) -> None:
        self._closed = asyncio.Event()

    async def open(self) -> None:
        """There is nothing to attach to."""

    async def close(self) -> None:
        """`events` ends."""
        self._closed.set()

    async def events(self) -> AsyncIterator[Event]:
        """None, until `close`."""
        await self._closed.wait()
        nothing: tuple[Event, ...] = ()
        for event in nothing:
            yield event

    async def configure(self, address: int, change: ConfigurationChange) -> NodeConfiguration:
        """Raises NotSupported, as everything that follows."""
        raise _no_mesh()

    async def send(self, destination: int, payload: bytes) -> None:
        raise _no_mesh()

    async def request(self, destination: int, payload: bytes, response: int, timeout: float) -> bytes:
        raise _no_mesh()

    async def restart(self, address: int) -> None:
        raise _no_mesh()


def _no_mesh() -> NotSupported:
    return NotSupported("this machine has no mesh (mesh.link)")
