"""Graphs too large to search: the best of the list schedules that their size allows.

Compiled, list schedules are made again from what the last one left after every task; interpreted that would
take seconds. Nothing is annealed here.
"""

from __future__ import annotations

from typing import Final

from common.placement.hasty import hasty
from common.placement.instance import Instance
from common.placement.kernel import is_compiled
from common.placement.kernel.portfolio import Portfolio
from common.placement.listing import finished, heft_j
from common.placement.loads import Loads
from common.placement.problem import decoder
from common.placement.reading import read_out
from common.placement.static_cases import CASES
from common.placement.timetable import Schedule

_SLOW: Final = 300
"""Tasks up to which every one of them may be placed on every node without a compiler."""

_KEPT: Final = 2


def place_large(instance: Instance, loads: Loads | None = None) -> Schedule:
    """The cheapest, by what a search would minimise; the first of equals. Raises Unplaceable."""
    if is_compiled():
        plans = [heft_j(instance, loads), _portfolio(instance, loads)]
    else:
        plans = [_home(instance, loads), hasty(instance, loads)]
        if len(instance.tasks) <= _SLOW:
            plans.append(heft_j(instance, loads))
    return min(plans, key=lambda plan: plan.searched)


def _home(instance: Instance, loads: Loads | None) -> Schedule:
    return finished(instance, decoder(instance, loads), "home")


def _portfolio(instance: Instance, loads: Loads | None) -> Schedule:
    p = Portfolio(decoder(instance, loads), 0, _KEPT)
    p.try_home()
    p.try_again(0.0, 2)
    for tiers in CASES.values():
        p.try_list(sum(1 << j for j, node in enumerate(instance.nodes) if node.tier in tiers), 1.0, 0.0)
    p.try_list((1 << len(instance.nodes)) - 1, 1.0, 1.0)
    p.try_again(0.8, 2)
    evaluations = p.s.evaluations
    p.take(0)
    p.s.weigh()
    return read_out(instance, p.d, "list", evaluations)
