"""The engine of one machine: up to so many worker processes, each with a thread here that feeds it.

The standard library's pool shares one broken process with all that wait, cannot end a job that runs, keeps
its processes for good, and (Python 3.11.2) may hang at the end when a process dies early. Here a death costs
the one job that it ran, and processes that had nothing to do for a while are gone, with their memory.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Final, Literal

from common.errors import Unavailable
from common.logs import get_logger
from coordinator.engine.engine import Engine, EngineStatus, JobTooLong, P, R, WorkerDied
from coordinator.engine.job import Job
from coordinator.engine.lane import GRACE_S, Lane

MOST_WAITING: Final = 256
IDLE_S: Final = 180.0
LIMIT_S: Final = 900.0
MOST_JOBS: Final = 1000
"""A process that did so many is replaced, whatever its libraries forgot to give back."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0

log = get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Feeder:
    """A thread with its lane; `inbox` is how an idle one gets its next job, or None to end."""

    inbox: SimpleQueue[Job | None] = field(default_factory=SimpleQueue)
    lane: Lane | None = None
    jobs: int = 0
    thread: Thread | None = None


class Processes(Engine):
    """Work on this machine."""

    def __init__(
        self,
        workers: int,
        *,
        idle_s: float = IDLE_S,
        limit_s: float | None = LIMIT_S,
        most_waiting: int = MOST_WAITING,
        style: Literal["line", "json"] = "line",
        single: bool = True,
    ) -> None:
        """`idle_s` without work end a process, `limit_s` of work a job. `single`: one thread a process."""
        self._workers, self._idle_s, self._limit_s = workers, idle_s, limit_s
        self._most_waiting, self._style, self._single = most_waiting, style, single
        self._lock = Lock()
        self._ending = Event()
        self._closing = Event()
        self._feeders: set[_Feeder] = set()
        self._idle: list[_Feeder] = []
        self._waiting: deque[Job] = deque()
        self._deaths_in_a_row = 0
        self._done = self._failed = self._refused = self._died = 0
        self._problem = ""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        job = Job.of(fn, args, kwargs)
        with self._lock:
            if self._ending.is_set():
                raise Unavailable("the engine was closed")
            if self._idle:
                # The one that worked last, so that the others may fall idle for good.
                self._idle.pop().inbox.put(job)
            elif len(self._feeders) < self._workers:
                self._start(job)
            elif len(self._waiting) < self._most_waiting:
                self._waiting.append(job)
            else:
                self._refused += 1
                raise Unavailable(f"{self._most_waiting} jobs wait already: try again later")
        return job.future

    def describe(self) -> EngineStatus:
        with self._lock:
            alive = sum(1 for feeder in self._feeders if feeder.lane is not None)
            return EngineStatus(
                kind="processes",
                where=f"{self._workers} processes here",
                workers=self._workers,
                alive=alive,
                running=len(self._feeders) - len(self._idle),
                waiting=len(self._waiting),
                most_waiting=self._most_waiting,
                done=self._done,
                failed=self._failed,
                refused=self._refused,
                died=self._died,
                problem=self._problem,
            )

    def pids(self) -> list[int]:
        """The processes that there are."""
        with self._lock:
            lanes = [feeder.lane for feeder in self._feeders if feeder.lane is not None]
        return [lane.pid for lane in lanes if lane.pid is not None]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As every executor: what runs is done, what waits too unless `cancel_futures`."""
        with self._lock:
            self._ending.set()
            left = list(self._waiting) if cancel_futures else []
            if cancel_futures:
                self._waiting.clear()
            threads = [feeder.thread for feeder in self._feeders]
            for feeder in self._idle:
                feeder.inbox.put(None)
            self._idle.clear()
        for job in left:
            job.future.cancel()
        for thread in threads if wait else ():
            if thread is not None:
                thread.join()

    def close(self) -> None:
        self._closing.set()
        self.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            feeders = list(self._feeders)
            for feeder in feeders:
                if feeder.lane is not None:
                    feeder.lane.kill()
        for feeder in feeders:
            if feeder.thread is not None:
                feeder.thread.join(2 * GRACE_S)

    def _start(self, job: Job) -> None:
        feeder = _Feeder()
        feeder.thread = Thread(target=self._feed, args=(feeder, job), name="engine", daemon=True)
        self._feeders.add(feeder)
        feeder.thread.start()

    def _feed(self, feeder: _Feeder, first: Job) -> None:
        job: Job | None = first
        while job is not None:
            self._perform(feeder, job)
            job = self._next(feeder)
        self._drop(feeder)

    def _next(self, feeder: _Feeder) -> Job | None:
        """The next job; None when this lane shall end, and then nobody will give it one."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if self._ending.is_set():
                self._feeders.discard(feeder)
                return None
            self._idle.append(feeder)
        try:
            job = feeder.inbox.get(timeout=self._idle_s)
        except Empty:
            job = None
        with self._lock:
            if job is None and feeder not in self._idle:
                # Just taken for a job, or told to end.
                job = feeder.inbox.get() if feeder.inbox.qsize() else None
            if job is None:
                self._feeders.discard(feeder)
                if feeder in self._idle:
                    self._idle.remove(feeder)
        return job

    def _perform(self, feeder: _Feeder, job: Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        try:
            lane = self._lane(feeder)
            went_well, value = lane.perform(job.message, self._limit_s)
        except (WorkerDied, JobTooLong, Unavailable) as error:
            self._drop(feeder)
            self._lost(job, error)
            return
        with self._lock:
            self._deaths_in_a_row, self._problem = 0, ""
            self._done += went_well
            self._failed += not went_well
        if went_well:
            job.future.set_result(value)
        else:
            job.future.set_exception(value)
        feeder.jobs += 1
        if feeder.jobs % MOST_JOBS == 0:
            self._drop(feeder)

    def _lost(self, job: Job, error: Exception) -> None:
        closing = self._closing.is_set()
        with self._lock:
            self._failed += 1
            if not closing:
                self._died += 1
                self._deaths_in_a_row += 1
                self._problem = str(error)
        if not closing:
            log.warning("worker-lost", job=job.name, reason=error)
        job.future.set_exception(WorkerDied("the engine was closed") if closing else error)

    def _lane(self, feeder: _Feeder) -> Lane:
        """The feeder's lane, started if there is none; after deaths a while later. Raises Unavailable."""
        if feeder.lane is None:
            deaths = self._deaths_in_a_row
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(deaths - 1, 8)) if deaths else 0.0
            if self._closing.wait(pause):
                raise WorkerDied("the engine was closed")
            lane = Lane(self._style, single=self._single)
            with self._lock:
                feeder.lane = lane
                if self._closing.is_set():
                    lane.kill()
        return feeder.lane

    def _drop(self, feeder: _Feeder) -> None:
        with self._lock:
            lane, feeder.lane = feeder.lane, None
        if lane is not None:
            lane.end()


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
