"""Who decides: ours with congestion prices, and those it is compared with. All know the same, all replan."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from math import inf
from typing import Final

from common.placement import CASES, Instance, Loads, Schedule, Task, heft, heft_j, schedule, static_case
from tools.benchmarks.online.fleet import CHANNELS, FREE, MACHINES
from tools.benchmarks.online.graphs import free, instance, standing
from tools.benchmarks.online.job import Job
from tools.benchmarks.online.view import View

Method = Callable[[Instance, Loads], Schedule]
Decide = Callable[[Job, View, float], None]
"""Sets a job's `node` and `start_ms`, from what is known at a time in ms."""

CONGESTION: Final = 3.0
"""How much the price of what is busy counts for."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """Who decides, and whether plans are made again when the WAN fades or recovers.

    `by_urgency`: machines and channels take first whose job is lost first, and last what cannot but be lost;
    otherwise the plans' order holds. `deputies`: a graph whose gateway dies goes on at another one.
    """

    decide: Decide
    reconsiders: bool = False
    by_urgency: bool = False
    deputies: bool = True


def selfish(loads: Loads) -> Loads:
    """Who is busy and dead, but neither a price for it nor a deadline."""
    return replace(loads, utilisation={}, deadline_ms=None)


def ours() -> Strategy:
    """The search, with congestion prices and a penalty for lateness."""

    def decide(instance: Instance, loads: Loads) -> Schedule:
        return schedule(instance, loads=replace(loads, congestion=CONGESTION))

    return Strategy(deciding(decide), reconsiders=True, by_urgency=True)


def rivals() -> dict[str, Strategy]:
    """HEFT, HEFT with J in the place of time, and the seven static cases."""
    found = {
        "heft": Strategy(deciding(lambda instance, loads: heft(instance, selfish(loads)))),
        "heft-j": Strategy(deciding(lambda instance, loads: heft_j(instance, selfish(loads)))),
    }
    return found | {case: Strategy(deciding(_static(case))) for case in CASES}


def _static(case: str) -> Method:
    return lambda instance, loads: static_case(instance, case, selfish(loads))


def deciding(method: Method) -> Decide:
    """A scheduler of instances as one of jobs: what is left of a job is an instance, at present loads."""

    def decide(job: Job, view: View, now_ms: float) -> None:
        plan = method(
            instance(job.graph, view.wan_share, remaining(job, view.dead, now_ms)),
            loads(job, view, now_ms),
        )
        number = {machine.id: index for index, machine in enumerate(MACHINES)}
        position = {"source": 0, "sink": job.graph.sink}
        for row in plan.assignments:
            task = position[row.task] if row.task in position else int(row.task[1:])
            if not job.done[task] and task not in _begun(job):
                job.node[task] = number[row.node]
                job.start_ms[task] = now_ms + row.start_ms
        job.measure(view.wan_share)
        view.decided(job, now_ms)

    return decide


def _begun(job: Job) -> set[int]:
    return {task for task, run in job.runs.items() if run.begun_ms is not None}


def remaining(job: Job, dead: Container[int], now_ms: float) -> list[Task]:
    """What is done stands where its data is, what runs stays where it runs; the rest is free."""
    return [_task(job, task, dead, now_ms) for task in range(job.graph.sink + 1)]


def _task(job: Job, task: int, dead: Container[int], now_ms: float) -> Task:
    graph = job.graph
    if task in (0, graph.sink):
        return free(graph, task, graph.gateway)
    if job.done[task]:
        return standing(graph, task, _holder(job, task, dead), 0.0)
    if task in job.runs and job.runs[task].begun_ms is not None and job.node[task] not in dead:
        return standing(graph, task, job.node[task], job.runs[task].left_ms(now_ms))
    return free(graph, task)


def _holder(job: Job, task: int, dead: Container[int]) -> int:
    """A machine that has what a task made: that which made it if it can be, else any, else the asking one."""
    if job.node[task] not in dead:
        return job.node[task]
    holders = {machine for edge in job.outputs(task) for machine in job.at[edge] if machine not in dead}
    return min(holders, default=job.graph.gateway)


def loads(job: Job, view: View, now_ms: float) -> Loads:
    """What others have on the fleet, as an evaluation takes it; a dead gateway that asked is waited for."""
    graph, channel_free_at = job.graph, view.channel_free_at(job, now_ms)
    busy = {
        machine.id: [max(at - now_ms, 0.0) for at in free_at]
        for machine, free_at in zip(MACHINES, view.free_at(job, now_ms), strict=True)
    }
    if graph.gateway in view.dead:
        busy[MACHINES[graph.gateway].id] = [view.back_ms(graph.gateway, now_ms)]
    used = dict(zip((machine.id for machine in MACHINES), view.used, strict=True))
    used |= dict(zip(CHANNELS, view.channel_used, strict=True))
    deadline = graph.arrival_ms + graph.deadline_ms - now_ms
    return Loads(
        busy_until_ms=busy,
        channel_until_ms={CHANNELS[c]: channel_free_at[c] - now_ms for c in range(FREE)},
        utilisation=used,
        dead=frozenset(MACHINES[machine].id for machine in view.dead if machine != graph.gateway),
        deadline_ms=deadline if deadline > 0.0 else inf,
    )
