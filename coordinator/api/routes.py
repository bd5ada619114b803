"""The API's paths. Handlers read; none of them changes anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from common.clock import Clock
from common.errors import MeshtwinError, Rejected, RejectReason, Unavailable
from coordinator.api import models, observations, views
from coordinator.gateway_api.listener import Tally
from coordinator.identity.fleet import Fleet
from coordinator.ingest.ingest import Ingest
from coordinator.repository.samples import Subject
from coordinator.repository.store import Repository

# A link that was not measured for this long is no longer shown.
RECENT_S: Final = 300.0
Limit = Annotated[int, Query(ge=1, le=10_000)]
Window = Annotated[float, Query(gt=0, le=86_400)]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the answers come from. `fleet` reads the registry as of now."""

    name: str
    version: str
    started: float
    repository: Repository
    ingest: Ingest
    fleet: Callable[[], Fleet]
    clock: Clock
    connections: Tally = field(default_factory=Tally)


def make_app(sources: Sources) -> FastAPI:
    """The API over `sources`."""
    app = FastAPI(title="meshtwin coordinator", version=sources.version)
    app.include_router(_present(sources), prefix="/v1")
    app.include_router(_past(sources), prefix="/v1")
    app.include_router(observations.make_router(sources.repository), prefix="/v1")
    app.add_exception_handler(MeshtwinError, _problem)
    app.add_exception_handler(RequestValidationError, _mistaken)
    return app


def _present(sources: Sources) -> APIRouter:
    """What is so now."""
    router = APIRouter()
    repository, clock = sources.repository, sources.clock

    def shown() -> list[models.Gateway]:
        return views.gateways(repository.gateways(), sources.fleet(), clock.wall())

    def recent_links(site: str, seconds: float) -> list[models.Link]:
        now = clock.wall()
        return views.links(repository.latest(Subject.LINK, now - seconds, now + seconds, site), now)

    def check_site(site: str) -> None:
        if site not in {gateway.site for gateway in shown()}:
            raise HTTPException(404, f"site {site!r} is not known; known ones: coordinator sites")

    @router.get("/health")
    def health() -> models.Health:
        return _health(sources)

    @router.get("/gateways")
    def gateways() -> list[models.Gateway]:
        return shown()

    @router.get("/sites")
    def sites() -> list[models.Site]:
        found = shown()
        names = {gateway.site for gateway in found if gateway.site}
        now = clock.wall()
        recent = {name: repository.count_links(name, now - RECENT_S, now + RECENT_S) for name in names}
        return views.sites(found, recent)

    @router.get("/sites/{site}/topology")
    def topology(site: str, seconds: Window = RECENT_S) -> models.Topology:
        check_site(site)
        now = clock.wall()
        snapshot = repository.configuration_as_of(site, now)
        homes = views.homes(repository.gateways().values(), site)
        return views.topology(site, snapshot, recent_links(site, seconds), homes, now)

    @router.get("/sites/{site}/links")
    def links(site: str, seconds: Window = RECENT_S) -> list[models.Link]:
        check_site(site)
        return recent_links(site, seconds)

    return router


def _past(sources: Sources) -> APIRouter:
    """What happened."""
    router = APIRouter()
    repository = sources.repository

    @router.get("/actions")
    def actions(
        site: str | None = None, since: float = 0.0, until: float = 1e12, limit: Limit = 100
    ) -> list[models.Action]:
        return [views.action(found) for found in repository.actions(site, since, until, limit)]

    @router.get("/events")
    def events(
        site: str | None = None, since: float = 0.0, until: float = 1e12, limit: Limit = 100
    ) -> list[models.Event]:
        found = repository.events(site, since, until, limit)
        return [
            models.Event(site=e.site, gateway=e.gateway, t=e.t, name=e.name, fields=e.fields) for e in found
        ]

    @router.get("/samples")
    def samples(
        subject: Subject,
        metric: str,
        since: float,
        until: float,
        site: str | None = None,
        gateway: str | None = None,
        key: Annotated[list[int] | None, Query()] = None,
    ) -> models.Samples:
        wanted = tuple(key) if key else None
        found = repository.samples(subject, metric, since, until, site, gateway, wanted)
        return views.samples(subject, metric, found)

    return router


def _health(sources: Sources) -> models.Health:
    ingest, counters = sources.ingest, sources.ingest.counters
    return models.Health(
        version=sources.version,
        name=sources.name,
        pid=os.getpid(),
        uptime_s=sources.clock.monotonic() - sources.started,
        broker_connected=ingest.connected,
        queued=ingest.queued,
        dropped=ingest.dropped,
        stored=counters.stored,
        duplicates=counters.duplicates,
        refused=counters.refused,
        batches=counters.batches,
        store_failures=counters.store_failures,
        gateway_connections=sources.connections.held().total(),
        gateway_connections_refused=sources.connections.turned_away,
    )


async def _mistaken(_: Request, error: Exception) -> JSONResponse:
    """What a question has wrong, in words and without its values: JSON cannot hold all of them."""
    assert isinstance(error, RequestValidationError)
    said = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()[:3])
    problem = models.Problem(error=Rejected.__name__, detail=f"{RejectReason.INVALID}: {said}"[:1000])
    return JSONResponse(problem.model_dump(), status_code=422)


async def _problem(_: Request, error: Exception) -> JSONResponse:
    status = 400 if isinstance(error, Rejected) else 503 if isinstance(error, Unavailable) else 500
    problem = models.Problem(error=type(error).__name__, detail=str(error))
    return JSONResponse(problem.model_dump(), status_code=status)
