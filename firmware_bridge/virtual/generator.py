"""A site by number of nodes and seed: a hall of nodes, a gateway, and a relay set that just suffices.

The potential graph (links good both ways) is 2-connected: whichever single node dies, others could relay
to every node that is left. The relays that are on are few, so that many a relay's death cuts nodes off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil, sqrt
from random import Random
from typing import Literal

from common.errors import Misconfigured
from common.scenario import Node, Radio, Scenario
from firmware_bridge.virtual.air import HARDWARE
from firmware_bridge.virtual.radio import pdr_of
from firmware_bridge.virtual.site import VirtualSite
from firmware_bridge.virtual.truths import NONE, HiddenTruths

GATEWAY = 1
SPACING_M = 14.0
SPARE_RELAYS = 0.1
"""Relays beyond what is needed, as a share of the nodes."""

GOOD_PDR = 0.8
Graph = Mapping[int, frozenset[int]]


def virtual_site(
    nodes: int = 60,
    seed: int = 1,
    *,
    gateways: int = 1,
    gateway: Literal["edge", "centre"] = "edge",
    loss: float = 0.0,
    drift: float = 0.5,
    truths: HiddenTruths = NONE,
) -> VirtualSite:
    """A generated site. Gateways have the addresses 1, 2, …; `loss` is lost on every link besides. `truths`
    are left out of account when nodes and relays are chosen."""
    scenario = generate(nodes, seed, gateways=gateways, gateway=gateway)
    return VirtualSite.from_scenario(
        scenario, loss=loss, drift=drift, gateways=range(1, gateways + 1), truths=truths
    )


def generate(
    nodes: int = 60, seed: int = 1, *, gateways: int = 1, gateway: Literal["edge", "centre"] = "edge"
) -> Scenario:
    """The scenario of `virtual_site`. Raises Misconfigured for fewer than two nodes."""
    if not 2 <= nodes <= 1000 or not 1 <= gateways < nodes:
        raise Misconfigured(f"a virtual site of {nodes} nodes, {gateways} gateways", "use 2 to 1000 nodes")
    random = Random(f"site {nodes} {seed}")
    spacing = SPACING_M
    while True:
        placed = _place(nodes, spacing, random, gateways, gateway)
        radio = Radio(shadowing_db=3.0, shadowing_seed=seed)
        scenario = Scenario(nodes=placed, radio=radio, configuration=HARDWARE, seed=seed)
        graph = _potential(scenario)
        if _survives_any_death(graph):
            break
        spacing *= 0.95
    relays = _relay_set(graph, range(1, gateways + 1), random)
    chosen = [node.model_copy(update={"relay": node.address in relays}) for node in placed]
    return scenario.model_copy(update={"nodes": chosen})


def _place(nodes: int, spacing: float, random: Random, gateways: int, gateway: str) -> list[Node]:
    """Nodes on a jittered grid, addressed so that the gateways stand where they should."""
    columns = ceil(sqrt(nodes * 1.6))
    places = [
        (
            round(spacing * (i % columns + random.uniform(-0.3, 0.3)), 2),
            round(spacing * (i // columns + random.uniform(-0.3, 0.3)), 2),
        )
        for i in range(nodes)
    ]
    middle_y = spacing * ((nodes - 1) // columns) / 2
    width = spacing * (columns - 1)
    # The first gateway at the left edge or in the centre, further ones along the hall.
    start = 0.5 if gateway == "centre" else 0.0
    for i in range(gateways):
        x = width * (start if i == 0 else 1.0 - (i - 1) / gateways)
        nearest = min(range(i, nodes), key=lambda j: (places[j][0] - x) ** 2 + (places[j][1] - middle_y) ** 2)
        places[i], places[nearest] = places[nearest], places[i]
    return [Node(address=i + 1, x=x, y=y) for i, (x, y) in enumerate(places)]


def _potential(scenario: Scenario) -> Graph:
    pdr = pdr_of(scenario)
    graph: dict[int, set[int]] = {node.address: set() for node in scenario.nodes}
    for (a, b), p in pdr.items():
        if p >= GOOD_PDR and pdr.get((b, a), 0.0) >= GOOD_PDR:
            graph[a].add(b)
    return {node: frozenset(neighbours) for node, neighbours in graph.items()}


def _survives_any_death(graph: Graph) -> bool:
    return all(_connected(graph, without) for without in [None, *graph])


def _connected(graph: Graph, without: int | None) -> bool:
    start = min(graph.keys() - {without})
    seen, todo = {start, without}, [start]
    while todo:
        new = graph[todo.pop()] - seen
        seen |= new
        todo.extend(new)
    return graph.keys() <= seen


def _relay_set(graph: Graph, gateways: Iterable[int], random: Random) -> frozenset[int]:
    """A relay set that reaches everybody, without a relay too many, and then a few spare ones.

    Spares leave at least half of the needed relays needed. Gateways do not relay: their death is another
    matter.
    """
    gateways = frozenset(gateways)
    relays = _grow(graph, gateways, random)
    for relay in random.sample(sorted(relays), len(relays)):
        if _reached(graph, gateways, relays - {relay}) == graph.keys():
            relays.discard(relay)
    needed = len(_needed(graph, gateways, relays))
    candidates = sorted(graph.keys() - relays - gateways)
    spare = random.sample(candidates, min(len(candidates), int(SPARE_RELAYS * len(graph))))
    while 2 * len(_needed(graph, gateways, relays.union(spare))) < needed:
        spare.pop()
    return frozenset(relays.union(spare))


def _grow(graph: Graph, gateways: frozenset[int], random: Random) -> set[int]:
    """Relays added outwards from the first gateway, those first that reach most new nodes."""
    relays: set[int] = set()
    covered = {min(gateways), *graph[min(gateways)]}
    while len(covered) < len(graph):
        gain = {node: len(graph[node] - covered) for node in sorted(covered - relays - gateways)}
        most = max(gain.values())
        chosen = random.choice([node for node in gain if gain[node] == most])
        relays.add(chosen)
        covered |= graph[chosen]
    return relays


def _needed(graph: Graph, gateways: frozenset[int], relays: set[int]) -> set[int]:
    """Relays whose death cuts somebody off."""
    return {
        relay for relay in relays if not _reached(graph, gateways, relays - {relay}) >= graph.keys() - {relay}
    }


def _reached(graph: Graph, gateways: frozenset[int], relays: set[int]) -> set[int]:
    """Nodes that a flood from the first gateway reaches."""
    seen, todo = {min(gateways)}, [min(gateways)]
    while todo:
        new = graph[todo.pop()] - seen
        seen |= new
        todo.extend(new & relays)
    return seen
