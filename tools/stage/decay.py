"""A link on the only path of a running simulated site decays: which one, and when that would hurt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from common.errors import NotSupported
from common.mesh.graph import LinkKey, SiteGraph
from tools.stage.floods import flood
from tools.stage.virtual import VirtualStage

FROM_PDR: Final = 0.95
TO_PDR: Final = 0.5
DECAY_S: Final = 90.0

GOOD_PDR: Final = 0.8
SERVED: Final = 0.95
"""Delivery of the flow before the decay: well above need."""

CUT_OFF: Final = 0.5
TWICE: Final = 2
TTL: Final = 127
FLOODS: Final = 2000
"""Standard error of a delivery of 0.9: 0.007."""

POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """The link that decays, both ways, and the flow that has no other path: gateway and node."""

    link: LinkKey
    flow: LinkKey


def choose(graph: SiteGraph, relays: Collection[int], gateway: int) -> Plan:
    """A link between two relays, near the gateway, that a flow needs and a node beside it could bypass.

    Raises NotSupported when the site has none.
    """
    for link in _candidates(graph, frozenset(relays)):
        healthy = _links(graph) | {link: FROM_PDR, link[::-1]: FROM_PDR}
        before = _all_deliveries(healthy, relays, gateway)
        gone = _all_deliveries(healthy | {link: 0.0, link[::-1]: 0.0}, relays, gateway)
        lost = [n for n, d in before.items() if d >= SERVED and gone.get(n, 0.0) < CUT_OFF]
        for node in sorted(lost, key=lambda n: before[n], reverse=True):
            if delivery(healthy, relays, (gateway, node)) >= SERVED:
                return Plan(link, (gateway, node))
    raise NotSupported("no link of this site is on an only path and can be bypassed")


def delivery(links: Mapping[LinkKey, float], relays: Collection[int], flow: LinkKey) -> float:
    """What a flow gets over these links, sampled with the same lots every time: the worse direction."""
    source, destination = flow
    there = _sampled(links, relays, source, {destination}, FLOODS)[destination]
    return min(there, _sampled(links, relays, destination, {source}, FLOODS)[source])


def hurts_after(graph: SiteGraph, relays: Collection[int], plan: Plan, need: float) -> float | None:
    """Seconds of decay until the flow falls below `need` with these relays; None: it never does."""
    low, high = 0.0, DECAY_S
    if _after(graph, relays, plan, high) >= need:
        return None
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (middle, high) if _after(graph, relays, plan, middle) >= need else (low, middle)
    return high


async def prepare(stage: VirtualStage, plan: Plan) -> None:
    """Hold the link at what the decay begins with. Do it a few minutes before: a step tells, too."""
    for a, b in (plan.link, plan.link[::-1]):
        await stage.hold(a, b, FROM_PDR)


async def begin(stage: VirtualStage, plan: Plan) -> float:
    """Let the link decay both ways; the monotonic time of it."""
    for a, b in (plan.link, plan.link[::-1]):
        await stage.decay(a, b, TO_PDR, DECAY_S)
    return time.monotonic()


def bypassed(graph: SiteGraph, relays: Collection[int], plan: Plan) -> float:
    """What the flow gets over these relays without the link at all: `CUT_OFF` and more is a bypass."""
    gone = _links(graph) | {plan.link: 0.0, plan.link[::-1]: 0.0}
    return delivery(gone, relays, plan.flow)


async def bypassed_after(
    stage: VirtualStage, before: frozenset[int], plan: Plan, begun: float, patience_s: float
) -> float | None:
    """Seconds from `begun` until relays are on that bypass the link; None when that takes too long."""
    graph, seen = await stage.graph(), before
    while (passed := time.monotonic() - begun) < patience_s:
        relays = await stage.relays()
        if relays - before and relays != seen and bypassed(graph, relays, plan) >= CUT_OFF:
            return passed
        seen = relays
        await asyncio.sleep(POLL_S)
    return None


def _after(graph: SiteGraph, relays: Collection[int], plan: Plan, seconds: float) -> float:
    pdr = FROM_PDR + (TO_PDR - FROM_PDR) * seconds / DECAY_S
    return delivery(_links(graph) | {plan.link: pdr, plan.link[::-1]: pdr}, relays, plan.flow)


def _candidates(graph: SiteGraph, relays: frozenset[int]) -> Iterator[LinkKey]:
    """Links between relays that a third node, which does not relay, hears well at both ends."""
    good = {
        key
        for key, pdr in graph.links.items()
        if pdr >= GOOD_PDR and graph.links.get(key[::-1], 0) >= GOOD_PDR
    }
    for a, b in sorted(good):
        spares = graph.nodes - relays - {a, b}
        if a in relays and b in relays and any({(a, s), (s, b)} <= good for s in spares):
            yield a, b


def _links(graph: SiteGraph) -> dict[LinkKey, float]:
    return dict(graph.links)


def _all_deliveries(
    links: Mapping[LinkKey, float], relays: Collection[int], gateway: int
) -> dict[int, float]:
    """What each node gets of the gateway's floods, roughly."""
    nodes = {node for key in links for node in key} - {gateway}
    return _sampled(links, relays, gateway, nodes, FLOODS // 10)


def _sampled(
    links: Mapping[LinkKey, float], relays: Collection[int], source: int, targets: set[int], floods: int
) -> dict[int, float]:
    """The share of floods that each target gets."""
    out: dict[int, dict[int, float]] = {}
    for (a, b), pdr in links.items():
        out.setdefault(a, {})[b] = pdr
    random, repeats, counts = (
        Random(f"floods of {source}"),
        dict.fromkeys(relays, TWICE),
        dict.fromkeys(targets, 0),
    )
    for _ in range(floods):
        for node in flood(out, repeats, source, TTL, TWICE, targets, len(targets), random):
            counts[node] += 1
    return {node: count / floods for node, count in counts.items()}
