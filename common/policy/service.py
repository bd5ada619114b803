"""What a relay set gives each node of a site, and the problem that it leaves: who is served too badly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from common.mesh.configuration import NodeConfiguration
from common.mesh.graph import Flooding, LinkKey, SiteGraph
from common.policy.actions import Observation, SiteState

UNKNOWN_TTL = 127
"""Assumed where a node's default TTL is not known: a change needs knowledge, not the lack of it."""


@dataclass(frozen=True, slots=True)
class Service:
    """What a relay set gives each node: the worse direction to and from its best gateway, and hops."""

    delivery: Mapping[int, float]
    hops: Mapping[int, int]

    def of(self, node: int) -> float:
        """Delivery of a node, 0 when cut off."""
        return self.delivery.get(node, 0.0)


@dataclass(frozen=True, slots=True)
class Problem:
    """A graph without the dead, its gateways, who needs service, and who could help.

    `transmissions` and `repeats` are the site's usual network transmit and relay retransmit counts, `ttl` the
    default TTLs that are known.
    """

    graph: SiteGraph
    best_case: SiteGraph
    gateways: frozenset[int]
    transmissions: int
    repeats: int
    candidates: frozenset[int]
    needy: frozenset[int]
    need: float
    ttl: Mapping[int, int]

    def service(self, relays: frozenset[int], graph: SiteGraph | None = None) -> Service:
        """Delivery and hops of every node under a relay set, TTL set aside: raising it is always possible."""
        graph = graph or self.graph
        flooding = Flooding(relays, self.transmissions, self.repeats)
        best: dict[int, float] = {}
        hops: dict[int, int] = {}
        for gateway in self.gateways:
            down = graph.flood_from(gateway, flooding)
            up = graph.flood_to(gateway, flooding)
            for node in down.keys() & up.keys():
                both = min(down[node].delivery, up[node].delivery)
                if both > best.get(node, -1.0):
                    best[node], hops[node] = both, max(down[node].hops, up[node].hops)
        return Service(best, hops)

    def within_ttl(self, service: Service) -> Service:
        """The service that remains of `service` with the default TTLs as they are."""
        limit = max((self.ttl.get(gateway, UNKNOWN_TTL) for gateway in self.gateways), default=UNKNOWN_TTL)
        heard = {
            node: delivery
            for node, delivery in service.delivery.items()
            if service.hops[node] <= min(limit, self.ttl.get(node, UNKNOWN_TTL))
        }
        return Service(heard, service.hops)

    def unserved(self, service: Service) -> list[int]:
        """Needy nodes below need, worst first."""
        return sorted((n for n in self.needy if service.of(n) < self.need), key=lambda n: (service.of(n), n))

    def score(self, service: Service) -> float:
        """What the search climbs: delivery up to need, summed over the needy."""
        return sum(min(self.need, service.of(node)) for node in self.needy)


def relay_set(nodes: Mapping[int, NodeConfiguration], dead: Iterable[int]) -> frozenset[int]:
    """The live nodes whose relay feature is on."""
    gone = frozenset(dead)
    return frozenset(a for a, node in nodes.items() if node.relay and a not in gone)


def site_service(state: SiteState, observation: Observation) -> Service:
    """What the present relay set gives each node: for status pages and homes."""
    site = problem_of(state, observation, 0.0)
    return site.within_ttl(site.service(relay_set(state.nodes, observation.dead)))


def problem_of(state: SiteState, observation: Observation, now: float) -> Problem:
    """The problem of a site at monotonic time `now`, which ends refusals."""
    expected = {key: forecast.pdr for key, forecast in observation.forecast.items()}
    # A forecast only ever adds a reason to act: what has been counted already stays true.
    plausible = {
        key: min(forecast.upper, state.best_case.links.get(key, 1.0))
        for key, forecast in observation.forecast.items()
    }
    relays = relay_set(state.nodes, observation.dead)
    candidates = frozenset(
        address
        for address in state.changeable - observation.dead - relays - state.gateways
        if address in state.nodes
        and state.nodes[address].relay_supported
        and state.refused.get(address, now) <= now
    )
    return Problem(
        graph=_living(state.graph, expected, observation.dead),
        best_case=_living(state.best_case, plausible, observation.dead),
        gateways=state.gateways - observation.dead,
        transmissions=_common_count([n.network_transmit.count for n in _known(state) if n.network_transmit]),
        repeats=_common_count([n.relay_retransmit.count for n in _known(state) if n.relay_retransmit]),
        candidates=candidates,
        needy=state.responsible - observation.dead - state.gateways,
        need=state.delivery_need,
        ttl={a: node.default_ttl for a, node in state.nodes.items() if node.default_ttl is not None},
    )


def _living(graph: SiteGraph, changed: Mapping[LinkKey, float], dead: frozenset[int]) -> SiteGraph:
    """The graph with some links changed and some nodes gone; itself when there is nothing to do."""
    return (SiteGraph({**graph.links, **changed}) if changed else graph).without(dead)


def _known(state: SiteState) -> Iterable[NodeConfiguration]:
    return state.nodes.values()


def _common_count(counts: list[int]) -> int:
    """The lower median: sites are configured uniformly, and one odd node must not flatter the rest."""
    return sorted(counts)[(len(counts) - 1) // 2] if counts else 1
