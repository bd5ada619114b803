"""Which gateway is home to which node: the one with the best delivery, decided by the actor alone."""

from __future__ import annotations

from collections.abc import Mapping

from common.mesh.graph import Flooding, Reach, SiteGraph

STAY_MARGIN = 0.05
"""A node changes its home only for a delivery better by this much: homes must not flap."""


def assign_homes(
    graph: SiteGraph, flooding: Flooding, gateways: Mapping[str, int], present: Mapping[int, str]
) -> dict[int, str]:
    """Home gateway id per node address.

    `gateways` maps ids of live gateways to their addresses, `present` is the assignment so far. Fewer hops
    win, then better delivery, then the lower id. A node that no gateway reaches keeps its home while that
    gateway lives.
    """
    reach = {name: graph.flood_from(address, flooding) for name, address in gateways.items()}
    homes = {}
    for node in sorted(graph.nodes | set(present)):
        ranked = sorted(
            (found.hops, -found.delivery, name)
            for name, reached in reach.items()
            if (found := reached.get(node)) is not None
        )
        old = present.get(node)
        if old is not None and old in gateways and (not ranked or _stays(reach[old].get(node), ranked[0])):
            homes[node] = old
        elif ranked:
            homes[node] = ranked[0][2]
    return homes


def _stays(old: Reach | None, best: tuple[int, float, str]) -> bool:
    """One hop more, or a slightly worse delivery, is no reason to move."""
    return old is not None and old.hops <= best[0] + 1 and old.delivery + STAY_MARGIN >= -best[1]
