"""The site graph: directed links with their PDR, and what a managed flood over it delivers.

Pure and without numpy: the agent plans with it on a gateway, the twin's what-if runs the same code.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import log

LinkKey = tuple[int, int]
"""(transmitter, receiver), unicast addresses."""

MIN_LINK_PDR = 0.05
"""Links below are noise: nobody plans with them."""


def heard_once(pdr: float, transmissions: int) -> float:
    """Chance that at least one of `transmissions` is received, each with chance `pdr`."""
    return 1.0 - (1.0 - pdr) ** transmissions


def link_pdr(share_heard: float, transmissions: int) -> float:
    """Chance that one transmission is received, from the share of probes heard (each sent n times):
    1 - (1 - h)^(1/n), so that it does not change when retransmits do."""
    bounded = min(max(share_heard, 0.0), 1.0)
    return float(1.0 - (1.0 - bounded) ** (1.0 / transmissions))


@dataclass(frozen=True, slots=True)
class Reach:
    """How a flood reaches one node: chance of delivery, and hops along the most likely path."""

    delivery: float
    hops: int
    previous: int | None


@dataclass(frozen=True, slots=True)
class Flooding:
    """Who repeats and how often: what a flood's reach depends on besides the links.

    `transmissions` is the origin's network transmit, `repeats` the relays' relay retransmit; both count
    transmissions (1 to 8). A message with TTL t travels at most t hops.
    """

    relays: frozenset[int]
    transmissions: int = 1
    repeats: int = 1
    ttl: int = 127


@dataclass(frozen=True)
class SiteGraph:
    """Directed links of a site: PDR (0 to 1) of one transmission per (transmitter, receiver)."""

    links: Mapping[LinkKey, float]
    _out: dict[int, list[tuple[int, float]]] = field(init=False, repr=False, compare=False)
    _in: dict[int, list[tuple[int, float]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        out: dict[int, list[tuple[int, float]]] = {}
        into: dict[int, list[tuple[int, float]]] = {}
        for (transmitter, receiver), pdr in sorted(self.links.items()):
            if pdr >= MIN_LINK_PDR and transmitter != receiver:
                out.setdefault(transmitter, []).append((receiver, min(pdr, 1.0)))
                into.setdefault(receiver, []).append((transmitter, min(pdr, 1.0)))
        object.__setattr__(self, "_out", out)
        object.__setattr__(self, "_in", into)

    @property
    def nodes(self) -> frozenset[int]:
        """Every address with a usable link."""
        return frozenset(self._out) | frozenset(self._in)

    def receivers(self, transmitter: int) -> list[tuple[int, float]]:
        """(receiver, PDR) of each usable link out of a node."""
        return self._out.get(transmitter, [])

    def transmitters(self, receiver: int) -> list[tuple[int, float]]:
        """(transmitter, PDR) of each usable link into a node."""
        return self._in.get(receiver, [])

    def without(self, nodes: Iterable[int]) -> SiteGraph:
        """The graph with some nodes gone."""
        gone = frozenset(nodes)
        if not gone:
            return self
        return SiteGraph({key: p for key, p in self.links.items() if gone.isdisjoint(key)})

    def flood_from(self, source: int, flooding: Flooding) -> dict[int, Reach]:
        """Reach of a flood that `source` starts, per node that it can arrive at.

        Nodes settle in the order of their best path; a node's delivery combines all settled repeaters
        that it hears, taken as independent. That is exact on trees and a few percent optimistic where
        paths share their first hops.
        """

        def edges(node: int) -> Iterable[tuple[int, float]]:
            count = flooding.transmissions if node == source else flooding.repeats
            return [(other, heard_once(pdr, count)) for other, pdr in self.receivers(node)]

        return _spread(source, edges, flooding)

    def flood_to(self, sink: int, flooding: Flooding) -> dict[int, Reach]:
        """Reach of the floods that each node starts, as `sink` gets them. Same approximation."""

        def edges(node: int) -> Iterable[tuple[int, float]]:
            return [(other, heard_once(pdr, flooding.repeats)) for other, pdr in self.transmitters(node)]

        onward = _spread(sink, edges, flooding)
        if flooding.transmissions == flooding.repeats:
            return onward
        return {node: self._as_origin(node, sink, reach, onward, flooding) for node, reach in onward.items()}

    def _as_origin(
        self, node: int, sink: int, reach: Reach, onward: Mapping[int, Reach], flooding: Flooding
    ) -> Reach:
        """A node's own message goes on air as often as its network transmit says, not as a relay's."""
        missed = 1.0
        for receiver, pdr in self.receivers(node):
            onward_reach = onward.get(receiver)
            repeats = receiver == sink or receiver in flooding.relays
            if repeats and onward_reach is not None and onward_reach.hops < reach.hops:
                missed *= 1.0 - heard_once(pdr, flooding.transmissions) * onward_reach.delivery
        return reach if node == sink else Reach(1.0 - missed, reach.hops, reach.previous)


def _spread(
    start: int, edges: Callable[[int], Iterable[tuple[int, float]]], flooding: Flooding
) -> dict[int, Reach]:
    """Best-first search from `start` over repeaters, accumulating each node's chance to be missed."""
    settled: dict[int, Reach] = {}
    missed: dict[int, float] = {}
    queue: list[tuple[float, int, int, int | None]] = [(0.0, 0, start, None)]
    while queue:
        cost, hops, node, previous = heapq.heappop(queue)
        if node in settled:
            continue
        delivery = 1.0 if node == start else 1.0 - missed[node]
        settled[node] = Reach(delivery, hops, previous)
        if hops >= flooding.ttl or (node != start and node not in flooding.relays):
            continue
        for other, chance in edges(node):
            if other not in settled:
                missed[other] = missed.get(other, 1.0) * (1.0 - delivery * chance)
                heapq.heappush(queue, (cost - log(max(chance, 1e-9)), hops + 1, other, node))
    return settled
