"""The paths of the fleet view, `/twin/fleet`, and of the engine that does the work, `/engine`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from common.clock import Clock
from coordinator.api.models import Gateway
from coordinator.api.views import mesh_up
from coordinator.engine import Engine
from coordinator.recipes.applications import Applications
from coordinator.twin.fleet import LastPlan, ranked, standing
from coordinator.twin.fleet_order import Order
from coordinator.twin.mirror import Mirror


class FlowView(BaseModel):
    source: int
    destination: int
    delivery: float


class PlanView(BaseModel):
    id: str
    recipe: str
    state: str
    began: float


class StandingView(BaseModel):
    """`score` and its 90 % interval are None until the twin was scored; `doubt` is "" when it vouches.
    `mesh_up` is None while no gateway is live to tell."""

    site: str
    age_s: float
    nodes: int
    dead: int
    gateways: int
    delivery: float | None
    worst: FlowView | None
    score: float | None
    low: float | None
    high: float | None
    verdict: str
    scored_s: float | None
    doubt: str
    plan: PlanView | None
    mesh_up: bool | None


class EngineView(BaseModel):
    """`workers` is 0 for a cluster: as many as it has."""

    kind: str
    where: str
    workers: int
    alive: int
    running: int
    waiting: int
    most_waiting: int
    done: int
    failed: int
    refused: int
    died: int
    problem: str


def make_router(
    mirror: Mirror,
    applications: Applications,
    engine: Engine,
    clock: Clock,
    gateways: Callable[[], Sequence[Gateway]] = tuple,
) -> APIRouter:
    """The routes; paths without the version. `gateways` tells all of them as of now."""
    router = APIRouter()

    @router.get("/twin/fleet")
    async def fleet(
        sort: Order = Order.TRUST, limit: Annotated[int | None, Query(ge=1, le=10_000)] = None
    ) -> list[StandingView]:
        plans = _last_plans(applications)
        held = await asyncio.to_thread(mirror.held)
        shown = await asyncio.to_thread(gateways)
        now = clock.wall()
        meshes = {one.site: mesh_up(g for g in shown if g.site == one.site) for one in held}
        rows = ranked(
            (standing(one, plans.get(one.site), now, meshes[one.site]) for one in held), sort, limit
        )
        return [StandingView.model_validate(asdict(row)) for row in rows]

    @router.get("/engine")
    async def engine_status() -> EngineView:
        return EngineView.model_validate(asdict(engine.describe()))

    return router


def _last_plans(applications: Applications) -> dict[str, LastPlan]:
    found: dict[str, LastPlan] = {}
    for one in applications.all():  # The newest first.
        plan = LastPlan(one.id, one.plan.recipe, one.state, one.began)
        found.setdefault(one.plan.site, plan)
    return found
