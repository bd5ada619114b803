"""The site graph: directed links with their PDR, and what a managed flood over it delivers.

Reach is estimated by static percolation: each link is drawn open or shut in 512 possible worlds at once,
one bit of an integer each, and the flood spreads through all of them by AND and OR. That keeps the
correlation between paths that share a hop, which products of path probabilities lose (they were wrong by up
to 0.3 on grids). The draws depend on nothing but the link, so that two relay sets, or two values of one
link, are compared in the same worlds. Pure and without numpy: the agent plans with it on a gateway, the
twin's what-if runs the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import shake_128

LinkKey = tuple[int, int]
"""(transmitter, receiver), unicast addresses."""

MIN_LINK_PDR = 0.05
"""Links below are noise: nobody plans with them."""

WORLDS = 512
"""Standard error of a delivery of 0.9: 0.013."""

ARRIVED = 0.9
"""Hops of a node: by then this share of what reaches it has arrived."""

_ALL_WORLDS = (1 << WORLDS) - 1
_CHANCE_BITS = 10


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
    """How a flood reaches one node: chance of delivery (0 to 1), and in how many hops nearly always."""

    delivery: float
    hops: int


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
    # By transmitter, receiver and count. Dies with the graph: values of links change all the time.
    _worlds: dict[tuple[int, int, int], int] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

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
        rest = SiteGraph({key: p for key, p in self.links.items() if gone.isdisjoint(key)})
        object.__setattr__(rest, "_worlds", self._worlds)
        return rest

    def flood_from(self, source: int, flooding: Flooding) -> dict[int, Reach]:
        """Reach of a flood that `source` starts, per node that it can arrive at (the source included)."""

        def edges(node: int) -> Iterable[tuple[int, int]]:
            count = flooding.transmissions if node == source else flooding.repeats
            return [(other, self._open(node, other, pdr, count)) for other, pdr in self.receivers(node)]

        arrivals = _percolate(source, edges, flooding)
        return {node: _reach(by_hop) for node, by_hop in arrivals.items()}

    def flood_to(self, sink: int, flooding: Flooding) -> dict[int, Reach]:
        """Reach of the floods that each node starts, as `sink` gets them."""

        def edges(node: int) -> Iterable[tuple[int, int]]:
            return [
                (other, self._open(other, node, pdr, flooding.repeats))
                for other, pdr in self.transmitters(node)
            ]

        onward = _percolate(sink, edges, flooding)
        if flooding.transmissions != flooding.repeats:
            onward = {node: self._as_origin(node, sink, onward, flooding) for node in onward}
        return {node: _reach(by_hop) for node, by_hop in onward.items()}

    def _as_origin(
        self, node: int, sink: int, onward: Mapping[int, dict[int, int]], flooding: Flooding
    ) -> dict[int, int]:
        """A node's own message goes on air as often as its network transmit says, not as a relay's."""
        if node == sink:
            return onward[sink]
        by_hop: dict[int, int] = {}
        for receiver, pdr in self.receivers(node):
            if receiver == sink or receiver in flooding.relays:
                opened = self._open(node, receiver, pdr, flooding.transmissions)
                for hop, worlds in onward.get(receiver, {}).items():
                    if hop < flooding.ttl:
                        by_hop[hop + 1] = by_hop.get(hop + 1, 0) | (worlds & opened)
        return _first_arrivals(by_hop)

    def _open(self, transmitter: int, receiver: int, pdr: float, count: int) -> int:
        """The worlds (bits) in which at least one of `count` transmissions is received."""
        key = (transmitter, receiver, count)
        worlds = self._worlds.get(key)
        if worlds is None:
            chance = round(heard_once(pdr, count) * (1 << _CHANCE_BITS))
            worlds = self._worlds[key] = _draw(transmitter, receiver, chance)
        return worlds


@lru_cache(maxsize=1 << 12)
def _draw(transmitter: int, receiver: int, chance: int) -> int:
    """A bit is set with `chance` / 1024: where a world's uniform number of 10 bits lies below it.

    Compared bit-sliced from the lowest plane up. The numbers are the link's own, so a higher chance opens
    the same worlds and some more.
    """
    if chance >= 1 << _CHANCE_BITS:
        return _ALL_WORLDS
    link = (transmitter << 16 | receiver).to_bytes(4, "big")
    planes = int.from_bytes(shake_128(link).digest(WORLDS * _CHANCE_BITS // 8), "big")
    below = 0
    for bit in range(_CHANCE_BITS):
        zeros = ~(planes >> (bit * WORLDS)) & _ALL_WORLDS
        below = below | zeros if chance >> bit & 1 else below & zeros
    return below


def _percolate(
    start: int, edges: Callable[[int], Iterable[tuple[int, int]]], flooding: Flooding
) -> dict[int, dict[int, int]]:
    """Hop by hop from `start` over repeaters: per node and hop, the worlds that reach it first then."""
    reached = {start: _ALL_WORLDS}
    arrivals: dict[int, dict[int, int]] = {start: {0: _ALL_WORLDS}}
    front, hop = {start: _ALL_WORLDS}, 0
    while front and hop < flooding.ttl:
        hop += 1
        heard: dict[int, int] = {}
        for node, worlds in front.items():
            for other, opened in edges(node):
                if fresh := worlds & opened & ~reached.get(other, 0):
                    heard[other] = heard.get(other, 0) | fresh
        for node, fresh in heard.items():
            reached[node] = reached.get(node, 0) | fresh
            arrivals.setdefault(node, {})[hop] = fresh
        front = {node: worlds for node, worlds in heard.items() if node in flooding.relays}
    return arrivals


def _first_arrivals(by_hop: Mapping[int, int]) -> dict[int, int]:
    """Keep each world's earliest hop only."""
    seen, first = 0, {}
    for hop, worlds in sorted(by_hop.items()):
        if fresh := worlds & ~seen:
            first[hop] = fresh
            seen |= fresh
    return first


def _reach(by_hop: Mapping[int, int]) -> Reach:
    counts = [(hop, worlds.bit_count()) for hop, worlds in sorted(by_hop.items())]
    total = sum(count for _, count in counts)
    arrived = 0
    for hop, count in counts:
        arrived += count
        if arrived >= ARRIVED * total:
            return Reach(total / WORLDS, hop)
    return Reach(0.0, 0)
