"""A site's topology as a graph: who reaches whom, through whom, by how many ways, and who matters.

Links are beta posteriors and directed. A link is *usable* when its PDR reaches what is needed with more than
even chance; other thresholds say what is nearly certain, or barely possible. Only relays, and gateways as
ends, carry on: two sensors that hear each other make no path. Delivery in numbers is percolation's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import rustworkx as rx
from scipy.special import betainc

from common.mesh.graph import LinkKey
from coordinator.twin.site_model import SiteModel

NEEDED_PDR: Final = 0.5
"""A link that loses more than every second transmission carries nothing to rely on."""

EVEN: Final = 0.5
"""Default confidence: more likely usable than not."""


def usable_chances(model: SiteModel, needed: float = NEEDED_PDR) -> dict[LinkKey, float]:
    """By link: the chance that its PDR is at least `needed`, from its posterior."""
    beliefs = model.links.values()
    alpha = np.array([belief.alpha for belief in beliefs])
    beta = np.array([belief.beta for belief in beliefs])
    # A count of zero is a certain link; the function wants positive ones.
    chances = 1.0 - betainc(np.maximum(alpha, 1e-9), np.maximum(beta, 1e-9), needed)
    return dict(zip(model.links, chances.tolist(), strict=True))


@dataclass(frozen=True)
class Topology:
    """The usable directed links of a site, and its relay set. Made by `topology`."""

    nodes: tuple[int, ...]
    roots: frozenset[int]
    relays: frozenset[int]
    out: Mapping[int, frozenset[int]]
    into: Mapping[int, frozenset[int]]

    def carries(self, node: int) -> bool:
        """Whether a path may lead through a node."""
        return node in self.relays

    def reached_from(self, source: int, without: Iterable[int] = ()) -> frozenset[int]:
        """Nodes that a flood of `source` can come to when some are gone."""
        return self._flood(source, self.out, frozenset(without))

    def reaching(self, sink: int, without: Iterable[int] = ()) -> frozenset[int]:
        """Nodes whose floods can come to `sink`."""
        return self._flood(sink, self.into, frozenset(without))

    def _flood(self, start: int, links: Mapping[int, frozenset[int]], gone: frozenset[int]) -> frozenset[int]:
        seen, waiting = {start}, deque([start])
        while waiting:
            for other in links.get(waiting.popleft(), frozenset()) - gone - seen:
                seen.add(other)
                if self.carries(other):
                    waiting.append(other)
        return frozenset(seen - gone)

    def cut_off(self, without: Iterable[int] = ()) -> frozenset[int]:
        """Nodes that no gateway reaches, or that reach none, both ways through one and the same gateway.
        Every node if there is no gateway left."""
        gone = frozenset(without)
        fine: set[int] = set()
        for root in self.roots - gone:
            fine |= self.reached_from(root, gone) & self.reaching(root, gone)
        return frozenset(self.nodes) - gone - fine

    @cached_property
    def backbone(self) -> rx.PyGraph[int, None]:
        """Relays and gateways, by links that are usable both ways, and leaves that hang on a single one of
        them. Other leaves are left out: as nodes of a graph they would join what they do not join."""
        graph: rx.PyGraph[int, None] = rx.PyGraph(multigraph=False)
        index = {address: graph.add_node(address) for address in self.nodes}
        core = self.relays | self.roots
        for a in self.nodes:
            others = sorted(self.out.get(a, frozenset()) & self.into.get(a, frozenset()) & core)
            if a in core or len(others) == 1:
                graph.add_edges_from([(index[a], index[b], None) for b in others])
        return graph

    def articulation_points(self) -> frozenset[int]:
        """Relays and gateways whose death would cut others off from every gateway, or every gateway from
        them. (What dominates another node on all ways from the gateways, or on all ways to them.)"""
        return self._dominators(self.out) | self._dominators(self.into)

    def _dominators(self, links: Mapping[int, frozenset[int]]) -> frozenset[int]:
        graph: rx.PyDiGraph[int, None] = rx.PyDiGraph(multigraph=False)
        start = graph.add_node(0)  # All gateways at once; no node has address 0.
        index = {address: graph.add_node(address) for address in self.nodes}
        graph.add_edges_from([(start, index[root], None) for root in sorted(self.roots)])
        for a in sorted(self.relays | self.roots):
            graph.add_edges_from([(index[a], index[b], None) for b in sorted(links.get(a, ()))])
        found = rx.immediate_dominators(graph, start)
        return frozenset(graph[i] for node, i in found.items() if node != start) - {0}

    def bridges(self) -> frozenset[LinkKey]:
        """Pairs (lower address first) that alone join two parts."""
        found: set[tuple[int, int]] = rx.bridges(self.backbone)  # type: ignore[assignment]  # Its stub is short.
        pairs = [(self.backbone[a], self.backbone[b]) for a, b in found]
        return frozenset((min(pair), max(pair)) for pair in pairs)

    def centrality(self) -> dict[int, float]:
        """By relay and gateway: share of the shortest ways between others that lead through it."""
        core = sorted(self.relays | self.roots)
        graph: rx.PyDiGraph[int, None] = rx.PyDiGraph(multigraph=False)
        index = {address: graph.add_node(address) for address in core}
        edges = [(index[a], index[b], None) for a in core for b in self.out.get(a, frozenset()) if b in index]
        graph.add_edges_from(edges)
        found = rx.digraph_betweenness_centrality(graph)
        return {address: found[index[address]] for address in core}

    def redundancy(self, source: int, sink: int, at_most: int = 8) -> int:
        """How many ways lead from `source` to `sink` that share no relay: so many deaths, less one, are
        always survived. A direct link counts as one way. (Menger; augmenting paths in a split graph.)"""
        if source == sink:
            return at_most
        taken: set[tuple[tuple[int, bool], tuple[int, bool]]] = set()
        for found in range(at_most):
            way = self._augmenting(source, sink, taken)
            if way is None:
                return found
            for step in zip(way, way[1:], strict=False):
                if (step[1], step[0]) in taken:
                    taken.remove((step[1], step[0]))
                else:
                    taken.add(step)
        return at_most

    def _augmenting(
        self, source: int, sink: int, taken: set[tuple[tuple[int, bool], tuple[int, bool]]]
    ) -> list[tuple[int, bool]] | None:
        """A way through what is left: nodes are split into (node, False) where links come in and
        (node, True) where they go out, and each half may be passed once."""
        start, goal = (source, True), (sink, False)
        back: dict[int, list[int]] = {}
        for one, other in taken:
            if one[0] != other[0]:
                back.setdefault(other[0], []).append(one[0])
        came: dict[tuple[int, bool], tuple[int, bool]] = {start: start}
        waiting = deque([start])
        while waiting and goal not in came:
            at = waiting.popleft()
            for step in self._steps(at, sink, taken, back):
                if step not in came:
                    came[step] = at
                    waiting.append(step)
        if goal not in came:
            return None
        way = [goal]
        while way[-1] != start:
            way.append(came[way[-1]])
        return way[::-1]

    def _steps(
        self,
        at: tuple[int, bool],
        sink: int,
        taken: set[tuple[tuple[int, bool], tuple[int, bool]]],
        back: Mapping[int, list[int]],
    ) -> list[tuple[int, bool]]:
        node, outward = at
        if outward:
            others = [o for o in sorted(self.out.get(node, ())) if o == sink or self.carries(o)]
            steps = [(o, False) for o in others if (at, (o, False)) not in taken]
            undo = ((node, False), at)
            return steps + ([undo[0]] if undo in taken else [])
        steps = [(one, True) for one in back.get(node, [])]
        across = (at, (node, True))
        return steps + ([across[1]] if across not in taken else [])


def topology(model: SiteModel, confidence: float = EVEN, needed: float = NEEDED_PDR) -> Topology:
    """The links whose PDR is at least `needed` with a chance above `confidence`. Without gateways, the node
    with most links stands for one."""
    usable = [key for key, chance in usable_chances(model, needed).items() if chance > confidence]
    out: dict[int, set[int]] = {}
    into: dict[int, set[int]] = {}
    for a, b in usable:
        out.setdefault(a, set()).add(b)
        into.setdefault(b, set()).add(a)
    roots = model.gateways or (max(model.addresses, key=lambda a: (len(out.get(a, ())), -a)),)
    return Topology(
        model.addresses,
        frozenset(roots),
        model.relays,
        {a: frozenset(others) for a, others in out.items()},
        {a: frozenset(others) for a, others in into.items()},
    )
