"""Keeps the plans of jobs on disk, and tells them."""

from __future__ import annotations

from collections.abc import Callable

from common.clock import Clock
from common.errors import Corrupt, Unavailable
from common.logs import get_logger
from edge_agent.tasks.job import Job
from edge_agent.tasks.job_store import JobStore
from edge_agent.tasks.plan_record import PlanRecord, unpacked
from edge_agent.tasks.progress import TaskState

log = get_logger(__name__)


class PlanBook:
    """`held` finds a live job."""

    def __init__(self, store: JobStore, held: Callable[[str], Job | None], clock: Clock) -> None:
        self._store = store
        self._held = held
        self._clock = clock

    def of(self, job: str) -> PlanRecord:
        """What was planned for a job, and what came of it; empty where nothing is known any more. Raises
        Unavailable, Corrupt (the file of jobs)."""
        held = self._held(job)
        if held is not None and held.first_plan is not None:
            return self._record(held)
        packed = self._store.plans(job)
        if packed is None:
            return PlanRecord()
        try:
            return unpacked(packed)
        except Corrupt as error:
            log.warning("plans-lost", job=job, reason=str(error))
            return PlanRecord()

    def take_up(self, job: Job) -> None:
        """A job of a former life goes on with the plan that it had first, and with what was foretold."""
        known = self.of(job.row.id)
        job.first_plan, job.first_plan_s, job.promised_s = known.first, known.first_at_s, known.promised_s
        job.ran = dict(known.ran)

    def keep(self, job: Job) -> None:
        """Its plans, for whoever asks why."""
        if job.first_plan is None:
            return
        try:
            self._store.keep_plans(job.row.id, self._record(job).packed())
        except Unavailable as error:
            # An explanation is worth no job.
            log.warning("plans-not-kept", job=job.row.id, reason=str(error)[:200])

    def _record(self, job: Job) -> PlanRecord:
        shift = self._clock.wall() - self._clock.monotonic() - job.row.submitted
        ran = {
            name: (one.began + shift, one.ended + shift)
            for name, one in job.progress.standings.items()
            if one.state is TaskState.DONE and one.ended > 0
        }
        return PlanRecord(job.first_plan, job.plan, job.first_plan_s, job.ran | ran, job.promised_s)
