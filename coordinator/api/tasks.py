"""The paths of tasks: what runs on the cloud now, and how the machines of the sites stand."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from common.clock import Clock
from common.messages import Status
from coordinator.repository.store import Repository
from coordinator.tasks.cloud import Cloud

STALE_PERIODS = 3


class MachineView(BaseModel):
    """A gateway or MEC server that runs tasks. `age_s`: how old what it told is."""

    site: str
    name: str
    tier: str
    live: bool
    age_s: float
    slots: int
    busy: int
    queued: int
    speed: dict[str, float]


class JobView(BaseModel):
    """A job that a gateway runs, as its last status tells. `deputy` finishes it should the gateway die."""

    site: str
    gateway: str
    id: str
    name: str
    done: int
    running: int
    tasks: int
    late: bool
    deputy: str
    age_s: float


class TasksView(BaseModel):
    """`cloud` is None where tasks of gateways are not taken (`[tasks] enabled`)."""

    cloud: dict[str, Any] | None
    machines: list[MachineView]
    jobs: list[JobView]


def make_router(cloud: Cloud | None, repository: Repository, clock: Clock) -> APIRouter:
    """The paths over the cloud's desk, None where it is closed."""
    router = APIRouter()

    @router.get("/tasks")
    async def tasks() -> TasksView:
        # The cloud belongs to the loop, the repository to threads.
        statuses = await asyncio.to_thread(_statuses, repository, clock.wall)
        return TasksView(
            cloud=None if cloud is None else cloud.account(),
            machines=[_machine(status, age) for status, age in statuses if status.tasks is not None],
            jobs=[job for status, age in statuses for job in _jobs(status, age)],
        )

    @router.get("/tasks/{errand}")
    async def task(errand: str) -> dict[str, Any]:
        errands = [] if cloud is None else cloud.account()["errands"]
        for one in errands:
            if one["id"] == errand:
                found: dict[str, Any] = one
                return found
        raise HTTPException(404, f"no such task here: {errand[:64]!r}; see: coordinator tasks list")

    @router.post("/tasks/{errand}/cancel")
    async def cancel(errand: str) -> dict[str, bool]:
        if cloud is None or not cloud.cancel(errand):
            raise HTTPException(404, f"no such task here: {errand[:64]!r}; see: coordinator tasks list")
        return {"cancelled": True}

    return router


def _statuses(repository: Repository, wall: Callable[[], float]) -> list[tuple[Status, float]]:
    """What every gateway last told, by name, and how old that is."""
    now = wall()
    return [
        (record.status, max(0.0, now - record.last_seen))
        for _, record in sorted(repository.gateways().items())
        if record.status is not None
    ]


def _machine(status: Status, age: float) -> MachineView:
    assert status.tasks is not None
    return MachineView(
        site=status.site,
        name=status.gateway,
        tier=status.tier,
        live=status.online and age <= STALE_PERIODS * status.period_s,
        age_s=round(age, 1),
        slots=status.tasks.slots,
        busy=status.tasks.busy,
        queued=status.tasks.queued,
        speed={kind: speed for kind, speed in status.tasks.speed.items() if math.isfinite(speed)},
    )


def _jobs(status: Status, age: float) -> list[JobView]:
    return [
        JobView(
            site=status.site,
            gateway=status.gateway,
            id=job.id,
            name=job.name,
            done=job.done,
            running=job.running,
            tasks=job.tasks,
            late=job.late,
            deputy=job.deputy,
            age_s=round(age, 1),
        )
        for job in status.jobs
    ]
