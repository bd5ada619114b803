"""One live job as its runner holds it, what is counted over all of them, and who else is to know."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from common.clock import Clock
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.wire import TaskResult
from edge_agent.tasks.job_store import JobRow
from edge_agent.tasks.planning import Plan
from edge_agent.tasks.progress import Progress


@dataclass(slots=True)
class Job:
    """A live job. Times are monotonic."""

    row: JobRow
    progress: Progress
    begun: float
    deadline: float | None = None
    plan: Plan | None = None
    first_plan: Plan | None = None
    first_plan_s: float | None = None
    """When that was made, in seconds from the submission on."""
    ran: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Of a former life: begins and ends of runs, in seconds from the submission on."""
    planned_at: float = 0.0
    planning: bool = False
    """A plan is being made in a thread."""
    replan: bool = True
    machines: frozenset[str] = frozenset()
    """Those that the plan knew."""
    waits_for: str = ""
    """Why there is no plan, for people."""
    promised_s: float | None = None
    """When its first plan foretold its end, from its submission on."""
    pinned: set[str] = field(default_factory=set)
    running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    changes: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self) -> None:
        """Whoever follows it hears of a change."""
        self.changes += 1
        self.changed.set()
        self.changed = asyncio.Event()

    def pin(self, blobs: BlobStore, digests: Iterable[str]) -> None:
        """Keep blobs for as long as it lives."""
        fresh = set(digests) - self.pinned
        self.pinned |= fresh
        blobs.pin(fresh)

    def urgency(self) -> tuple[int, float, float]:
        """The lowest first: higher priorities, then earlier deadlines, then whoever came first."""
        late = inf if self.row.deadline is None else self.row.deadline
        return -self.row.priority, late, self.row.submitted

    def seconds_left(self, clock: Clock) -> float | None:
        """Until its deadline, negative after it; None without one."""
        return None if self.deadline is None else self.deadline - clock.monotonic()


@dataclass(slots=True)
class Tally:
    """Since the agent's start."""

    jobs_done: int = 0
    jobs_failed: int = 0
    jobs_cancelled: int = 0
    jobs_late: int = 0
    reruns: int = 0
    stale_results: int = 0
    """Of attempts that had been given up."""
    plans: int = 0


class Witness(Protocol):
    """Whoever is to know of the jobs besides this gateway: the deputy that finishes them should it die."""

    async def accepted(self, job: str, document: bytes) -> None:
        """Before a submission is acknowledged. Without a deputy the job goes on alone: raises nothing."""

    def result(self, result: TaskResult) -> None:
        """A task is done, and its result stored."""

    def ended(self, row: JobRow) -> None:
        """The job is over, and that is stored."""


class NoWitness:
    """There is nobody to tell."""

    async def accepted(self, job: str, document: bytes) -> None:
        """Nothing."""

    def result(self, result: TaskResult) -> None:
        """Nothing."""

    def ended(self, row: JobRow) -> None:
        """Nothing."""
