"""A running graph after a failure: what is still to be done, as an instance of its own.

    rest = remaining(instance, Progress(outputs={"t1": "mec1"}, running={"t2": Running("cloud", 40.0)}), dead)
    plan = schedule(rest, loads=Loads(dead=dead))

Finished tasks whose output is still wanted stay as tasks that take no time where the output lies. An output
that lay on a dead node is lost: its task is to be done again, and so is what that needs and is lost too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from common.placement.errors import BadInstance, Flaw, Unplaceable
from common.placement.instance import Instance, Task, topological
from common.placement.listing import finished
from common.placement.loads import Loads
from common.placement.placing import ANY, Budget, schedule
from common.placement.problem import decoder
from common.placement.timetable import Schedule


@dataclass(frozen=True, slots=True)
class Running:
    """A task that runs on `node` and has `left_ms` to go."""

    node: str
    left_ms: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a graph has come: finished tasks with the node that has their output, and running ones."""

    outputs: Mapping[str, str] = field(default_factory=dict)
    running: Mapping[str, Running] = field(default_factory=dict)


def replan(
    instance: Instance,
    progress: Progress,
    *,
    budget: Budget = ANY,
    seed: int = 0,
    loads: Loads | None = None,
) -> Schedule:
    """The best schedule of what remains, from now (time 0) on; running tasks go on at once.

    `loads` tells who is busy with other work: the slots of this graph's running tasks are known. Errors are
    those of `remaining`.
    """
    rest = remaining(instance, progress, loads.dead if loads is not None else frozenset())
    plan = schedule(rest, budget=budget, seed=seed, loads=loads)
    return _running_first(rest, plan, progress, loads)


def _running_first(rest: Instance, plan: Schedule, progress: Progress, loads: Loads | None) -> Schedule:
    """The same plan, but that nothing is put before a task that runs already."""
    numbers = {task.id: i for i, task in enumerate(rest.tasks)}
    nodes = {node.id: j for j, node in enumerate(rest.nodes)}
    placed = decoder(rest, loads)
    rows = sorted(plan.assignments, key=lambda row: row.task not in progress.running)
    for place, row in enumerate(rows):
        placed.order[place] = numbers[row.task]
        placed.node[numbers[row.task]] = nodes[row.node]
    return finished(rest, placed, plan.method)


def remaining(instance: Instance, progress: Progress, dead: frozenset[str] = frozenset()) -> Instance:
    """What is left of a graph, J measured as before; time 0 is now.

    Raises BadInstance for names that the graph lacks, Unplaceable when a task that must run on a dead node is
    still to be done.
    """
    state = _State(instance, progress, dead)
    kept = [i for i in range(len(instance.tasks)) if i in state.undone or i in state.wanted]
    number = {i: place for place, i in enumerate(kept)}
    edges = tuple(
        replace(edge, source=number[edge.source], target=number[edge.target])
        for edge in instance.edges
        if edge.target in state.undone and edge.target not in state.running
    )
    return replace(
        instance,
        tasks=tuple(state.task(i) for i in kept),
        edges=edges,
        order=topological(len(kept), edges),
        sink=number[instance.sink],
        reference=None,
    )


class _State:
    """Which tasks are to be done, which run, and which outputs are wanted and there."""

    def __init__(self, instance: Instance, progress: Progress, dead: frozenset[str]) -> None:
        self.instance = instance
        self.finished = frozenset(progress.outputs)
        ids = {task.id: i for i, task in enumerate(instance.tasks)}
        nodes = {node.id: j for j, node in enumerate(instance.nodes)}
        self.lies = {
            _known(ids, task): _known(nodes, node)
            for task, node in progress.outputs.items()
            if node not in dead
        }
        self.running = {
            _known(ids, task): (_known(nodes, run.node), run.left_ms)
            for task, run in progress.running.items()
            if run.node not in dead and task not in progress.outputs
        }
        self.undone, self.wanted = self._needed()
        for i in self.undone:
            pinned = instance.tasks[i].pinned
            if pinned is not None and instance.nodes[pinned].id in dead:
                raise Unplaceable(f"task {instance.tasks[i].id} can run on {instance.nodes[pinned].id} only")

    def _needed(self) -> tuple[set[int], set[int]]:
        """Tasks to be done, from the sink back to outputs that are there, and those outputs' tasks."""
        sources: dict[int, list[int]] = {}
        for edge in self.instance.edges:
            sources.setdefault(edge.target, []).append(edge.source)
        undone, wanted = {self.instance.sink}, set[int]()
        stack = [self.instance.sink]
        # What no path joins to the sink is work all the same, unless it is done.
        for i in range(len(self.instance.tasks)):
            if self.instance.tasks[i].id not in self.finished:
                undone.add(i)
                stack.append(i)
        while stack:
            i = stack.pop()
            for source in sources.get(i, ()) if i not in self.running else ():
                if source in self.lies:
                    wanted.add(source)
                elif source not in undone:
                    undone.add(source)
                    stack.append(source)
        return undone, wanted

    def task(self, i: int) -> Task:
        """Task i as it is in what remains."""
        task, nodes = self.instance.tasks[i], len(self.instance.nodes)
        if i in self.running:
            node, left = self.running[i]
            return replace(task, pinned=node, duration_ms=(left,) * nodes, energy_j=(0.0,) * nodes)
        if i in self.undone:
            return task
        return replace(task, pinned=self.lies[i], duration_ms=(0.0,) * nodes, energy_j=(0.0,) * nodes)


def _known(numbers: Mapping[str, int], name: str) -> int:
    if name not in numbers:
        raise BadInstance(Flaw.UNKNOWN_TASK, f"the graph has no {name[:128]}")
    return numbers[name]
