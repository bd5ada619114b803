"""The paths of twins: recipes, what-ifs, scores, the past, and the application of plans."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from common.mesh.configuration import Transmit
from coordinator.api import twin_views as views
from coordinator.api.twin_views import ApplicationView, LinkBeliefView, RecipeView, RunView, TwinView
from coordinator.recipes.applications import Applications
from coordinator.recipes.desk import TwinDesk
from coordinator.recipes.plan import Address, Plan, Timing
from coordinator.twin.site_model import SiteConfiguration
from coordinator.twin.whatif_change import AddedNode, Change

Addresses = Annotated[tuple[Address, ...], Field(max_length=4096)]
When = Annotated[float | None, Field(ge=0, le=253_402_300_800, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=2**31)]


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RunRecipe(_Question):
    """Run a recipe with some parameters, as of now or of Unix time `t`."""

    given: dict[str, float | int | bool | str] = Field(default_factory=dict, max_length=32)
    seed: Seed = 1
    t: When = None
    picture: bool = False


class NewNode(_Question):
    address: Address
    pdr: dict[Address, Annotated[float, Field(ge=0, le=1)]] = Field(max_length=512)
    relay: bool = False


class AskWhatIf(_Question):
    """A change that somebody thinks of; everything left out stays."""

    failed: Addresses = ()
    relays_on: Addresses = ()
    relays_off: Addresses = ()
    added: Annotated[tuple[NewNode, ...], Field(max_length=64)] = ()
    ttl: Annotated[int, Field(ge=2, le=127)] | None = None
    network_transmit: Timing | None = None
    relay_retransmit: Timing | None = None
    load: Annotated[float, Field(gt=0, le=1000)] = 1.0
    times: bool = False
    seed: Seed = 1
    t: When = None


class Apply(_Question):
    """Apply a plan; `force` also where the twin does not vouch for it."""

    plan: Plan
    force: bool = False


def make_router(desk: TwinDesk, applications: Applications) -> APIRouter:
    """The paths over both."""
    router = APIRouter()
    _add_questions(router, desk)
    _add_applications(router, desk, applications)
    return router


def _add_questions(router: APIRouter, desk: TwinDesk) -> None:
    @router.get("/recipes")
    def recipes() -> list[RecipeView]:
        return [views.recipe(found) for found in desk.shelf.all()]

    @router.get("/recipes/{name}")
    def recipe(name: str) -> RecipeView:
        return views.recipe(desk.shelf.get(name))

    @router.post("/sites/{site}/recipes/{name}")
    def run(site: str, name: str, said: RunRecipe) -> RunView:
        made = desk.run(site, name, said.given, said.seed, said.t)
        return views.ran(site, made, with_picture=said.picture)

    @router.get("/twins")
    def twins() -> list[TwinView]:
        return [views.twin(desk.twin(site)) for site in desk.mirror.sites()]

    @router.get("/sites/{site}/twin")
    def twin(site: str, t: Annotated[float | None, Query(ge=0, le=253_402_300_800)] = None) -> TwinView:
        return views.twin(desk.twin(site, t))

    @router.get("/sites/{site}/twin/links")
    def links(
        site: str, t: Annotated[float | None, Query(ge=0, le=253_402_300_800)] = None
    ) -> list[LinkBeliefView]:
        return views.links(desk.twin(site, t))

    @router.post("/sites/{site}/whatif")
    def whatif(site: str, said: AskWhatIf) -> dict[str, Any]:
        twin = desk.twin(site, said.t)
        change = _change(said, twin.model.configuration)
        return views.effects(desk.whatif(site, change, said.seed, said.t), twin)


def _add_applications(router: APIRouter, desk: TwinDesk, applications: Applications) -> None:
    @router.post("/applications")
    async def apply(said: Apply) -> ApplicationView:
        await asyncio.to_thread(desk.check, said.plan, force=said.force)
        return views.application(applications.start(said.plan))

    @router.get("/applications")
    async def all_applications() -> list[ApplicationView]:
        return [views.application(found) for found in applications.all()]

    @router.get("/applications/{number}")
    async def application(number: str) -> ApplicationView:
        return views.application(applications.get(number))

    @router.delete("/applications/{number}")
    async def put_back(number: str) -> ApplicationView:
        return views.application(applications.stop(number))


def _change(said: AskWhatIf, present: SiteConfiguration) -> Change:
    times = (said.ttl, said.network_transmit, said.relay_retransmit)
    configuration = SiteConfiguration(
        present.relays,
        said.ttl or present.ttl,
        Transmit(*said.network_transmit) if said.network_transmit else present.network_transmit,
        Transmit(*said.relay_retransmit) if said.relay_retransmit else present.relay_retransmit,
    )
    return Change(
        configuration=configuration if any(times) else None,
        relays_on=frozenset(said.relays_on),
        relays_off=frozenset(said.relays_off),
        failed=said.failed,
        added=tuple(AddedNode(one.address, one.pdr, one.relay) for one in said.added),
        load=said.load,
        latency_matters=said.times,
    )
