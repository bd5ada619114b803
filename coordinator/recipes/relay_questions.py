"""Which nodes should relay: fewer (thinning, sleep) or more (redundancy). By percolation, at equal counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from coordinator.recipes.answer import Answer, Case, percent, show
from coordinator.recipes.service import MARGIN, Floats, NodeService
from coordinator.twin.graph import Topology, topology
from coordinator.twin.site_model import SiteConfiguration


def thinning(case: Case) -> Answer:
    """Switch off, one after the other, the relays that deliveries lose least by."""
    model, service = case.model, NodeService(case.model, case.seed)
    base, served = service.worlds.delivery(model.configuration), service.of(model.configuration)
    mean_loss, flow_loss = case.number("mean_loss"), case.number("flow_loss")

    def bearable(configuration: SiteConfiguration) -> bool:
        flows, nodes = base - service.worlds.delivery(configuration), served - service.of(configuration)
        return _is_bearable(flows, mean_loss, flow_loss) and _is_bearable(nodes, mean_loss, flow_loss)

    kept = _without(case, sorted(_removable(case)), service, bearable)
    return _fewer(case, "relay-thinning", kept, service, "are not needed")


def _removable(case: Case) -> frozenset[int]:
    """Relays that may go: gateways are on the mains, and everything ends at them."""
    return case.model.relays - set(case.nodes("keep")) - set(case.model.gateways)


def _is_bearable(lost: Floats, mean: float, most: float) -> bool:
    return len(lost) == 0 or bool(lost.mean() <= mean and lost.max() <= most)


def sleepers(case: Case) -> Answer:
    """Which relays may sleep while every node gets what it needs, nodes on a battery first."""
    model, service = case.model, NodeService(case.model, case.seed)
    need = case.number("need") + MARGIN
    served = service.of(model.configuration)
    floor = np.minimum(need, served - MARGIN / 2)
    battery = frozenset(case.nodes("battery")) or model.battery
    order = sorted(_removable(case), key=lambda a: (a not in battery, a))

    def bearable(configuration: SiteConfiguration) -> bool:
        return bool((service.of(configuration) >= floor).all())

    kept = _without(case, order, service, bearable, first=battery)
    answer = _fewer(case, "energy-saving", kept, service, "may sleep")
    asleep = battery & (model.relays - kept)
    return replace(
        answer,
        figures={**answer.figures, "battery_relays": len(battery & kept), "battery_asleep": len(asleep)},
        notes=() if battery else ("No node is known to run on a battery: all relays were treated alike.",),
    )


def _without(
    case: Case,
    order: Iterable[int],
    service: NodeService,
    bearable: Callable[[SiteConfiguration], bool],
    first: frozenset[int] = frozenset(),
) -> frozenset[int]:
    """The relays that remain. Those in `first` are tried first, then whoever is missed least alone; a second
    round gives another chance to none: what is needed once stays needed as others go."""
    configuration = case.model.configuration
    order = list(order)
    missed = {}
    for number, relay in enumerate(order):
        case.tell(0.5 * number / len(order), f"without {show(relay)}")
        less = replace(configuration, relays=configuration.relays - {relay})
        missed[relay] = -float(service.of(less).mean() + service.worlds.delivery(less).sum() / 1e3)
    order.sort(key=lambda relay: (relay not in first, missed[relay], relay))
    for number, relay in enumerate(order):
        case.tell(0.5 + 0.5 * number / len(order), f"{len(configuration.relays)} relays left")
        less = replace(configuration, relays=configuration.relays - {relay})
        if bearable(less):
            configuration = less
    return configuration.relays


def _fewer(case: Case, name: str, kept: frozenset[int], service: NodeService, said: str) -> Answer:
    model = case.model
    off = sorted(model.relays - kept)
    wanted = replace(model.configuration, relays=kept)
    before, after = service.of(model.configuration), service.of(wanted)
    rows = tuple((show(address), "relay off") for address in off)
    return Answer(
        recipe=name,
        summary=f"{len(off)} of {len(model.relays)} relays {said}: nodes then get "
        f"{percent(float(after.mean()))} instead of {percent(float(before.mean()))}, "
        f"the worst {percent(float(after.min()))} instead of {percent(float(before.min()))}.",
        columns=("node", "change"),
        rows=rows,
        figures={
            "relays_before": len(model.relays),
            "relays_after": len(kept),
            "service_before": float(before.mean()),
            "service_after": float(after.mean()),
            "worst_before": float(before.min()),
            "worst_after": float(after.min()),
        },
        marks=dict.fromkeys(off, "relay off"),
        wanted=wanted if off else None,
    )


def redundancy(case: Case) -> Answer:
    """Switch on relays until every node hears `k` of them (gateways count), as far as links allow."""
    model, k = case.model, case.whole("k")
    shape = topology(model, needed=case.number("needed_pdr"))
    capable = (model.capable or frozenset(model.addresses)) - set(model.gateways)
    added = _grow(shape, capable, k)
    wanted = replace(model.configuration, relays=model.relays | added)
    after = topology(model.with_configuration(wanted), needed=case.number("needed_pdr"))
    ways = {node: _ways(after, node, k) for node in model.addresses if node not in after.roots}
    short = sorted((count, node) for node, count in ways.items() if count < k)
    return Answer(
        recipe="redundancy",
        summary=f"{len(added)} more relays give {len(ways) - len(short)} of {len(ways)} nodes {k} ways to a "
        f"gateway that share no relay{'; links allow no more for the others' if short else ''}.",
        columns=("node", "what"),
        rows=(
            *((show(node), "relay on") for node in sorted(added)),
            *((show(node), f"has {count} of {k} ways") for count, node in short),
        ),
        figures={
            "added": len(added),
            "k": k,
            "nodes_with_k_ways": len(ways) - len(short),
            "nodes_short": len(short),
        },
        marks={**dict.fromkeys((n for _, n in short), "too few ways"), **dict.fromkeys(added, "relay on")},
        wanted=wanted if added else None,
    )


def _grow(shape: Topology, capable: frozenset[int], k: int) -> frozenset[int]:
    """Relays to add: whoever covers most of what lacks cover, next to what is connected already."""
    both = {
        node: shape.out.get(node, frozenset()) & shape.into.get(node, frozenset()) for node in shape.nodes
    }
    carrying = set(shape.relays | shape.roots)
    lacking = {node: k - len(both[node] & carrying) for node in shape.nodes if node not in shape.roots}
    added: set[int] = set()
    while True:
        gains = [
            (sum(lacking.get(near, 0) > 0 for near in both[node]), -node)
            for node in capable - carrying
            if both[node] & carrying
        ]
        gain, chosen = max(gains, default=(0, 0))
        if gain <= 0:
            return frozenset(added)
        added.add(-chosen)
        carrying.add(-chosen)
        for near in both[-chosen]:
            if near in lacking:
                lacking[near] -= 1


def _ways(shape: Topology, node: int, k: int) -> int:
    """Ways from a node to its best gateway that share no relay, up to `k`."""
    return max((shape.redundancy(node, root, k) for root in shape.roots), default=0)
