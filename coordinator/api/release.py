"""The paths of models and jobs: what there is, training, evaluation, release and rollback."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from coordinator.api import release_views as views
from coordinator.api.release_views import JobView, ModelView, OutcomeView
from coordinator.release.desired import Announcer
from coordinator.release.releases import Releases, Target
from coordinator.training.job import Precision

DEFAULT_HOURS: Final = 14 * 24.0
MAX_HOURS: Final = 10 * 366 * 24.0
Names = Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=1000)]
Hours = Annotated[float, Field(gt=0, le=MAX_HOURS)]
Number = Annotated[int, Field(ge=1, le=2**31)]
Said = Annotated[str, Field(max_length=64)]


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Train(_Question):
    """Train on the last `hours` of some sites, or of all."""

    sites: Names = ()
    hours: Hours = DEFAULT_HOURS
    quick: bool = False
    seed: Annotated[int, Field(ge=0, le=2**31)] = 1


class Evaluate(_Question):
    """Score a version, by default the newest, on the last `hours`."""

    version: Number | None = None
    sites: Names = ()
    hours: Hours = 24.0


class Release(_Question):
    """`by` is who says so; no sites and no gateways means all."""

    version: Number | None = None
    precision: Precision | None = None
    sites: Names = ()
    gateways: Names = ()
    force: bool = False
    by: Said = ""


class Rollback(_Question):
    """Undo the last release; `force`: also to what was found worse or refused."""

    force: bool = False
    by: Said = ""


def make_router(releases: Releases, announcer: Announcer) -> APIRouter:
    """The paths over `releases`. A change is announced before it is answered."""
    router = APIRouter()
    _add_models(router, releases, announcer)
    _add_jobs(router, releases)
    return router


def _add_models(router: APIRouter, releases: Releases, announcer: Announcer) -> None:
    @router.get("/models")
    def models() -> list[ModelView]:
        return views.models(releases.registry, releases.live(), releases.wanted())

    @router.post("/models/release")
    async def release(said: Release) -> OutcomeView:
        target = Target(said.sites, said.gateways)
        outcome = await asyncio.to_thread(
            releases.release, said.version, said.precision, target, said.by, said.force
        )
        announcer.announce()
        return views.outcome(outcome, announcer.reaches)

    @router.post("/models/rollback")
    async def rollback(said: Rollback) -> OutcomeView:
        outcome = await asyncio.to_thread(releases.rollback, said.by, said.force)
        announcer.announce()
        return views.outcome(outcome, announcer.reaches)

    @router.get("/models/changes")
    def changes(limit: Annotated[int, Query(ge=1, le=1000)] = 20) -> list[views.ChangeView]:
        return views.changes(releases.registry, limit)


def _add_jobs(router: APIRouter, releases: Releases) -> None:
    jobs = releases.jobs

    @router.post("/models/train")
    async def train(said: Train) -> JobView:
        return views.job(releases.train(said.sites, said.hours, said.quick, said.seed))

    @router.post("/models/evaluate")
    async def evaluate(said: Evaluate) -> JobView:
        return views.job(releases.evaluate(said.version, said.sites, said.hours))

    @router.get("/jobs")
    async def all_jobs() -> list[JobView]:
        return [views.job(found) for found in jobs.all()]

    @router.get("/jobs/{number}")
    async def job(number: str) -> JobView:
        return views.job(jobs.get(number))

    @router.delete("/jobs/{number}")
    async def cancel(number: str) -> JobView:
        return views.job(jobs.cancel(number))
