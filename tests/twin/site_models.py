"""Small sites to ask the twin about."""

from __future__ import annotations

from collections.abc import Iterable

from common.mesh.configuration import Transmit
from common.mesh.graph import SiteGraph
from coordinator.twin.site_model import LinkBelief, SiteConfiguration, SiteFlow, SiteModel

CHAIN = [(i, i + 1) for i in range(1, 6)]
TREE = [(1, 2), (1, 3), (2, 4), (2, 5), (3, 6), (3, 7)]
GRID = [(y * 4 + x + 1, y * 4 + x + 2) for y in range(3) for x in range(3)] + [
    (y * 4 + x + 1, y * 4 + x + 5) for y in range(2) for x in range(4)
]
RING = [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 1)]


def site(
    pairs: Iterable[tuple[int, int]],
    pdr: float = 0.9,
    *,
    relays: Iterable[int] | None = None,
    flows: Iterable[SiteFlow] | None = None,
    transmissions: int = 1,
    repeats: int = 1,
    ttl: int = 10,
) -> SiteModel:
    """Links both ways between pairs, all nodes relays, gateway 1; every other node sends to it."""
    links = {}
    for a, b in pairs:
        links[a, b] = links[b, a] = LinkBelief.certain(pdr)
    addresses = tuple(sorted({address for key in links for address in key}))
    on = frozenset(addresses if relays is None else relays)
    to_gateway = [SiteFlow(address, 1, 10.0) for address in addresses if address != 1]
    return SiteModel(
        addresses=addresses,
        gateways=(1,),
        links=links,
        configuration=SiteConfiguration(on, ttl, Transmit(transmissions, 20), Transmit(repeats, 20)),
        flows=tuple(to_gateway if flows is None else flows),
        capable=frozenset(addresses),
    )


def graph_of(model: SiteModel) -> SiteGraph:
    """The same links as a gateway plans with them."""
    return SiteGraph({key: belief.pdr for key, belief in model.links.items()})
