"""Real mesh nodes on the stage: twelve lamps along a corridor and two gateways.

    row 0    o   R   R   R   R   o        a lamp hears its neighbours in all eight directions;
    row 1    o   o   o   o   o   o        four lamps of row 0 relay, the others could
                  └─ gw-a1 ─┘   └─ gw-a2
            gw-a1 hears columns 2 and 3, gw-a2 columns 4 and 5

Whichever relay dies, what lies behind it is cut off, and the lamp across the corridor can bridge the gap.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from common.mesh.configuration import Transmit
from common.mesh.graph import SiteGraph
from tools.meshlab.meshsite import MeshSite
from tools.meshlab.sitefile import SitePlan
from tools.meshlab.topology import Pair, Topology
from tools.stage.fleet import Fleet

GATEWAYS: Final = 2
COLUMNS: Final = 6
ROWS: Final = 2
RELAY_ROW: Final = 0
RELAY_COLUMNS: Final = (1, 2, 3, 4)
HEARD_BY: Final = {0: (2, 3), 1: (4, 5)}
"""Columns whose lamps a gateway hears, and is heard by."""

# Twice, 10 ms apart, the least that there is: a daemon sends one packet an interval and queues the rest.
TRANSMIT: Final = Transmit(2, 10)


def lamp(row: int, column: int) -> int:
    """The lab's index of a lamp."""
    return GATEWAYS + row * COLUMNS + column


def topology(loss: float) -> Topology:
    """The picture above, with the same loss on every link."""
    return Topology.from_links(GATEWAYS + ROWS * COLUMNS, _pairs(), loss)


def plan() -> SitePlan:
    """Addresses and relays."""
    relays = frozenset(lamp(RELAY_ROW, column) for column in RELAY_COLUMNS)
    return SitePlan(
        GATEWAYS + ROWS * COLUMNS,
        GATEWAYS,
        relays,
        network_transmit=TRANSMIT,
        relay_retransmit=TRANSMIT,
        name="site A",
    )


def _pairs() -> Iterator[Pair]:
    for gateway, columns in HEARD_BY.items():
        for column in columns:
            yield from ((gateway, lamp(row, column)) for row in range(ROWS))
    for row in range(ROWS):
        for column in range(COLUMNS):
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                if row + down < ROWS and 0 <= column + right < COLUMNS:
                    yield lamp(row, column), lamp(row + down, column + right)


class LampStage:
    """`async with LampStage(folder, loss) as stage`: nodes up, provisioned and configured."""

    name = "site-a"

    def __init__(self, folder: Path, loss: float = 0.1, seed: int = 1) -> None:
        self.plan = plan()
        self.ready_s = float("nan")
        self._site = MeshSite(folder, self.plan, topology(loss), seed)
        self._fleet: Fleet | None = None
        self._dead: set[int] = set()

    async def __aenter__(self) -> Self:
        begun = time.monotonic()
        await self._site.__aenter__()
        self.ready_s = time.monotonic() - begun
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._site.__aexit__(None, None, None)

    def address(self, index: int) -> int:
        """A node's unicast address."""
        return self.plan.address_of(index)

    async def add_agents(self, fleet: Fleet, **tables: dict[str, object]) -> None:
        """Start the agents gw-a1 and gw-a2 on the lab's first two daemons."""
        self._fleet = fleet
        for index in self.plan.gateway_indices:
            mesh = {
                "link": "bluez",
                "site_file": str(self._site.site_file),
                "bus_address": self._site.lab.bus_address,
                "daemon_pid": self._site.lab.daemon_pid(index),
            }
            await fleet.add_agent(
                self.name,
                f"gw-a{index + 1}",
                self.address(index),
                {"mesh": mesh, **tables},
                self._site.gateway_state(index),
            )

    async def graph(self) -> SiteGraph:
        """The links between live nodes as they are in truth, by address."""
        links = (await self._site.lab.topology()).links
        truth = {(self.address(a), self.address(b)): 1.0 - loss for (a, b), loss in links.items()}
        return SiteGraph(truth).without(self._dead)

    async def relays(self) -> frozenset[int]:
        """The live relays, as the first gateway read them from the nodes."""
        assert self._fleet is not None
        status = await self._fleet.ask_agent("gw-a1", "status")
        return frozenset(int(n["address"], 16) for n in status["nodes"] if n["relay"] and n["alive"])

    async def kill(self, node: int) -> float:
        """SIGKILL for the node's daemon; the monotonic time of it."""
        killed_at = time.monotonic()
        self._dead.add(node)
        await self._site.lab.kill(self.plan.index_of(node))
        return killed_at

    async def revive(self, node: int) -> None:
        """Start the node's daemon again: it keeps its storage, and its lamp attaches by itself."""
        await self._site.lab.restart(self.plan.index_of(node))
        self._dead.discard(node)
