"""The paths of tasks: what runs on the cloud now, and how the machines of the sites stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from common.clock import Clock
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


class TasksView(BaseModel):
    """`cloud` is None where tasks of gateways are not taken (`[tasks] enabled`)."""

    cloud: dict[str, Any] | None
    machines: list[MachineView]


def make_router(cloud: Cloud | None, repository: Repository, clock: Clock) -> APIRouter:
    """The paths over the cloud's desk, None where it is closed."""
    router = APIRouter()

    @router.get("/tasks")
    def tasks() -> TasksView:
        return TasksView(
            cloud=None if cloud is None else cloud.account(), machines=_machines(repository, clock.wall)
        )

    @router.post("/tasks/{errand}/cancel")
    async def cancel(errand: str) -> dict[str, bool]:
        if cloud is None or not cloud.cancel(errand):
            raise HTTPException(404, f"no such task here: {errand[:64]!r}; see: coordinator tasks list")
        return {"cancelled": True}

    return router


def _machines(repository: Repository, wall: Callable[[], float]) -> list[MachineView]:
    shown = []
    for name, record in sorted(repository.gateways().items()):
        status = record.status
        if status is None or status.tasks is None:
            continue
        age = max(0.0, wall() - record.last_seen)
        shown.append(
            MachineView(
                site=status.site,
                name=name,
                tier=status.tier,
                live=status.online and age <= STALE_PERIODS * status.period_s,
                age_s=round(age, 1),
                slots=status.tasks.slots,
                busy=status.tasks.busy,
                queued=status.tasks.queued,
                speed=status.tasks.speed,
            )
        )
    return shown
