"""What is planned, and what it costs where, as an instance of `common.placement`.

The costs are built for how tasks really run here: inputs go from this gateway to the machine, unless they
were made there, and outputs come back before anything else starts. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from common.kinds.kind import Cost, TaskKind
from common.placement import Loads, Unplaceable
from common.taskgraph.checks import critical_path, output_of
from common.taskgraph.executor import Load, Tier
from common.taskgraph.graph import Task, TaskGraph
from edge_agent.tasks.costs import Costs

SOURCE: Final = "//source"
"""No task has such a name. In an instance, tasks have a stroke before theirs: one may be called sink."""
SINK: Final = "sink"
HERE: Final = "here"
"""The channel back to this gateway: outputs are on it already when a task counts as done."""


@dataclass(frozen=True, slots=True)
class Machine:
    """An executor as it is planned with."""

    name: str
    tier: Tier
    load: Load
    busy_s: Sequence[float] = ()
    """For how long each of its slots is taken by other jobs, as far as is known; missing ones are free."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is planned: the tasks that are not done, with the hints of their kinds and their inputs' sizes."""

    graph: TaskGraph
    order: Sequence[Task]
    """Those that are left, in topological order."""
    costs: Mapping[str, Cost]
    input_bytes: Mapping[str, Mapping[str, int]]
    """By task and by the task that an input comes from, or SOURCE for what this gateway has."""
    barred: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By task, machines that it shall not go to."""
    seconds_left: float | None = None


def travel_s(load: Load, input_bytes: int, output_bytes: int) -> float:
    """How long inputs are on their way to another machine, and outputs back."""
    return 8 * input_bytes / load.up_bps + 8 * output_bytes / load.down_bps + 2 * load.latency_s


def work_of(
    graph: TaskGraph,
    order: Sequence[Task],
    find: Callable[[str], TaskKind],
    size: Callable[[str], int | None],
    done: Mapping[str, Mapping[str, int]],
    barred: Mapping[str, frozenset[str]],
    seconds_left: float | None,
) -> Work:
    """`size` tells a blob's; `done` the sizes of outputs that are there, by task and output."""
    tasks = {task.id: task for task in graph.tasks}
    costs: dict[str, Cost] = {}
    inputs: dict[str, dict[str, int]] = {}
    for task in order:
        sizes: dict[str, int] = {}
        origins: dict[str, int] = {}
        for name, source in task.inputs.items():
            if source.task is None:
                sizes[name], origin = size(source.blob or "") or 0, SOURCE
            elif source.task in done:
                sizes[name] = done[source.task].get(output_of(source, tasks, find), 0)
                origin = SOURCE
            else:
                outputs = max(1, len(find(tasks[source.task].kind).outputs))
                sizes[name], origin = costs[source.task].output_bytes // outputs, source.task
            origins[origin] = origins.get(origin, 0) + sizes[name]
        hint = find(task.kind).cost(task.parameters, sizes)
        if task.size.output_bytes is not None:
            hint = replace(hint, output_bytes=task.size.output_bytes)
        if task.size.cpu_s is not None:
            # Whoever wrote the job knows better than any model.
            hint = Cost(task.size.cpu_s, hint.output_bytes, hint.memory_bytes)
        costs[task.id] = hint
        inputs[task.id] = origins
    return Work(graph, order, costs, inputs, barred, seconds_left)


def document(work: Work, machines: Sequence[Machine], learned: Costs) -> dict[str, Any]:
    """The instance, see `common.placement.document`. The first machine is this gateway. Raises Unplaceable
    when a task may run on none of them."""
    number = {SOURCE: 0} | {task.id: at + 1 for at, task in enumerate(work.order)}
    rows = [_task(work, task, machines, learned) for task in work.order]
    nodes = range(len(machines))
    zero = [0.0] * len(machines)
    home = machines[0].name
    ends = {"pinned": home, "duration_ms": list(zero), "energy_j": list(zero)}
    edges = [
        _edge(number[origin], number[task.id], size, machines)
        for task in work.order
        for origin, size in _origins(work, task, number)
    ]
    needed = {name for task in work.order for name in task.needs()}
    edges += [
        _edge(number[task.id], len(rows) + 1, 0, machines) for task in work.order if task.id not in needed
    ]
    return {
        "name": work.graph.name[:100],
        "weight": work.graph.weight,
        "all_local": _all_local(work, machines[0], learned),
        "nodes": [
            {"id": m.name, "tier": m.tier.value, "slots": min(256, max(1, m.load.slots))} for m in machines
        ],
        "tasks": [{"id": SOURCE, **ends}, *rows, {"id": SINK, **ends}],
        "edges": edges,
        "channel": [[None if a == b else _channel(machines[b], b) for b in nodes] for a in nodes],
        "latency_ms": [
            [0.0 if a == b or b == 0 else 1000 * machines[b].load.latency_s for b in nodes] for a in nodes
        ],
        "energy_j_per_bit": [
            [0.0 if a == b or b == 0 else machines[b].load.joules_per_bit for b in nodes] for a in nodes
        ],
    }


def _origins(work: Work, task: Task, number: Mapping[str, int]) -> list[tuple[str, int]]:
    """Where a task's inputs come from, with their bytes; tasks that it only waits for too. A task that is
    done is this gateway."""
    found = dict(work.input_bytes[task.id])
    for needed in task.needs():
        found.setdefault(needed if needed in number else SOURCE, 0)
    return list(found.items()) or [(SOURCE, 0)]


def _task(work: Work, task: Task, machines: Sequence[Machine], learned: Costs) -> dict[str, Any]:
    """Duration and energy on each machine, the way back of the outputs included."""
    hint = work.costs[task.id]
    able = _able(work, task, machines, hint)
    durations: list[float | None] = []
    energies: list[float] = []
    for machine in machines:
        load = machine.load
        seconds = learned.predict(task.kind, machine.name, hint, load.speed).expected_s
        bits = 0.0 if machine.tier is Tier.LOCAL else 8.0 * hint.output_bytes
        back = bits / load.down_bps + (load.latency_s if machine.tier is not Tier.LOCAL else 0.0)
        whole = 1000 * (seconds + back + learned.extra_s(machine.name))
        durations.append(whole if machine.name in able else None)
        cpu_s = learned.predict_cpu_s(task.kind, machine.name, hint, seconds)
        energies.append(cpu_s * load.watts + bits * load.joules_per_bit)
    if all(duration is None for duration in durations):
        raise Unplaceable(f"no machine may run {task.id}")
    return {"id": f"/{task.id}", "pinned": None, "duration_ms": durations, "energy_j": energies}


def _able(work: Work, task: Task, machines: Sequence[Machine], hint: Cost) -> set[str]:
    """Where a task may run. What its kind is expected to take keeps it from machines that allow less, unless
    all do: a hint may be wrong, and what the submitter says goes first."""
    may = [machine for machine in machines if _may(work, task, machine)]
    if task.limits.memory_mib is None:
        may = [machine for machine in may if hint.memory_bytes <= machine.load.memory_bytes] or may
    return {machine.name for machine in may}


def _may(work: Work, task: Task, machine: Machine) -> bool:
    if machine.load.slots < 1 or machine.name in work.barred.get(task.id, ()):
        return False
    if task.local:
        return machine.tier is Tier.LOCAL
    wanted = (task.limits.memory_mib or 0) << 20
    return machine.tier.value in work.graph.tiers and wanted <= machine.load.memory_bytes


def _edge(source: int, target: int, size: int, machines: Sequence[Machine]) -> dict[str, Any]:
    bits = 8.0 * size
    times = {_channel(m, at): 1000 * bits / m.load.up_bps for at, m in enumerate(machines)}
    return {"from": source, "to": target, "bits": bits, "transfer_ms": times | {HERE: 0.0}}


def _channel(machine: Machine, at: int) -> str:
    return HERE if at == 0 else machine.name


def _all_local(work: Work, home: Machine, learned: Costs) -> dict[str, float]:
    """What J is measured by: every task here, as if it might."""
    extra = learned.extra_s(home.name)
    seconds: dict[str, float] = {}
    energy = 0.0
    for task in work.order:
        hint = work.costs[task.id]
        taken = learned.predict(task.kind, home.name, hint, home.load.speed).expected_s
        energy += learned.predict_cpu_s(task.kind, home.name, hint, taken) * home.load.watts
        seconds[task.id] = taken + extra
    left = {task.id for task in work.order}
    chain = critical_path([_without(task, left) for task in work.order], seconds)
    whole = sum(seconds.values())
    return {
        "time_ms": max(1e-3, 1000 * max(chain, whole / max(1, home.load.slots))),
        "energy_j": max(1e-6, energy),
    }


def _without(task: Task, left: set[str]) -> Task:
    """The task, waiting only for those that are left."""
    inputs = {name: source for name, source in task.inputs.items() if source.task in left}
    return task.model_copy({"inputs": inputs, "after": [name for name in task.after if name in left]})


def loads_of(work: Work, machines: Sequence[Machine]) -> Loads:
    """What machines have to do besides."""
    late = None if work.seconds_left is None else max(1.0, 1000 * work.seconds_left)
    return Loads(
        busy_until_ms={m.name: [1000 * left for left in m.busy_s] for m in machines},
        utilisation={m.name: _used(m.load) for m in machines if m.load.slots},
        deadline_ms=late,
    )


def _used(load: Load) -> float:
    """The share of its time that a machine is in use, judged by how many are in its line now: with so many on
    the average it would be this (a single server with arrivals at random)."""
    line = (load.busy + load.queued) / load.slots
    return line / (1.0 + line)
