"""Starts the tasks of live jobs on the machines that their plans name, and takes in what comes back.

A result is stored before anything is made of it. What a failure, a refusal or a loss means for the job is
`progress`'s to say.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from heapq import nsmallest
from typing import Final

from common.clock import Clock
from common.errors import Corrupt, Rejected, Unavailable
from common.kinds.kind import MIB, TaskKind
from common.logs import get_logger
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.executor import Executor, MachineLost, Refusal, Refused, Tier
from common.taskgraph.wire import FailureReason, TaskLimits, TaskRequest, TaskResult
from edge_agent.tasks.costs import Costs
from edge_agent.tasks.job import Job, Tally, Witness
from edge_agent.tasks.job_store import JobStore
from edge_agent.tasks.problem import travel_s
from edge_agent.tasks.progress import Standing, TaskState, barred, input_gone

REFUSED_S: Final = 2.0
LOST_S: Final = 15.0
"""For so long a machine that refused, or went away with a task, gets no more of that task."""

_SAME_AGAIN: Final = frozenset(
    {FailureReason.MEMORY, FailureReason.CPU_TIME, FailureReason.KIND, FailureReason.BUG}
)
"""Failures that a machine repeats; a crash or a long time may be the machine's fault of this moment."""

log = get_logger(__name__)


class Attempts:
    """`limits` are of tasks that name none; `live` says whether a job still is; `wake` is called after every
    end of an attempt."""

    def __init__(
        self,
        store: JobStore,
        blobs: BlobStore,
        executors: Callable[[], Sequence[Executor]],
        costs: Costs,
        find: Callable[[str], TaskKind],
        limits: TaskLimits,
        clock: Clock,
        tally: Tally,
        witness: Callable[[], Witness],
        live: Callable[[Job], bool],
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._executors = executors
        self._costs = costs
        self._find = find
        self._limits = limits
        self._clock = clock
        self._tally = tally
        self._witness = witness
        self._live = live
        self._wake = wake
        self._assigned: Counter[str] = Counter()

    def start_ready(self, job: Job, group: asyncio.TaskGroup) -> bool:
        """Start what is ready where its machine has a slot free, in the order of the plan. False when tasks
        are ready and a machine is free, but none of them is for it."""
        ready = job.progress.ready()
        if job.plan is None or not ready:
            return True
        executors = {executor.name: executor for executor in self._executors()}
        free = {name: count for name, one in executors.items() if (count := self._free(one)) > 0}
        if not free:
            return True
        planned = job.plan.tasks
        if not any(name in planned and planned[name].machine in executors for name in ready):
            job.replan = True
        fit = [name for name in ready if name in planned and planned[name].machine in free]
        started = 0
        for name in nsmallest(len(fit) and sum(free.values()) + 8, fit, key=lambda n: planned[n].rank):
            standing, target = job.progress.standings[name], planned[name].machine
            if standing.state is not TaskState.READY:
                # An input of it has gone while others were started.
                continue
            if barred(standing, target, self._clock.monotonic()):
                job.replan = True
            elif free[target] > 0:
                free[target] -= 1
                started += 1
                self._start(job, standing, executors[target], group)
        return started > 0

    def recover_outputs(self, job: Job, names: Sequence[str]) -> bool:
        """Tasks whose outputs are no longer all here run again; whether there were any."""
        gone = []
        for name in names:
            result = job.progress.standings[name].result
            if result is not None and not all(map(self._blobs.has, result.outputs.values())):
                gone.append(name)
                self._store.forget(job.row.id, name)
        if gone:
            log.warning("task-outputs-lost", job=job.row.id, tasks=len(gone), first=gone[0])
            job.progress.outputs_gone(gone)
        return bool(gone)

    def _free(self, executor: Executor) -> int:
        load = executor.load()
        # A task that was just started shows in no load yet.
        return load.slots - max(load.busy, self._assigned[executor.name])

    def _start(self, job: Job, standing: Standing, executor: Executor, group: asyncio.TaskGroup) -> None:
        now, name = self._clock.monotonic(), standing.task.id
        attempt = job.progress.start(name, executor.name, now)
        inputs = job.progress.inputs(name, self._find)
        if not all(map(self._blobs.has, inputs.values())):
            self._input_gone(job, name, attempt)
            return
        self._tally.reruns += attempt > job.row.first_attempt
        self._assigned[executor.name] += 1
        request = self._request(job, standing, inputs)
        job.running[name] = group.create_task(self._carry_out(job, executor, request))
        job.note()

    def _request(self, job: Job, standing: Standing, inputs: dict[str, str]) -> TaskRequest:
        for digest in inputs.values():
            self._blobs.touch(digest)
        task, memory = standing.task, standing.task.limits.memory_mib
        sizes = {name: self._blobs.size(digest) or 0 for name, digest in inputs.items()}
        expected = self._find(task.kind).cost(task.parameters, sizes).memory_bytes
        limits = TaskLimits(
            # A larger machine than this one may have been chosen for what the kind needs.
            memory_bytes=max(self._limits.memory_bytes, expected) if memory is None else memory * MIB,
            cpu_s=task.limits.cpu_s or self._limits.cpu_s,
            wall_s=self._limits.wall_s,
            output_bytes=self._limits.output_bytes,
        )
        return TaskRequest(
            job=job.row.id,
            task=task.id,
            attempt=standing.attempt,
            kind=task.kind,
            parameters=task.parameters,
            inputs=inputs,
            limits=limits,
            priority=job.row.priority,
            deadline_s=job.seconds_left(self._clock),
        )

    async def _carry_out(self, job: Job, executor: Executor, request: TaskRequest) -> None:
        """One attempt on one machine, to its end."""
        now, progress, name = self._clock.monotonic, job.progress, request.task
        start_s = executor.load().start_s
        try:
            self._take(job, executor, request, await executor.run(request), start_s)
        except Refused as error:
            if error.reason is Refusal.DISK:
                progress.no_room(name, request.attempt, str(error), now(), now() + REFUSED_S)
            else:
                progress.refused(name, request.attempt, str(error), now() + REFUSED_S)
            job.replan = True
        except MachineLost as error:
            log.info("task-machine-lost", job=job.row.id, task=name, machine=executor.name)
            progress.lost(name, request.attempt, str(error), now() + LOST_S)
            job.replan = True
        except Corrupt:
            # The file of jobs: the part is started again, with a clean one.
            raise
        except (Rejected, Unavailable) as error:
            # A full disk, and what the contract does not name, is still no reason to lose the job.
            progress.lost(name, request.attempt, str(error), now() + REFUSED_S)
            job.replan = True
        finally:
            self._assigned[executor.name] -= 1
            if job.running.get(name) is asyncio.current_task():
                del job.running[name]
            job.note()
            self._wake()

    def _take(
        self, job: Job, executor: Executor, request: TaskRequest, result: TaskResult, start_s: float
    ) -> None:
        standing, now = job.progress.standings[request.task], self._clock.monotonic()
        if not self._live(job) or standing.attempt != request.attempt or standing.result is not None:
            self._tally.stale_results += 1
            return
        if input_gone(result) and self._input_gone(job, request.task, request.attempt):
            return
        if result.failure is None:
            self._learn(standing, executor, request, result, now - start_s)
            job.pin(self._blobs, result.outputs.values())
            self._store.record(result)
            self._witness().result(result)
        else:
            job.replan = True
        job.progress.take(result, now, self._is_hopeless(job, executor, request, result))

    def _is_hopeless(self, job: Job, executor: Executor, request: TaskRequest, result: TaskResult) -> bool:
        """Whether a task that has failed here would fail in the same way on every machine there is."""
        if result.failure is None or result.failure.why not in _SAME_AGAIN:
            return False
        task, tiers = job.progress.standings[request.task].task, job.progress.graph.tiers
        loads = [
            other.load()
            for other in self._executors()
            if other.name != executor.name and other.tier.value in tiers and not task.local
        ]
        others = [load for load in loads if load.slots]
        if result.failure.why is not FailureReason.MEMORY:
            return not others
        had = min(request.limits.memory_bytes, executor.load().memory_bytes)
        return all(min(request.limits.memory_bytes, load.memory_bytes) <= had for load in others)

    def _learn(
        self, standing: Standing, executor: Executor, request: TaskRequest, result: TaskResult, now: float
    ) -> None:
        sizes = {name: self._blobs.size(digest) or 0 for name, digest in request.inputs.items()}
        hint = self._find(request.kind).cost(request.parameters, sizes)
        self._costs.learn(request.kind, executor.name, hint, result.wall_s, result.cpu_s)
        took, sent = now - standing.began, 0.0
        if executor.tier is not Tier.LOCAL:
            sent = travel_s(executor.load(), sum(sizes.values()), result.output_bytes)
        self._costs.learn_whole(executor.name, took)
        self._costs.learn_extra(executor.name, took - result.wall_s - sent)

    def _input_gone(self, job: Job, name: str, attempt: int) -> bool:
        """Outputs that were evicted or damaged are made again; an input of the job's own is its end. False
        when all is here after all: it was the machine that had lost something."""
        sources = job.progress.standings[name].task.inputs.values()
        if any(source.blob is not None and not self._blobs.has(source.blob) for source in sources):
            job.progress.fail(f"task {name}: missing-input: a file of the job is no longer in the store")
            return True
        if not self.recover_outputs(job, job.progress.producers(name)):
            return False
        # After that: it waits for them now.
        job.progress.refused(name, attempt, "an input was lost", self._clock.monotonic())
        job.replan = True
        return True
