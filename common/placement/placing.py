"""Placing a graph: the best schedule found within a budget.

plan = schedule(Instance.parse(document), budget=Budget(evaluations=400))
plan.node_of("t3"), plan.cost
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from common.placement.instance import Instance
from common.placement.kernel.decoder import Decoder
from common.placement.kernel.search import Search
from common.placement.loads import Loads
from common.placement.problem import decoder
from common.placement.timetable import Assignment, Schedule, Transfer, energy

_CHUNK: Final = 256
"""Evaluations between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may cost. `evaluations` None: by the graph's size; `seconds` only stops early."""

    evaluations: int | None = None
    seconds: float | None = None


def schedule(
    instance: Instance,
    *,
    budget: Budget = Budget(),
    seed: int = 0,
    loads: Loads | None = None,
    clock: Callable[[], float] = monotonic,
) -> Schedule:
    """Equal arguments give equal schedules, compiled or not, unless the clock stops the search.

    Raises Unplaceable when a task has no living node that may run it.
    """
    search = Search(decoder(instance, loads), seed)
    search.weigh()
    search.anneal(budget.evaluations or 300, 0.02, 0.0005)
    search.recall()
    search.weigh()
    return read_out(instance, search.d, "search", search.evaluations)


def read_out(instance: Instance, placed: Decoder, method: str, evaluations: int) -> Schedule:
    """What a decoder holds, once all of it is decoded."""
    nodes = list(placed.node)
    ids, names = [task.id for task in instance.tasks], [node.id for node in instance.nodes]
    rows = [Assignment(ids[i], names[nodes[i]], placed.start[i], placed.finish[i]) for i in placed.order]
    finish, spent = placed.finish[instance.sink], energy(instance, nodes)
    return Schedule(
        assignments=tuple(rows),
        transfers=tuple(_transfers(instance, placed, nodes)),
        finish_ms=finish,
        energy_j=spent,
        cost=instance.cost(finish, spent),
        method=method,
        searched=placed.spent() + placed.time_cost(finish),
        evaluations=evaluations,
    )


def _transfers(instance: Instance, placed: Decoder, nodes: list[int]) -> list[Transfer]:
    found = []
    ids = [task.id for task in instance.tasks]
    for k, (source, target) in enumerate(zip(placed.source, placed.target, strict=True)):
        a, b = nodes[source], nodes[target]
        if a == b:
            continue
        channel = instance.channel[a][b] or 0
        length, begin = placed.transfer[k * placed.channels + channel], placed.sent[k]
        arrival = begin + length + instance.latency_ms[a][b]
        found.append(Transfer(ids[source], ids[target], instance.channels[channel], begin, length, arrival))
    return found
