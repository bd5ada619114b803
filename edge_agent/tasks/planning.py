"""Plans a job: where `common.placement` puts its tasks, and why there. Pure; a large graph takes a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final

from common.placement import Budget, Instance, Loads, schedule, static_case
from common.taskgraph.executor import Tier
from edge_agent.tasks.costs import Costs
from edge_agent.tasks.problem import SINK, SOURCE, Machine, Work, document, loads_of

MAX_MACHINES: Final = 15
"""Each has a channel of its own, of which an instance has so many."""

WINDOW: Final = 2000
"""Tasks that are planned at once, the first in topological order; the others when their time has come."""

EXPLAINED_TASKS: Final = 500
"""Beyond, what a plan was made of is not kept."""

SEARCH_S: Final = 0.5
EXPLAINED_S: Final = 0.1
EVERYWHERE: Final = "local+mec+cloud"
"""The static case that forbids nothing: the graph itself names its tiers."""

OPTIMISTIC: Final = -2.0
"""Standard deviations: what counts as a task's best time."""


@dataclass(frozen=True, slots=True)
class Planned:
    """Where and when a task is expected to run; seconds from the plan's own time on."""

    machine: str
    start_s: float
    finish_s: float
    rank: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan, and what it was made of, so that it can be explained."""

    tasks: Mapping[str, Planned]
    finish_s: float
    energy_j: float
    cost: float
    method: str
    made: float
    """Monotonic."""
    document: Mapping[str, Any] | None = None
    """The instance that was solved, see `common.placement.document`; not kept of large graphs."""


def best_times(work: Work, machines: Sequence[Machine], learned: Costs) -> dict[str, float]:
    """The least seconds that each task may take, on the best of the machines and with good luck."""
    found = {}
    for task in work.order:
        hint = work.costs[task.id]
        times = [
            learned.predict(task.kind, m.name, hint, m.load.speed).at(OPTIMISTIC)
            for m in machines
            if m.tier is Tier.LOCAL or (not task.local and m.tier.value in work.graph.tiers)
        ]
        found[task.id] = min(times, default=0.0)
    return found


def plan(work: Work, machines: Sequence[Machine], learned: Costs, seed: int = 0, search: bool = True) -> Plan:
    """Where each task goes. The first machine is this gateway. Without `search` by the rule of the static
    cases, task after task, among all machines that the graph allows.

    Raises Unplaceable when a task may run on none of them.
    """
    chosen = [*machines[:1], *(m for m in machines[1:] if m.load.slots)][: MAX_MACHINES + 1]
    posed = document(work, chosen, learned)
    instance = Instance.parse(posed)
    made = monotonic()
    loads = loads_of(work, chosen)
    if search:
        found = schedule(instance, budget=Budget(seconds=SEARCH_S), seed=seed, loads=loads)
    else:
        found = static_case(instance, EVERYWHERE, loads)
    tasks = {}
    for rank, row in enumerate(sorted(found.assignments, key=lambda row: (row.start_ms, row.finish_ms))):
        if row.task not in (SOURCE, SINK):
            tasks[row.task[1:]] = Planned(row.node, row.start_ms / 1000, row.finish_ms / 1000, rank)
    keep = len(tasks) <= EXPLAINED_TASKS
    return Plan(
        tasks,
        found.finish_ms / 1000,
        found.energy_j,
        found.cost,
        found.method,
        made,
        posed if keep else None,
    )


def unplanned(work: Work, machines: Sequence[Machine], why: str) -> Plan:
    """Everything here, in the order of the document: for a graph that cannot be planned."""
    home = machines[0].name
    tasks = {task.id: Planned(home, 0.0, 0.0, rank) for rank, task in enumerate(work.order)}
    return Plan(tasks, 0.0, 0.0, 1.0, f"none: {why}"[:200], monotonic())


def alternatives(made: Plan, task: str, loads: Loads | None = None) -> list[dict[str, Any]]:
    """Why a task is where it is: for each machine what the whole graph would cost with the task there, the
    rest placed as well as can be. Nothing for a plan that kept no instance, or a task that it had not.

    Raises BadInstance for a record that was changed.
    """
    if made.document is None or task not in made.tasks:
        return []
    instance = Instance.parse(dict(made.document))
    at = next(number for number, one in enumerate(instance.tasks) if one.id == f"/{task}")
    rows = []
    for node, machine in enumerate(instance.nodes):
        if not instance.tasks[at].may_run_on(node):
            rows.append({"machine": machine.id, "tier": machine.tier, "possible": False})
            continue
        pinned = replace(instance.tasks[at], pinned=node)
        tasks = (*instance.tasks[:at], pinned, *instance.tasks[at + 1 :])
        found = schedule(replace(instance, tasks=tasks), budget=Budget(seconds=EXPLAINED_S))
        rows.append(
            {
                "machine": machine.id,
                "tier": machine.tier,
                "possible": True,
                "chosen": made.tasks[task].machine == machine.id,
                "task_s": instance.tasks[at].duration_ms[node] / 1000,
                "task_energy_j": instance.tasks[at].energy_j[node],
                "finish_s": found.finish_ms / 1000,
                "energy_j": found.energy_j,
                "cost": found.cost,
            }
        )
    return rows
