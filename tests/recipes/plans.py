"""A small plan, and sites that plans are made for."""

from __future__ import annotations

from coordinator.recipes.plan import NodeSetting, Plan, PlanStep
from coordinator.twin.site_model import LinkBelief, SiteConfiguration, SiteFlow, SiteModel


def step(address: int, relay: bool, title: str = "relays") -> PlanStep:
    return PlanStep(
        title=title,
        changes=(NodeSetting(address=address, relay=relay),),
        undo=(NodeSetting(address=address, relay=not relay),),
        expects=(),
        delivery=1.0,
        worst_delivery=1.0,
        worst_loss=0.0,
    )


def plan(*steps: PlanStep, made: float = 1000.0, site: str = "site-a") -> Plan:
    return Plan(id="test-1", site=site, recipe="relay-thinning", made=made, reason="a test", steps=steps)


def line(count: int = 6, relays: frozenset[int] | None = None, pdr: float = 0.95) -> SiteModel:
    """Nodes 1 to `count` in a line, 1 the gateway; everybody in between relays. Each sends to the gateway."""
    links = {}
    for a in range(1, count):
        for key in ((a, a + 1), (a + 1, a)):
            links[key] = LinkBelief.certain(pdr)
    nodes = tuple(range(1, count + 1))
    return SiteModel(
        addresses=nodes,
        gateways=(1,),
        links=links,
        configuration=SiteConfiguration(frozenset(range(2, count)) if relays is None else relays),
        flows=tuple(SiteFlow(node, 1, 20.0) for node in nodes[1:]),
        capable=frozenset(nodes),
    )


def crowd(count: int = 12, pdr: float = 0.99) -> SiteModel:
    """Everybody hears everybody, and everybody relays: far too many do."""
    nodes = tuple(range(1, count + 1))
    return SiteModel(
        addresses=nodes,
        gateways=(1,),
        links={(a, b): LinkBelief.certain(pdr) for a in nodes for b in nodes if a != b},
        configuration=SiteConfiguration(frozenset(nodes[1:])),
        flows=tuple(SiteFlow(node, 1, 20.0) for node in nodes[1:]),
        capable=frozenset(nodes),
    )
