"""How long the machines are taken already, as far as this gateway knows: by those of its own other jobs that
go first, whose plans it has, and by tasks of others, of which a machine tells how many it has. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heapreplace
from typing import Final

from common.taskgraph.executor import Load
from edge_agent.tasks.job import Job
from edge_agent.tasks.progress import Standing, TaskState

LEAST_LEFT: Final = 0.2
"""Of a run that takes longer than was expected: so much of it is still expected to come."""

Ahead = dict[str, tuple[list[float], list[float]]]
"""By machine: seconds left of the tasks that run there, and of those that are still to come before."""


def ahead_of(job: Job, jobs: Iterable[Job], now: float) -> Ahead:
    """What other live jobs of this gateway have on the machines, by their plans: all that runs, and what is
    to come of those that are no less urgent. The tasks of others wait for this one's."""
    found: Ahead = {}
    for other in jobs:
        if other is job or other.plan is None:
            continue
        first = other.urgency() <= job.urgency()
        for name, planned in other.plan.tasks.items():
            standing = other.progress.standings[name]
            takes = planned.finish_s - planned.start_s
            if standing.state is TaskState.RUNNING:
                row = found.setdefault(standing.machine, ([], []))
                row[0].append(_left(standing, takes, now))
            elif first and standing.state in (TaskState.READY, TaskState.WAITING):
                found.setdefault(planned.machine, ([], []))[1].append(takes)
    return found


def busy_s(load: Load, own: tuple[list[float], list[float]], own_running: int, whole_s: float) -> list[float]:
    """For how long each slot of a machine is taken. `own_running` tasks of its line are this gateway's; those
    of others are taken to last `whole_s`, the one that runs already half of that."""
    running, coming = own
    others = max(0, load.busy + load.queued - own_running)
    at_once = min(others, max(0, load.slots - own_running))
    slots = sorted([*running, *[whole_s / 2] * at_once], reverse=True)[: load.slots]
    # The idle ones: free as soon as their worker is there.
    slots += [load.start_s] * (load.slots - len(slots))
    heapify(slots)
    for takes in [*[whole_s] * (others - at_once), *coming] if slots else ():
        heapreplace(slots, slots[0] + takes)
    return sorted(slots)


def _left(standing: Standing, takes: float, now: float) -> float:
    return max(LEAST_LEFT * takes, takes - (now - standing.began))
