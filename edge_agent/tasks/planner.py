"""Keeps the plans of live jobs up to date: when one is made anew, and from what. How is `planning`'s."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from common.clock import Clock
from common.errors import Rejected
from common.kinds.kind import TaskKind
from common.placement import Unplaceable
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.executor import Executor
from common.taskgraph.graph import Task, TaskGraph
from edge_agent.tasks import line_up, planning
from edge_agent.tasks.costs import Costs
from edge_agent.tasks.job import Job, Tally
from edge_agent.tasks.planning import Plan
from edge_agent.tasks.problem import Machine, Work, work_of
from edge_agent.tasks.progress import Standing, TaskState

THREAD_FROM: Final = 12
"""Tasks: planning more takes longer than the mesh's events should wait."""

AGAIN_S: Final = 2.0
"""After no machine was found; machines that refused or were lost are let in again after a time."""

STALE_S: Final = 5.0
"""A plan that keeps tasks waiting while some machine is free is made anew after that."""


class Planner:
    """`executors` gives those that there are now, this machine first."""

    def __init__(
        self,
        executors: Callable[[], Sequence[Executor]],
        costs: Costs,
        find: Callable[[str], TaskKind],
        blobs: BlobStore,
        clock: Clock,
        tally: Tally,
        jobs: Callable[[], Iterable[Job]] = tuple,
        on_first: Callable[[Job], None] = lambda job: None,
        search: bool = True,
    ) -> None:
        """`jobs` are all live ones; `on_first` is called once a job has its first plan; `search` as in
        `planning.plan`."""
        self._search = search
        self._on_first = on_first
        self._jobs = jobs
        self._executors = executors
        self._costs = costs
        self._find = find
        self._blobs = blobs
        self._clock = clock
        self._tally = tally

    def best_times(self, graph: TaskGraph, order: Sequence[Task]) -> dict[str, float]:
        """The least seconds of each task of a graph that is not begun."""
        work = work_of(graph, order, self._find, self._blobs.size, {}, {}, graph.deadline_s)
        return planning.best_times(work, self._machines(), self._costs)

    def refresh(self, job: Job, group: asyncio.TaskGroup, wake: Callable[[], None]) -> None:
        """Make a new plan where one is due. A large one takes a thread of `group`, then `wake` is called;
        meanwhile the old one holds."""
        now = self._clock.monotonic()
        machines = self._machines(job)
        present = frozenset(machine.name for machine in machines)
        retry = job.plan is None and now - job.planned_at >= AGAIN_S
        if job.planning or not (job.replan or retry or job.machines != present):
            return
        job.replan, job.machines, job.planned_at = False, present, now
        work = self._work(job, present)
        if len(work.order) < THREAD_FROM:
            self._use(job, self._planned(work, machines))
            return
        job.planning = True
        group.create_task(self._plan_aside(job, work, machines, wake))

    def is_stale(self, job: Job) -> bool:
        """Whether a plan is old enough to be doubted."""
        return self._clock.monotonic() - job.planned_at >= STALE_S

    async def _plan_aside(
        self, job: Job, work: Work, machines: list[Machine], wake: Callable[[], None]
    ) -> None:
        try:
            self._use(job, await asyncio.to_thread(self._planned, work, machines))
        finally:
            job.planning = False
            wake()

    def _planned(self, work: Work, machines: list[Machine]) -> Plan | str:
        """A plan, or why there is none. Looks at nothing that changes: fit for a thread."""
        try:
            return planning.plan(work, machines, self._costs, search=self._search)
        except Unplaceable as error:
            return str(error)
        except Rejected as error:
            # An instance has narrower bounds than a graph. The job still runs, in the order of its document.
            return planning.unplanned(work, machines, error.detail)

    def _use(self, job: Job, found: Plan | str) -> None:
        if isinstance(found, str):
            job.plan, job.waits_for = None, found
        else:
            job.plan, job.waits_for = found, ""
            self._tally.plans += 1
            if job.first_plan is None:
                job.first_plan, job.first_plan_s = found, self._clock.wall() - job.row.submitted
                job.promised_s = job.first_plan_s + found.finish_s
                self._on_first(job)
        job.note()

    def _machines(self, job: Job | None = None) -> list[Machine]:
        """As they stand; for a job, with what others of this gateway have on them."""
        if job is None:
            return [Machine(e.name, e.tier, e.load()) for e in self._executors()]
        jobs = list(self._jobs())
        ahead = line_up.ahead_of(job, jobs, self._clock.monotonic())
        own = Counter(one.machine for other in jobs for one in other.progress.running())
        machines = []
        for executor in self._executors():
            load, name = executor.load(), executor.name
            mine = ahead.get(name, ([], []))
            taken = line_up.busy_s(load, mine, own[name], self._costs.whole_s(name))
            machines.append(Machine(name, executor.tier, load, taken))
        return machines

    def _work(self, job: Job, present: frozenset[str]) -> Work:
        standings = job.progress.standings
        left = [standings[name].task for name in job.progress.order if _open(standings[name])][
            : planning.WINDOW
        ]
        now = self._clock.monotonic()
        done: dict[str, dict[str, int]] = {}
        barred: dict[str, frozenset[str]] = {}
        for name, standing in standings.items():
            if standing.result is not None:
                outputs = standing.result.outputs.items()
                done[name] = {key: self._blobs.size(digest) or 0 for key, digest in outputs}
            elif standing.state is TaskState.RUNNING and standing.machine in present:
                barred[name] = present - {standing.machine}
            elif held := {m for m, until in standing.barred.items() if until > now}:
                barred[name] = frozenset(held)
        return work_of(
            job.progress.graph,
            left,
            self._find,
            self._blobs.size,
            done,
            barred,
            job.seconds_left(self._clock),
        )


def _open(standing: Standing) -> bool:
    return standing.state not in (TaskState.DONE, TaskState.FAILED)
