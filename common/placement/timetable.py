"""A schedule: what runs where and when, what is sent when, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class Assignment(NamedTuple):
    """A task on a node, by their ids."""

    task: str
    node: str
    start_ms: float
    finish_ms: float


class Transfer(NamedTuple):
    """The data of an edge between two nodes: sent when, busy on its channel how long, there when."""

    source: str
    target: str
    channel: str
    start_ms: float
    length_ms: float
    arrival_ms: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """Assignments and transfers in the order in which they were placed.

    `cost` is J, the weighted share of time and energy alone; `searched` is what the search minimised, with
    price and lateness. `method` names the scheduler, `evaluations` how many placements were weighed.
    """

    assignments: tuple[Assignment, ...]
    transfers: tuple[Transfer, ...]
    finish_ms: float
    energy_j: float
    cost: float
    method: str
    searched: float
    evaluations: int

    def node_of(self, task: str) -> str:
        """The id of the node that runs a task. Raises KeyError."""
        for row in self.assignments:
            if row.task == task:
                return row.node
        raise KeyError(task)

    def as_json(self) -> dict[str, Any]:
        """In the form that a checker of schedules reads."""
        tasks = [
            {"id": row.task, "node": row.node, "start_ms": row.start_ms, "finish_ms": row.finish_ms}
            for row in self.assignments
        ]
        transfers = [{"from": t.source, "to": t.target, "start_ms": t.start_ms} for t in self.transfers]
        return {"tasks": tasks, "transfers": transfers}
