"""A simulated site on the stage: injured through its control socket."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from common.errors import Unavailable
from common.mesh.addresses import parse
from common.mesh.graph import SiteGraph


class VirtualStage:
    """The site that the agent behind `control` simulates."""

    def __init__(self, name: str, control: Path) -> None:
        self.name = name
        self._control = control

    async def graph(self) -> SiteGraph:
        """The links between live nodes as they are in truth."""
        answer = await self._order(links=True)
        nodes = (await self._order(state=True))["nodes"]
        dead = [parse(address) for address, node in nodes.items() if not node["alive"]]
        return SiteGraph({(a, b): pdr for a, b, pdr in answer["links"]}).without(dead)

    async def relays(self) -> frozenset[int]:
        """The live nodes whose relay feature is on."""
        nodes = (await self._order(state=True))["nodes"]
        return frozenset(parse(a) for a, node in nodes.items() if node["relay"] and node["alive"])

    async def kill(self, node: int) -> float:
        """Switch a node off; the monotonic time of it."""
        await self._order(down=node)
        return time.monotonic()

    async def revive(self, node: int) -> None:
        """Switch a node on again."""
        await self._order(up=node)

    async def hold(self, transmitter: int, receiver: int, pdr: float) -> None:
        """Keep a link at a PDR from now on."""
        await self._order(pdr=[transmitter, receiver, pdr])

    async def decay(self, transmitter: int, receiver: int, to: float, seconds: float) -> None:
        """Let a link go to another PDR, in a straight line."""
        await self._order(decay=[transmitter, receiver, to, seconds])

    async def _order(self, **order: Any) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(self._control, limit=1 << 24)
        try:
            writer.write(json.dumps(order).encode() + b"\n")
            line = await reader.readline()
        finally:
            writer.close()
        answer: dict[str, Any] = json.loads(line or b'{"error": "the site is gone"}')
        if "error" in answer:
            raise Unavailable(f"{self.name}: {answer['error']}")
        return answer
