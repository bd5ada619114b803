"""Runs the jobs of this gateway, from their submission to their one end.

Decisions are made by `progress` (what is next) and `planner` (where), attempts are `attempts`' and files
`job_store`'s; this is the turn that goes round between them. A death at any moment costs at most the runs
that were under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from common.clock import Clock
from common.errors import Rejected, RejectReason
from common.kinds.kind import TaskKind
from common.logs import get_logger
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.checks import check, check_deadline, check_memory
from common.taskgraph.executor import Executor
from common.taskgraph.graph import Task, TaskGraph, parse
from common.taskgraph.wire import FailureReason, TaskLimits, TaskResult
from common.tasks import together
from edge_agent.tasks.attempts import Attempts
from edge_agent.tasks.costs import Costs
from edge_agent.tasks.job import Job, NoWitness, Tally, Witness
from edge_agent.tasks.job_store import JobRow, JobState, JobStore
from edge_agent.tasks.plan_book import PlanBook
from edge_agent.tasks.planner import Planner
from edge_agent.tasks.progress import Progress, TaskState

TICK_S: Final = 0.5
BUSY_TICK_S: Final = 0.2
"""Between two looks at deadlines, and at machines that come and go; the second while there are jobs, whose
tasks may wait for a machine to tell that it is free."""

ASIDE_BYTES: Final = 32 << 10
"""A longer document is checked in a thread: ten thousand tasks take the better part of a second."""

log = get_logger(__name__)


class Runner:
    """The live jobs. `executors` gives those that there are now, this machine first. Run `run()`."""

    def __init__(
        self,
        store: JobStore,
        blobs: BlobStore,
        executors: Callable[[], Sequence[Executor]],
        costs: Costs,
        find: Callable[[str], TaskKind],
        limits: TaskLimits,
        clock: Clock,
        announce: Callable[..., None] = lambda name, **fields: None,
        witness: Witness | None = None,
        search: bool = True,
    ) -> None:
        """`limits` are of tasks that name none; `search` as in `planning.plan`."""
        self._store = store
        self._blobs = blobs
        self._find = find
        self._executors = executors
        self._clock = clock
        self._announce = announce
        self.witness = witness or NoWitness()
        self._wake = asyncio.Event()
        self.jobs: dict[str, Job] = {}
        self.tally = Tally()
        self.book = PlanBook(store, self.jobs.get, clock)
        self._planner = Planner(
            executors,
            costs,
            find,
            blobs,
            clock,
            self.tally,
            lambda: self.jobs.values(),
            self.book.keep,
            search,
        )
        self._attempts = Attempts(
            store,
            blobs,
            executors,
            costs,
            find,
            limits,
            clock,
            self.tally,
            lambda: self.witness,
            live=lambda job: self.jobs.get(job.row.id) is job,
            wake=self.wake,
        )

    async def run(self) -> None:
        """Take up what a former life left, then serve until cancelled. Raises Unavailable, Corrupt."""
        try:
            async with together() as group:
                self._resume()
                while True:
                    self._wake.clear()
                    self._turn(group)
                    try:
                        async with asyncio.timeout(BUSY_TICK_S if self.jobs else TICK_S):
                            await self._wake.wait()
                    except TimeoutError:
                        pass
        finally:
            for job in self.jobs.values():
                self._blobs.unpin(job.pinned)
            self.jobs.clear()

    def checked(self, document: bytes) -> tuple[TaskGraph, list[Task]]:
        """What a document asks for, and the tasks in order, if it can be done at all.

        Raises Rejected: as `graph.parse` and `checks.check`; INVALID for a file that was not sent before,
        MISSING_INPUT for a blob that is not here, IMPOSSIBLE_DEADLINE, OUT_OF_RANGE as `check_memory`.
        """
        graph = parse(document)
        order = check(graph, self._find)
        check_memory(graph, self._executors()[0].load().memory_bytes)
        if files := graph.files():
            raise Rejected(RejectReason.INVALID, f"{files[0]} has to be sent before, and named by its digest")
        for digest in graph.blobs():
            if not self._blobs.has(digest):
                raise Rejected(RejectReason.MISSING_INPUT, f"blob {digest[:16]}… is not here")
        if graph.deadline_s is not None:
            check_deadline(graph, order, self._planner.best_times(graph, order))
        return graph, order

    async def submit(self, job: str, document: bytes) -> JobRow:
        """Take a job: stored, witnessed, and only then told. The same id again is the same job.

        Raises Rejected (`checked`), Unavailable (the disk refuses).
        """
        if len(document) < ASIDE_BYTES:
            graph, order = self.checked(document)
        else:
            graph, order = await asyncio.to_thread(self.checked, document)
        now = self._clock.wall()
        deadline = None if graph.deadline_s is None else now + graph.deadline_s
        row = JobRow(job, graph.name, JobState.LIVE, now, deadline, graph.priority, tasks=len(graph.tasks))
        if self._store.add(row, document):
            try:
                await self.witness.accepted(job, document)
            finally:
                # Stored is taken, also when whoever submits has gone meanwhile.
                self._adopt(row, graph, order, {})
        known = self._store.row(job)
        assert known is not None
        return known

    def take_over(
        self,
        job: str,
        document: bytes,
        submitted: float,
        deadline: float | None,
        results: Mapping[str, TaskResult],
    ) -> bool:
        """Go on with a job of another gateway, or one of our own that another has gone on with: what it has
        is added to what is here. False when the job is over here. Times are wall-clock.

        Raises Rejected, Unavailable.
        """
        graph = parse(document)
        order = check(graph, self._find)
        row = JobRow(
            job, graph.name, JobState.LIVE, submitted, deadline, graph.priority, tasks=len(graph.tasks)
        )
        self._store.add(row, document)
        known = self._store.row(job)
        if known is None or known.state is not JobState.LIVE:
            return False
        for result in results.values():
            if result.failure is None and all(map(self._blobs.has, result.outputs.values())):
                self._store.record(result)
        if held := self.jobs.get(job):
            self._merge(held, self._store.results(job))
        else:
            self._adopt(self._store.take_up(job), graph, order, self._store.results(job))
        return True

    def cancel(self, job: str, reason: str = "cancelled by the operator") -> bool:
        """Stop a live job; False when it is none."""
        held = self.jobs.get(job)
        if held is not None:
            self._end(held, JobState.CANCELLED, reason)
        return held is not None

    def withdraw(self, job: str) -> None:
        """Stop a job and forget it, without telling anybody: it is another gateway's."""
        held = self.jobs.pop(job, None)
        if held is not None:
            self._release(held)
        self._store.remove(job)

    def wake(self) -> None:
        """Something may have changed: look again soon."""
        self._wake.set()

    def _resume(self) -> None:
        for row in reversed(self._store.rows(live=True)):
            if row.id in self.jobs:
                continue
            try:
                graph = parse(self._store.document(row.id))
                order = check(graph, self._find)
            except Rejected as error:
                reason = f"it can no longer be run: {error}"
                self._store.end(row.id, JobState.FAILED, self._clock.wall(), reason)
                continue
            self._adopt(self._store.take_up(row.id), graph, order, self._store.results(row.id))
            log.info("job-resumed", job=row.id, done=self.jobs[row.id].progress.done, tasks=row.tasks)

    def _adopt(
        self, row: JobRow, graph: TaskGraph, order: Sequence[Task], results: Mapping[str, TaskResult]
    ) -> None:
        job = Job(row, Progress(graph, order, row.first_attempt), begun=self._clock.monotonic())
        if row.deadline is not None:
            job.deadline = job.begun + row.deadline - self._clock.wall()
        job.pin(self._blobs, graph.blobs())
        self.book.take_up(job)
        self._merge(job, results)
        self._attempts.recover_outputs(job, job.progress.order)
        self.jobs[row.id] = job
        self.wake()

    def _merge(self, job: Job, results: Mapping[str, TaskResult]) -> None:
        """Results that are stored already; runs of the same tasks are given up."""
        for name in job.progress.order:
            if name in results and job.progress.standings[name].state is not TaskState.DONE:
                job.pin(self._blobs, results[name].outputs.values())
                job.progress.restore(results[name])
                if running := job.running.pop(name, None):
                    running.cancel()
        job.replan = True
        job.note()
        self.wake()

    def _turn(self, group: asyncio.TaskGroup) -> None:
        """Look at every job once, the most urgent first."""
        for job in sorted(self.jobs.values(), key=Job.urgency):
            self._watch_deadline(job)
            if job.progress.failure:
                self._end(job, JobState.FAILED, job.progress.failure)
            elif job.progress.finished:
                self._end(job, JobState.DONE)
            else:
                self._planner.refresh(job, group, self.wake)
                if not self._attempts.start_ready(job, group) and self._planner.is_stale(job):
                    job.replan = True
                    self.wake()

    def _watch_deadline(self, job: Job) -> None:
        left = job.seconds_left(self._clock)
        if left is None or left > 0 or job.row.late:
            return
        job.row = replace(job.row, late=True)
        self._store.mark_late(job.row.id)
        self.tally.jobs_late += 1
        self._announce("job-late", job=job.row.id, title=job.row.name)
        job.note()
        if job.progress.graph.on_deadline == "cancel":
            job.progress.fail(f"{FailureReason.DEADLINE.value}: its deadline has passed")

    def _end(self, job: Job, state: JobState, reason: str = "") -> None:
        """The one place where a job ends: stored first, then told."""
        took = self._clock.monotonic() - job.begun
        first = self._store.end(job.row.id, state, self._clock.wall(), reason, job.promised_s)
        self.book.keep(job)
        del self.jobs[job.row.id]
        self._release(job)
        self._count(state)
        if first and (row := self._store.row(job.row.id)) is not None:
            self.witness.ended(row)
            self._announce(
                f"job-{state.value}", job=row.id, title=row.name, reason=reason[:200], took_s=round(took, 3)
            )
        job.note()

    def _release(self, job: Job) -> None:
        for task in list(job.running.values()):
            task.cancel()
        self._blobs.unpin(job.pinned)
        job.pinned = set()

    def _count(self, state: JobState) -> None:
        self.tally.jobs_done += state is JobState.DONE
        self.tally.jobs_failed += state is JobState.FAILED
        self.tally.jobs_cancelled += state is JobState.CANCELLED


def new_job_id(gateway: str, token: str) -> str:
    """Unique over the fleet, as gateways' names are."""
    return f"{gateway}-{token}"
