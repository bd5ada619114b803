"""Why a task runs where it does: what each other node would cost, everything else left where it is."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from common.placement.errors import BadInstance, Flaw
from common.placement.instance import Instance
from common.placement.kernel.decoder import Decoder
from common.placement.loads import Loads
from common.placement.problem import decoder
from common.placement.timetable import Schedule


@dataclass(frozen=True, slots=True)
class Alternative:
    """The task on `node`: what the search would see (`searched`, prices and lateness included), J, the finish
    and energy of the graph. Not `possible`: the task may not run there or the node is dead; all is infinite.
    """

    node: str
    chosen: bool
    possible: bool
    searched: float
    cost: float
    finish_ms: float
    energy_j: float


def explain(
    instance: Instance, plan: Schedule, task: str, loads: Loads | None = None
) -> tuple[Alternative, ...]:
    """The alternatives for one task, the cheapest first. `loads` as they were when the plan was made.

    Raises BadInstance for a task that is not in the graph or a plan of another graph.
    """
    placed, number = _as_planned(instance, plan, loads), _numbers(instance).get(task)
    if number is None:
        raise BadInstance(Flaw.UNKNOWN_TASK, f"there is no task {task[:128]}")
    chosen = placed.node[number]
    found = [_alternative(instance, placed, number, j, chosen) for j in range(placed.nodes)]
    return tuple(sorted(found, key=lambda way: (way.searched, not way.chosen)))


def _numbers(instance: Instance) -> dict[str, int]:
    return {task.id: i for i, task in enumerate(instance.tasks)}


def _as_planned(instance: Instance, plan: Schedule, loads: Loads | None) -> Decoder:
    placed, numbers = decoder(instance, loads), _numbers(instance)
    nodes = {node.id: j for j, node in enumerate(instance.nodes)}
    if {row.task for row in plan.assignments} != set(numbers):
        raise BadInstance(Flaw.UNKNOWN_TASK, "the plan is one of another graph")
    for place, row in enumerate(plan.assignments):
        placed.order[place] = numbers[row.task]
        placed.node[numbers[row.task]] = nodes[row.node]
    return placed


def _alternative(instance: Instance, placed: Decoder, i: int, j: int, chosen: int) -> Alternative:
    name = instance.nodes[j].id
    if placed.price[i * placed.nodes + j] == inf:
        return Alternative(name, j == chosen, False, inf, inf, inf, inf)
    placed.node[i] = j
    placed.measure_tails()
    placed.clear()
    finish = placed.decode(0, inf)
    spent = placed.joules()
    searched = placed.spent() + placed.time_cost(finish)
    placed.node[i] = chosen
    return Alternative(name, j == chosen, True, searched, instance.cost(finish, spent), finish, spent)
