"""How often a flow is up when its links come and go: a small Markov model.

Each link is up or down on its own, leaving either state at a constant rate. The states of the few links that
matter (those of the shortest ways that share no relay, and some more ways) are enumerated, so the answer is
exact for them: the steady state is a product, and the rate of outages is the flow of probability from states
with a way to states without. Ways left out make it pessimistic.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from common.mesh.graph import LinkKey
from coordinator.twin.graph import Topology

MAX_LINKS: Final = 16
"""65,536 states."""

DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class UpDown:
    """Mean times a link stays up and down, in seconds."""

    up_s: float
    down_s: float

    @property
    def availability(self) -> float:
        """Share of the time it is up."""
        return self.up_s / (self.up_s + self.down_s)

    @classmethod
    def observed(cls, times_s: Sequence[float], up: Sequence[bool]) -> UpDown:
        """From states seen at ascending times, the last until the last time. A state that was never left
        counts as left once at the end, so that short records are not taken for eternity."""
        spent = {True: 0.0, False: 0.0}
        left = {True: 0, False: 0}
        for i in range(len(times_s) - 1):
            spent[up[i]] += times_s[i + 1] - times_s[i]
            left[up[i]] += up[i + 1] != up[i]
        whole = max(spent[True] + spent[False], 1e-9)
        shortest = whole / max(len(times_s), 2)
        return cls(
            max(spent[True], 1e-9) / max(left[True], 1),
            max(spent[False], shortest if not left[True] else 1e-9) / max(left[False], 1),
        )


@dataclass(frozen=True, slots=True)
class FlowAvailability:
    """Steady state of one way of a flow. `links` are those that were considered."""

    availability: float
    outages_per_day: float
    mean_outage_s: float
    links: tuple[LinkKey, ...]


def availability(
    shape: Topology, source: int, destination: int, links: Mapping[LinkKey, UpDown]
) -> FlowAvailability:
    """Of messages from `source` to `destination` over usable links; those without an entry never fail."""
    ways = _ways(shape, source, destination, links)
    considered = tuple(sorted({key for way in ways for key in way if key in links}))
    if not ways:
        return FlowAvailability(0.0, 0.0, DAY_S, ())
    if not considered:
        return FlowAvailability(1.0, 0.0, 0.0, ())
    return _steady(ways, considered, links)


def _steady(
    ways: Sequence[Sequence[LinkKey]], considered: tuple[LinkKey, ...], links: Mapping[LinkKey, UpDown]
) -> FlowAvailability:
    bit = {key: 1 << i for i, key in enumerate(considered)}
    states = np.arange(1 << len(considered))
    masks = [sum(bit.get(key, 0) for key in way) for way in ways]
    connected = np.zeros(len(states), dtype=np.bool_)
    for mask in masks:
        connected |= (states & mask) == mask
    chance = np.ones(len(states))
    for key, value in bit.items():
        up = links[key].availability
        chance *= np.where(states & value, up, 1.0 - up)
    # Only a link that goes down can end a connection.
    ending = sum(
        float(chance[(states & value > 0) & connected & ~connected[states & ~value]].sum()) / links[key].up_s
        for key, value in bit.items()
    )
    up = float(chance[connected].sum())
    outage_s = (1.0 - up) / ending if ending > 0 else 0.0
    return FlowAvailability(up, ending * DAY_S, outage_s, considered)


def _ways(
    shape: Topology, source: int, destination: int, links: Mapping[LinkKey, UpDown]
) -> list[tuple[LinkKey, ...]]:
    """Ways of few and good links, first those that share no relay, as long as their links are few enough."""
    ways: list[tuple[LinkKey, ...]] = []
    used: set[int] = set()
    chosen: set[LinkKey] = set()
    while (way := _best_way(shape, source, destination, links, used)) is not None:
        failing = {key for key in way if key in links}
        if way in ways or len(chosen | failing) > MAX_LINKS:
            break
        ways.append(way)
        chosen |= failing
        relays = {a for a, _ in way} - {source}
        if not relays:
            used.add(-1)  # The direct link: `_best_way` then leaves it out.
        used |= relays
    return ways + _crossings(ways, shape, links, chosen)


def _crossings(
    ways: Sequence[tuple[LinkKey, ...]],
    shape: Topology,
    links: Mapping[LinkKey, UpDown],
    chosen: set[LinkKey],
) -> list[tuple[LinkKey, ...]]:
    """From the beginning of one way over to the end of another, where links cost no more room."""
    found = []
    for one in ways:
        for other in ways:
            for i, (a, _) in enumerate(one):
                for j, (_, b) in enumerate(other):
                    across = (a, b)
                    way = (*one[:i], across, *other[j + 1 :])
                    if a == b or b not in shape.out.get(a, ()) or way in ways or way in found:
                        continue
                    more = chosen | ({across} if across in links else set())
                    if len(more) <= MAX_LINKS:
                        chosen.update(more)
                        found.append(way)
    return found


def _best_way(
    shape: Topology, source: int, destination: int, links: Mapping[LinkKey, UpDown], used: set[int]
) -> tuple[LinkKey, ...] | None:
    """Dijkstra by the chance to be up, and a little by hops."""
    best: dict[int, float] = {source: 0.0}
    came: dict[int, int] = {}
    heap = [(0.0, source)]
    while heap:
        cost, node = heapq.heappop(heap)
        if node == destination:
            break
        if cost > best[node]:
            continue
        for other in sorted(shape.out.get(node, ())):
            direct = node == source and other == destination and -1 in used
            if direct or other in used or not (other == destination or shape.carries(other)):
                continue
            dynamics = links.get((node, other))
            loss = -float(np.log(max(dynamics.availability, 1e-9))) if dynamics else 0.0
            if cost + loss + 1e-3 < best.get(other, np.inf):
                best[other], came[other] = cost + loss + 1e-3, node
                heapq.heappush(heap, (best[other], other))
    if destination not in came:
        return None
    way = [destination]
    while way[-1] != source:
        way.append(came[way[-1]])
    return tuple(zip(way[::-1], way[-2::-1], strict=False))
