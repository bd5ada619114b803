"""The seven static cases: all work on the gateway, at the edge, in the cloud, or shared out between these.

The draft on distributed processing automation names them by who serves a request: the terminal itself, MEC
servers, the cloud, and every combination. A case here is the set of tiers that may be used; within it the
work goes task after task to where it finishes first and costs least.
"""

from __future__ import annotations

from typing import Final

from common.placement.instance import Instance
from common.placement.listing import listed
from common.placement.loads import Loads
from common.placement.timetable import Schedule

LOCAL: Final = frozenset({"local", "peer"})

CASES: Final[dict[str, frozenset[str]]] = {
    "local": LOCAL,
    "mec": frozenset({"mec"}),
    "cloud": frozenset({"cloud"}),
    "local+mec": LOCAL | {"mec"},
    "local+cloud": LOCAL | {"cloud"},
    "mec+cloud": frozenset({"mec", "cloud"}),
    "local+mec+cloud": LOCAL | {"mec", "cloud"},
}
"""Tiers by the case's name. Pinned tasks run where they are pinned in every case."""


def static_case(instance: Instance, case: str, loads: Loads | None = None) -> Schedule:
    """The schedule of one case. Raises KeyError for an unknown one, Unplaceable as `schedule` does."""
    tiers = CASES[case]
    usable = [node.tier in tiers for node in instance.nodes]
    return listed(instance, f"static {case}", usable=usable, price=1.0, ahead=0.0, loads=loads)


def best_static(instance: Instance, loads: Loads | None = None) -> Schedule:
    """The cheapest of the seven, by what a search would minimise; the first of equals."""
    return min((static_case(instance, case, loads) for case in CASES), key=lambda plan: plan.searched)
