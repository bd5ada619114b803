"""Injure a site and measure how long until everybody answers again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from common.clock import Clock, SystemClock
from common.mesh.graph import Flooding, SiteGraph

ROUND_TRIPS = 3
PING_TIMEOUT_S = 0.35
GIVE_UP_S = 30.0
AT_ONCE = 3
"""Questions under way. A gateway sends some 25 messages a second, and all relays repeat every question:
eight at once fill its queue and the channel, and none is answered in time."""

FIRST_SIGN_PAUSE_S = 0.15
"""Between two questions before anybody answered: the questions must not crowd out the repair."""

TRANSMISSIONS = 2
"""Network transmit and relay retransmit of the sites on the stage."""

SERVED, CUT_OFF = 0.9, 0.2
"""Delivery that counts as service, and as none: weak links let a few messages through everywhere."""

Ping = Callable[[int], Awaitable[bool]]


class Site(Protocol):
    """A site that can be injured. Addresses are unicast."""

    name: str

    async def graph(self) -> SiteGraph:
        """The links between live nodes as they are in truth."""

    async def relays(self) -> frozenset[int]:
        """The live nodes whose relay feature is on, as the nodes themselves have it."""

    async def kill(self, node: int) -> float:
        """Kill a node; the monotonic time at which it was done."""

    async def revive(self, node: int) -> None:
        """Bring a node back, with its keys and configuration."""


@dataclass(frozen=True, slots=True)
class Healed:
    """One fault: `seconds` from the kill to the last cut-off node's third answer in a row, `first_sign_s` to
    the first answer of any; None if never."""

    relay: int
    cut_off: frozenset[int]
    seconds: float | None
    first_sign_s: float | None = None


def cut_off_by(
    graph: SiteGraph, relays: frozenset[int], roots: Mapping[int, Iterable[int]], node: int
) -> frozenset[int]:
    """The nodes that lose their gateway when `node` dies. `roots` maps gateways to the nodes they serve."""
    lost: set[int] = set()
    for gateway, served in roots.items():
        before = _delivery(graph, gateway, relays)
        after = _delivery(graph.without([node]), gateway, relays - {node})
        lost |= {n for n in served if before.get(n, 0.0) >= SERVED and after.get(n, 0.0) < CUT_OFF}
    return frozenset(lost - {node})


def can_be_mended(
    graph: SiteGraph,
    changeable: frozenset[int],
    relays: frozenset[int],
    gateway: int,
    dead: int,
    lost: Iterable[int],
) -> bool:
    """Whether switching on nodes among `changeable` reaches all of `lost` again from `gateway`."""
    reached = _delivery(graph.without([dead]), gateway, (relays | changeable) - {dead})
    return all(reached.get(node, 0.0) >= SERVED for node in lost)


def _delivery(graph: SiteGraph, gateway: int, relays: frozenset[int]) -> dict[int, float]:
    """The worse direction between the gateway and each node."""
    flooding = Flooding(relays, TRANSMISSIONS, TRANSMISSIONS)
    down, up = graph.flood_from(gateway, flooding), graph.flood_to(gateway, flooding)
    return {node: min(down[node].delivery, up[node].delivery) for node in down.keys() & up.keys()}


async def measure(
    site: Site, relay: int, cut_off: frozenset[int], ping: Ping, clock: Clock | None = None
) -> Healed:
    """Kill `relay` and wait until each node of `cut_off` answered three times in a row. `clock` is the one
    that `site` and `ping` live by."""
    clock = clock or SystemClock()
    killed_at = await site.kill(relay)
    times: list[float] = []

    async def heal() -> None:
        await _three_in_a_row(cut_off, ping, clock, lambda: times.append(clock.monotonic() - killed_at))
        times.append(clock.monotonic() - killed_at)

    healing, limit = asyncio.ensure_future(heal()), asyncio.ensure_future(clock.sleep(GIVE_UP_S))
    try:
        await asyncio.wait({healing, limit}, return_when=asyncio.FIRST_COMPLETED)
        if not healing.done():
            return Healed(relay, cut_off, None)
        healing.result()
    finally:
        healing.cancel()
        limit.cancel()
        await asyncio.gather(healing, limit, return_exceptions=True)
    return Healed(relay, cut_off, times[1], times[0])


async def _three_in_a_row(nodes: Iterable[int], ping: Ping, clock: Clock, sign: Callable[[], None]) -> None:
    """Ask every node, in turns, until each answered three times in a row; `sign` is told the first answer of
    any. A message sent before the kill took effect may still be answered: the other two are not."""
    gate = asyncio.Semaphore(AT_ONCE)
    anybody = asyncio.Event()
    pause = asyncio.Lock()

    async def before_anybody() -> None:
        async with pause:
            if not anybody.is_set():
                await clock.sleep(FIRST_SIGN_PAUSE_S)

    async def in_a_row(node: int) -> None:
        answers = 0
        while answers < ROUND_TRIPS:
            async with gate:
                await before_anybody()
                answers = answers + 1 if await ping(node) else 0
            if answers and not anybody.is_set():
                anybody.set()
                sign()

    async with asyncio.TaskGroup() as tasks:
        for node in sorted(nodes):
            tasks.create_task(in_a_row(node))
