"""Small sites to decide about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from common.mesh.configuration import NodeConfiguration, Transmit
from common.mesh.graph import LinkKey, SiteGraph
from common.policy.actions import SiteState

TWICE = Transmit(2, 20)


def graph(pairs: Iterable[tuple[int, int]], pdr: float = 0.9) -> SiteGraph:
    """Links both ways between pairs of nodes."""
    links: dict[LinkKey, float] = {}
    for a, b in pairs:
        links[(a, b)] = links[(b, a)] = pdr
    return SiteGraph(links)


def state(
    site: SiteGraph,
    relays: Iterable[int],
    gateway: int = 1,
    ttl: int = 10,
    changeable: frozenset[int] | None = None,
    unable: Iterable[int] = (),
    refused: Mapping[int, float] | None = None,
) -> SiteState:
    """A site whose nodes are all known, seen from `gateway`."""
    on, cannot = set(relays), set(unable)
    nodes = {
        address: NodeConfiguration(
            address,
            relay=address in on,
            relay_supported=address not in cannot,
            default_ttl=ttl,
            network_transmit=TWICE,
            relay_retransmit=TWICE,
        )
        for address in site.nodes
    }
    return SiteState(
        gateway=gateway,
        gateways=frozenset({gateway}),
        graph=site,
        best_case=site,
        nodes=nodes,
        changeable=frozenset(nodes) if changeable is None else changeable,
        responsible=frozenset(nodes),
        refused=refused or {},
    )
