"""Real mesh nodes scattered over a hall: links of every quality, which only the lab's air knows.

A link's PDR falls with distance, more steeply or less by walls that both ways share and by what tells them
apart. Relays were chosen as an installer would: more than enough.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any, Final, Self

from common.mesh.configuration import Transmit
from common.mesh.graph import LinkKey
from firmware_bridge.access.link_monitor import MONITOR_PROBES, MonitorSet
from firmware_bridge.access.message import build
from firmware_bridge.link import MeshLink
from tools.meshlab.commission import gateway_link
from tools.meshlab.meshsite import MeshSite
from tools.meshlab.sitefile import SitePlan
from tools.meshlab.topology import Pair, Topology
from tools.stage.fleet import Fleet

# Twice, 10 ms apart, the least that there is: a daemon sends one packet an interval and queues the rest.
TRANSMIT: Final = Transmit(2, 10)

HALF_M: Final = 1.0
"""Distance at which half of the packets arrive; places are in these units."""

TTL: Final = 8
STEEPNESS_M: Final = 0.12
WALLS_M: Final = 0.15
ONE_WAY_M: Final = 0.05
LEAST_PDR: Final = 0.02
MOST_PDR: Final = 0.98
NEIGHBOURS: Final = 7.0
"""Nodes within half distance, in the mean."""

GOOD_PDR: Final = 0.7
COVER: Final = 2
"""Relays that every node hears well, where there are as many."""

GATEWAY: Final = "gw-1"
TOLD: Final = 4
TOLD_EACH_S: Final = 1.0


def scattered(nodes: int, seed: int) -> Topology:
    """A topology of which node 0, in the middle, reaches all others over good links."""
    random = Random(f"scattered {nodes} {seed}")
    while True:
        topology = _drawn(nodes, random)
        if relays_of(topology) is not None:
            return topology


def relays_of(topology: Topology, cover: int = COVER) -> frozenset[int] | None:
    """Nodes that cover every node `cover` times as far as possible, grown from node 0, always the one that
    covers most; None when some node is out of reach."""
    near = _good(topology)
    count = dict.fromkeys(range(1, topology.nodes), 0)
    for node in near[0]:
        count[node] += 1
    chosen: list[int] = []
    while True:
        able = [node for node, times in count.items() if times and node not in chosen]
        gain = {node: sum(count.get(other, cover) < cover for other in near[node]) for node in able}
        best = max(gain, key=lambda node: gain[node], default=None)
        if best is None or not gain[best]:
            return frozenset(chosen) if all(count.values()) else None
        chosen.append(best)
        for other in near[best] - {0}:
            count[other] += 1


def _drawn(nodes: int, random: Random) -> Topology:
    side = HALF_M * math.sqrt(math.pi * nodes / (NEIGHBOURS + 1.0))
    places = [(side * random.random(), side * random.random()) for _ in range(nodes)]
    places[0] = (side / 2, side / 2)
    links: dict[Pair, float] = {}
    for a in range(nodes):
        for b in range(a):
            walls = random.gauss(0.0, WALLS_M)
            for pair in ((a, b), (b, a)):
                pdr = _pdr(math.dist(places[a], places[b]) + walls + random.gauss(0.0, ONE_WAY_M))
                if pdr >= LEAST_PDR:
                    links[pair] = round(1.0 - min(MOST_PDR, pdr), 4)
    return Topology(nodes, links)


def _pdr(distance_m: float) -> float:
    return 1.0 / (1.0 + math.exp((distance_m - HALF_M) / STEEPNESS_M))


def _good(topology: Topology) -> dict[int, set[int]]:
    good = {pair for pair, loss in topology.links.items() if 1.0 - loss >= GOOD_PDR}
    near: dict[int, set[int]] = {node: set() for node in range(topology.nodes)}
    for a, b in good:
        if (b, a) in good:
            near[a].add(b)
    return near


class ScatteredStage:
    """`async with ScatteredStage(folder, nodes, seed) as stage`: nodes up, provisioned and configured."""

    name = "hall"

    def __init__(
        self,
        folder: Path,
        nodes: int,
        seed: int = 1,
        monitor: MonitorSet | None = None,
        cover: int = COVER,
        repeats: int = TRANSMIT.count,
    ) -> None:
        self._topology = scattered(nodes, seed)
        relays = relays_of(self._topology, cover) or frozenset()
        self.plan = SitePlan(
            nodes,
            1,
            relays,
            network_transmit=TRANSMIT,
            relay_retransmit=Transmit(repeats, 10),
            default_ttl=TTL,
            name="hall",
        )
        self.ready_s = float("nan")
        self._monitor = monitor or MonitorSet(10, 10)
        self.site = MeshSite(folder, self.plan, Topology.star(nodes), seed)

    async def __aenter__(self) -> Self:
        """While everybody hears the gateway, the monitors are silenced, and begin at their first pace in a
        quiet hall: at the one that nodes begin with, a hundred would bury their relays before any agent could
        say a word."""
        begun = time.monotonic()
        async with AsyncExitStack() as stack:
            site = await stack.enter_async_context(self.site)
            lab, place = site.lab, site.gateway_state(0)
            async with gateway_link(lab, site.site, self.plan, 0, place) as link:
                await _tell(link, MonitorSet(period_units=0))
                await lab.set_topology(self._topology)
                await _tell(link, self._monitor)
            self._stack = stack.pop_all()
        self.ready_s = time.monotonic() - begun
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    @property
    def lamps(self) -> list[int]:
        """Unicast addresses of all nodes but the gateway."""
        return [self.plan.address_of(index) for index in self.plan.lamp_indices]

    def truth(self) -> dict[LinkKey, float]:
        """PDR of every link, by address, as the lab's air has it."""
        address = self.plan.address_of
        return {(address(a), address(b)): 1.0 - loss for (a, b), loss in self._topology.links.items()}

    async def add_agent(self, fleet: Fleet, **tables: dict[str, Any]) -> None:
        """Start the gateway's agent on the lab's first daemon."""
        mesh = {
            "link": "bluez",
            "site_file": str(self.site.site_file),
            "bus_address": self.site.lab.bus_address,
            "daemon_pid": self.site.lab.daemon_pid(0),
        }
        await fleet.add_agent(
            self.name, GATEWAY, self.plan.address_of(0), {"mesh": mesh, **tables}, self.site.gateway_state(0)
        )


async def _tell(link: MeshLink, monitor: MonitorSet) -> None:
    for _ in range(TOLD):
        await link.send(MONITOR_PROBES, build(monitor))
        await asyncio.sleep(TOLD_EACH_S)
