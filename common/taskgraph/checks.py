"""Whether a task graph can be done at all: names that lead nowhere, kinds, inputs, cycles, deadlines.

Pure. Kinds are looked up by whoever calls; nothing here says where a task runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from common.errors import Rejected, RejectReason
from common.taskgraph.graph import MAX_EDGES, MAX_PARAMETERS_BYTES, Source, Task, TaskGraph

SHOWN: Final = 8
"""Tasks of a cycle that are named."""


class Kind(Protocol):
    """What is asked of a kind: `common.kinds.kind.TaskKind` is one."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it gives."""

    def checked(self, parameters: Mapping[str, Any], /) -> Any:
        """Raises Rejected for parameters that it does not take."""

    def check_inputs(self, names: set[str], /) -> None:
        """Raises Rejected for inputs that are missing or too many."""


def check(graph: TaskGraph, find: Callable[[str], Kind]) -> list[Task]:
    """The tasks in an order in which each comes after all that it waits for.

    Raises Rejected, with the task's name: INVALID (two tasks of one name, a source that is not one of the
    three, an output that the kind does not have), UNKNOWN_KIND, OUT_OF_RANGE, MISSING_INPUT, OVERSIZED (too
    many edges), CYCLE (with the names along it).
    """
    tasks = _by_name(graph)
    if sum(len(task.inputs) + len(task.after) for task in graph.tasks) > MAX_EDGES:
        raise Rejected(RejectReason.OVERSIZED, f"more than {MAX_EDGES} dependencies")
    kinds: dict[str, Kind] = {}
    for task in graph.tasks:
        try:
            _check_task(task, tasks, kinds, find)
        except Rejected as error:
            raise Rejected(error.reason, f"task {task.id}: {error.detail}") from error
    return _in_order(tasks)


def output_of(source: Source, tasks: Mapping[str, Task], find: Callable[[str], Kind]) -> str:
    """The name of the output that a source takes from its task. Raises Rejected(MISSING_INPUT)."""
    assert source.task is not None
    outputs = find(tasks[source.task].kind).outputs
    name = source.output or (outputs[0] if len(outputs) == 1 else None)
    if name is None or name not in outputs:
        wanted = f"has no output {name!r}" if name else "has several outputs: name one"
        raise Rejected(RejectReason.MISSING_INPUT, f"{source.task} {wanted} ({', '.join(outputs) or 'none'})")
    return name


def critical_path(order: list[Task], seconds: Mapping[str, float]) -> float:
    """The least time in which the graph can be done, with as many machines as one likes, when each task
    takes `seconds`."""
    ends: dict[str, float] = {}
    for task in order:
        ends[task.id] = max((ends[name] for name in task.needs()), default=0.0) + seconds[task.id]
    return max(ends.values(), default=0.0)


def check_deadline(graph: TaskGraph, order: list[Task], seconds: Mapping[str, float]) -> None:
    """Raises Rejected(IMPOSSIBLE_DEADLINE) when even the critical path takes longer."""
    if graph.deadline_s is None:
        return
    least = critical_path(order, seconds)
    if least > graph.deadline_s:
        raise Rejected(
            RejectReason.IMPOSSIBLE_DEADLINE,
            f"the longest chain of tasks takes {least:.3g} s at best, the deadline is {graph.deadline_s:g} s",
        )


def check_memory(graph: TaskGraph, here_bytes: int) -> None:
    """Raises Rejected(OUT_OF_RANGE) for a task that may run on the asking gateway only, and asks for more
    than a task may have there. Where others may run it, one that allows more may come yet."""
    for task in graph.tasks:
        wanted = task.limits.memory_mib or 0
        if wanted << 20 > here_bytes and (task.local or set(graph.tiers) == {"local"}):
            raise Rejected(
                RejectReason.OUT_OF_RANGE,
                f"task {task.id} may run here only, and wants {wanted} MiB; {here_bytes >> 20} are allowed",
            )


def _by_name(graph: TaskGraph) -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    for task in graph.tasks:
        if task.id in tasks:
            raise Rejected(RejectReason.INVALID, f"two tasks are called {task.id}")
        tasks[task.id] = task
    return tasks


def _check_task(
    task: Task, tasks: Mapping[str, Task], kinds: dict[str, Kind], find: Callable[[str], Kind]
) -> None:
    kind = kinds.get(task.kind)
    if kind is None:
        kind = kinds[task.kind] = find(task.kind)
    if len(repr(task.parameters)) > MAX_PARAMETERS_BYTES:
        raise Rejected(RejectReason.OVERSIZED, f"parameters of more than {MAX_PARAMETERS_BYTES} bytes")
    kind.checked(task.parameters)
    kind.check_inputs(set(task.inputs))
    for name in task.needs():
        if name not in tasks:
            raise Rejected(RejectReason.MISSING_INPUT, f"it waits for {name}, which is no task of the graph")
    for name, source in task.inputs.items():
        given = [source.task, source.blob, source.file]
        if sum(one is not None for one in given) != 1 or (source.output and source.task is None):
            raise Rejected(RejectReason.INVALID, f"input {name}: name a task, a blob, or a file")
        if source.task is not None:
            output_of(source, tasks, find)


def _in_order(tasks: Mapping[str, Task]) -> list[Task]:
    """Kahn's algorithm, in the order of the document where there is a choice."""
    waiting = {name: len(task.needs()) for name, task in tasks.items()}
    followers: dict[str, list[str]] = {}
    for name, task in tasks.items():
        for needed in task.needs():
            followers.setdefault(needed, []).append(name)
    order = [name for name, count in waiting.items() if count == 0]
    for name in order:
        for follower in followers.get(name, ()):
            waiting[follower] -= 1
            if waiting[follower] == 0:
                order.append(follower)
    if len(order) < len(tasks):
        raise Rejected(RejectReason.CYCLE, f"tasks wait for each other: {_cycle(tasks, set(order))}")
    return [tasks[name] for name in order]


def _cycle(tasks: Mapping[str, Task], done: set[str]) -> str:
    """The names along one cycle. Whoever is not done waits for somebody who is not."""
    at = next(name for name in tasks if name not in done)
    seen: dict[str, int] = {}
    while at not in seen:
        seen[at] = len(seen)
        at = next(name for name in tasks[at].needs() if name not in done)
    names = [*list(seen)[seen[at] :], at]
    if len(names) > SHOWN:
        names = [*names[: SHOWN - 2], "…", at]
    return " after ".join(names)
