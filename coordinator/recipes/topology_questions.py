"""Questions about who hears whom: audit, weakest links, single points of failure."""

from __future__ import annotations

from collections import Counter
from typing import Final

from coordinator.recipes.answer import Answer, Case, percent, show, show_flow
from coordinator.twin.graph import Topology, topology
from coordinator.twin.graph_breakage import Breakage, breakage
from coordinator.twin.percolation import SiteDelivery, percolate
from coordinator.twin.site_model import LinkBelief, SiteModel

WEAK_FLOW: Final = 0.9
LOPSIDED: Final = 0.4
"""Directions of a link whose PDRs differ by more are worth a look at the antennas."""


def audit(case: Case) -> Answer:
    """What is wrong, or doubtful, with a site as it is."""
    model = case.model
    shape = topology(model, needed=case.number("needed_pdr"))
    delivered = percolate(model)
    found = _findings(case, shape, delivered)
    counts = Counter(what for what, *_ in found)
    said = ", ".join(f"{number} {what}" for what, number in counts.items()) or "nothing is wrong"
    cut_off = shape.cut_off()
    return Answer(
        recipe="topology-audit",
        summary=f"{len(model.addresses)} nodes, {len(model.relays)} relays: {said}.",
        columns=("finding", "where", "what"),
        rows=tuple(found),
        figures={
            "nodes": len(model.addresses),
            "relays": len(model.relays),
            "links": len(model.links),
            "cut_off": len(cut_off),
            "delivery": delivered.mean,
            "worst_delivery": float(delivered.delivery.min()) if model.flows else None,
            "findings": len(found),
        },
        marks={**dict.fromkeys(shape.articulation_points(), "critical"), **dict.fromkeys(cut_off, "cut off")},
    )


def _findings(case: Case, shape: Topology, delivered: SiteDelivery) -> list[tuple[str, str, str]]:
    model = case.model
    hops = delivered.mean_hops
    found = [("dead node", show(a), "no sign of life") for a in sorted(case.dead)]
    found += [
        ("node cut off", show(a), "no usable way to a gateway and back") for a in sorted(shape.cut_off())
    ]
    for flow, share, far in zip(model.flows, delivered.delivery, hops, strict=True):
        if share < WEAK_FLOW:
            found.append(("weak flow", show_flow(flow), f"{percent(float(share))} delivered"))
        if far > model.configuration.ttl - 2:
            found.append(("TTL too tight", show_flow(flow), f"{far:.1f} hops of {model.configuration.ttl}"))
    for address in sorted(shape.articulation_points()):
        found.append(("single point of failure", show(address), "others hang on it alone"))
    found += _doubtful(model, case.number("doubtful_deviation"))
    if not model.flows:
        found.append(("no traffic", case.site, "no flow is known: delivery cannot be told"))
    return found


def _doubtful(model: SiteModel, most: float) -> list[tuple[str, str, str]]:
    found = []
    for (a, b), belief in sorted(model.links.items()):
        way = f"{show(a)} -> {show(b)}"
        back = model.links.get((b, a))
        if a < b and back is not None and abs(belief.pdr - back.pdr) > LOPSIDED:
            found.append(("lopsided link", way, f"{percent(belief.pdr)} there, {percent(back.pdr)} back"))
        if belief.deviation > most and belief.pdr > 0.3:
            found.append(("little known link", way, f"{percent(belief.pdr)} ± {percent(belief.deviation)}"))
    return found


def weakest_links(case: Case) -> Answer:
    """Each node's lifeline: its best link, both ways, to a relay or gateway. The weakest first."""
    model = case.model
    carrying = model.relays | frozenset(model.gateways)
    lifelines = []
    for node in model.addresses:
        ways = []
        for other in carrying - {node}:
            there, back = model.links.get((node, other)), model.links.get((other, node))
            if there is not None and back is not None:
                ways.append((min(there.pdr, back.pdr), -other, there, back))
        ways.sort(reverse=True, key=lambda way: way[:2])
        if node not in model.gateways:
            lifelines.append((ways[0][0] if ways else 0.0, node, ways))
    lifelines.sort(key=lambda line: line[:2])
    shown = lifelines[: case.whole("at_most")]
    bridges = topology(model).bridges()
    rows = tuple(_lifeline(node, ways, bridges) for _, node, ways in shown)
    worst = f"the weakest is {show(shown[0][1])} at {percent(shown[0][0])}" if shown else "there is none"
    return Answer(
        recipe="weakest-links",
        summary=f"Of {len(lifelines)} nodes' best links to a relay or gateway, {worst}.",
        columns=("node", "best relay", "there", "back", "second best", "alone joins two parts"),
        rows=rows,
        figures={"worst_pdr": shown[0][0] if shown else None, "bridges": len(bridges)},
        marks={node: "weak" for pdr, node, _ in shown if pdr < 0.5},
    )


def _lifeline(
    node: int, ways: list[tuple[float, int, LinkBelief, LinkBelief]], bridges: frozenset[tuple[int, int]]
) -> tuple[str | None, ...]:
    if not ways:
        return (show(node), None, None, None, None, "")
    _, other, there, back = ways[0]
    best = -other
    second = percent(ways[1][0]) if len(ways) > 1 else None
    is_bridge = (min(node, best), max(node, best)) in bridges
    return (
        show(node),
        show(best),
        percent(there.pdr),
        percent(back.pdr),
        second,
        "yes" if is_bridge else "",
    )


def single_points(case: Case) -> Answer:
    """What each relay's or gateway's death would break, the gravest first."""
    model = case.model
    suspects = sorted(model.relays | frozenset(model.gateways))
    broken: list[Breakage] = []
    for number, address in enumerate(suspects):
        case.tell(number / len(suspects), f"without {show(address)}")
        broken.append(breakage(model, address))
    harmful = [b for b in broken if not b.harmless]
    harmful.sort(key=lambda b: (-len(b.cut_off), -sum(f.lost for f in b.flows), b.dead))
    rows = tuple(_breakage_row(b) for b in harmful[: case.whole("at_most")])
    cutting = [b for b in harmful if b.cut_off or b.last_gateway]
    return Answer(
        recipe="single-points-of-failure",
        summary=f"{len(cutting)} of {len(suspects)} relays and gateways would cut others off if they died, "
        f"{len(harmful) - len(cutting)} more would cost deliveries.",
        columns=("node", "cuts off", "flows that get worse", "worst of them", "loses"),
        rows=rows,
        figures={"cutting": len(cutting), "harmful": len(harmful), "examined": len(suspects)},
        marks={b.dead[0]: "critical" for b in cutting},
    )


def _breakage_row(b: Breakage) -> tuple[str | int | None, ...]:
    worse = [flow for flow in b.flows if flow.after is not None]
    worst = worse[0] if worse else None
    cut = "every node: the last gateway" if b.last_gateway else ", ".join(map(show, b.cut_off[:6]))
    return (
        show(b.dead[0]),
        cut + (f" and {len(b.cut_off) - 6} more" if len(b.cut_off) > 6 and not b.last_gateway else ""),
        len(worse),
        None if worst is None else f"{show(worst.source)} -> {show(worst.destination)}",
        None if worst is None else percent(worst.lost),
    )
