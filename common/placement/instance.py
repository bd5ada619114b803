"""A task graph, the nodes it may run on, and what lies between them: all that a schedule depends on.

    instance = Instance.parse(Path("rand10_0.json").read_bytes())

Parsed from an outside document, checked and bounded; unchangeable afterwards. Nothing is scheduled here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from common.placement import document as written
from common.placement.document import Reference
from common.placement.errors import BadInstance, Flaw

if TYPE_CHECKING:
    from common.placement.problem import Layout

__all__ = ["BACKBONE", "Edge", "Instance", "Node", "Reference", "Task"]

BACKBONE: Final = "backbone"
"""The channel without a limit: any number of transfers at once."""

SINK: Final = "sink"
"""The id of the task whose finish is the graph's."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine. `slots` tasks run on it at once; None: no limit."""

    id: str
    tier: str
    slots: int | None


@dataclass(frozen=True, slots=True)
class Task:
    """`duration_ms` and `energy_j` per node; a duration is infinite where the task cannot run."""

    id: str
    pinned: int | None
    duration_ms: tuple[float, ...]
    energy_j: tuple[float, ...]

    def may_run_on(self, node: int) -> bool:
        """Whether the task is allowed on the node and can run there."""
        return self.pinned in (None, node) and math.isfinite(self.duration_ms[node])


@dataclass(frozen=True, slots=True)
class Edge:
    """Data from one task to another, by index. `transfer_ms` per channel; infinite where it cannot go."""

    source: int
    target: int
    bits: float
    transfer_ms: tuple[float, ...]


@dataclass(frozen=True)
class Instance:
    """The matrices are [from node][to node]; `channel` holds indices into `channels`, None within a node.

    `order` is a topological order of the tasks, the document's own where that is one.
    """

    name: str
    weight: float
    local_time_ms: float
    local_energy_j: float
    nodes: tuple[Node, ...]
    tasks: tuple[Task, ...]
    edges: tuple[Edge, ...]
    channels: tuple[str, ...]
    channel: tuple[tuple[int | None, ...], ...]
    latency_ms: tuple[tuple[float, ...], ...]
    energy_j_per_bit: tuple[tuple[float, ...], ...]
    order: tuple[int, ...]
    sink: int
    reference: Reference | None = None

    @classmethod
    def parse(cls, document: bytes | str | dict[str, Any]) -> Instance:
        """The instance that a document describes. Raises BadInstance, whose `flaw` says what is wrong."""
        instance = _built(written.read(document))
        _ = instance.layout
        return instance

    @cached_property
    def layout(self) -> Layout:
        """The instance as the kernel reads it; made while parsing, or when it is first placed."""
        from common.placement.problem import lay_out

        return lay_out(self)

    def cost(self, finish_ms: float, energy_j: float) -> float:
        """J: the weighted share of the time and the energy that the gateway alone would take."""
        late, spent = finish_ms / self.local_time_ms, energy_j / self.local_energy_j
        return self.weight * late + (1.0 - self.weight) * spent


def _built(given: written.Document) -> Instance:
    node_of = _numbered([node.id for node in given.nodes], "node")
    task_of = _numbered([task.id for task in given.tasks], "task")
    if SINK not in task_of:
        raise BadInstance(Flaw.NO_SINK, f"no task has the id {SINK}")
    channels = tuple(dict.fromkeys(c for row in given.channel for c in row if c is not None))
    if len(channels) > written.MAX_CHANNELS:
        raise BadInstance(Flaw.TOO_LARGE, f"{len(channels)} channels; at most {written.MAX_CHANNELS}")
    for name in ("channel", "latency_ms", "energy_j_per_bit"):
        _check_square(name, getattr(given, name), len(node_of))
    edges = tuple(_edge(number, edge, channels, len(task_of)) for number, edge in enumerate(given.edges))
    return Instance(
        name=given.name,
        weight=given.weight,
        local_time_ms=given.all_local.time_ms,
        local_energy_j=given.all_local.energy_j,
        nodes=tuple(Node(node.id, node.tier, node.slots) for node in given.nodes),
        tasks=tuple(_task(task, node_of) for task in given.tasks),
        edges=edges,
        channels=channels,
        channel=_connections(given.channel, channels),
        latency_ms=tuple(map(tuple, given.latency_ms)),
        energy_j_per_bit=tuple(map(tuple, given.energy_j_per_bit)),
        order=topological(len(task_of), edges),
        sink=task_of[SINK],
        reference=given.reference,
    )


def _numbered(ids: Sequence[str], what: str) -> dict[str, int]:
    numbers = {name: number for number, name in enumerate(ids)}
    if len(numbers) != len(ids):
        twice = next(name for number, name in enumerate(ids) if numbers[name] != number)
        raise BadInstance(Flaw.DUPLICATE_ID, f"{what} {twice} is there twice")
    return numbers


def _check_square(name: str, matrix: Sequence[Sequence[object]], size: int) -> None:
    if len(matrix) != size or any(len(row) != size for row in matrix):
        raise BadInstance(Flaw.WRONG_LENGTH, f"{name} has to be {size} by {size}")


def _task(given: written.TaskDocument, node_of: dict[str, int]) -> Task:
    if given.pinned is not None and given.pinned not in node_of:
        raise BadInstance(Flaw.UNKNOWN_NODE, f"task {given.id} is pinned to {given.pinned}")
    if len(given.duration_ms) != len(node_of) or len(given.energy_j) != len(node_of):
        raise BadInstance(Flaw.WRONG_LENGTH, f"task {given.id} needs {len(node_of)} durations and energies")
    pinned = None if given.pinned is None else node_of[given.pinned]
    durations = tuple(math.inf if ms is None else ms for ms in given.duration_ms)
    task = Task(given.id, pinned, durations, tuple(given.energy_j))
    if not any(task.may_run_on(node) for node in range(len(node_of))):
        raise BadInstance(Flaw.INVALID, f"task {given.id} may run nowhere")
    return task


def _edge(number: int, given: written.EdgeDocument, channels: Sequence[str], tasks: int) -> Edge:
    if max(given.source, given.target) >= tasks:
        raise BadInstance(Flaw.UNKNOWN_TASK, f"edge {number} names task {max(given.source, given.target)}")
    missing = [channel for channel in channels if channel not in given.transfer_ms]
    if missing:
        raise BadInstance(Flaw.UNKNOWN_CHANNEL, f"edge {number} has no transfer_ms for {missing[0]}")
    if len(given.transfer_ms) > written.MAX_CHANNELS:
        raise BadInstance(Flaw.TOO_LARGE, f"edge {number} names {len(given.transfer_ms)} channels")
    # A channel that joins no two nodes is of no use, but no mistake either.
    return Edge(given.source, given.target, given.bits, tuple(given.transfer_ms[name] for name in channels))


def _connections(
    matrix: Sequence[Sequence[str | None]], channels: Sequence[str]
) -> tuple[tuple[int | None, ...], ...]:
    number = {name: position for position, name in enumerate(channels)}
    for source, row in enumerate(matrix):
        for target, name in enumerate(row):
            if name is None and source != target:
                raise BadInstance(Flaw.UNKNOWN_CHANNEL, f"no channel from node {source} to node {target}")
    return tuple(tuple(None if name is None else number[name] for name in row) for row in matrix)


def topological(tasks: int, edges: Sequence[Edge]) -> tuple[int, ...]:
    """Every task after those it depends on, the lowest index first. Raises BadInstance."""
    if len({(edge.source, edge.target) for edge in edges}) != len(edges):
        raise BadInstance(Flaw.REPEATED_EDGE, "two edges join the same two tasks")
    if all(edge.source < edge.target for edge in edges):
        return tuple(range(tasks))
    waiting, after = [0] * tasks, [[] for _ in range(tasks)]  # type: tuple[list[int], list[list[int]]]
    for edge in edges:
        waiting[edge.target] += 1
        after[edge.source].append(edge.target)
    order = [task for task in range(tasks) if not waiting[task]]
    for task in order:
        for later in after[task]:
            waiting[later] -= 1
            if not waiting[later]:
                order.append(later)
    if len(order) != tasks:
        stuck = next(task for task in range(tasks) if waiting[task])
        raise BadInstance(Flaw.CYCLE, f"task {stuck} depends on itself by a chain of edges")
    return tuple(order)
