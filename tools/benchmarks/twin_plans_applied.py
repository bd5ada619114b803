"""A plan put into force at a hidden site by the applier itself, which counts and may put it back."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from common.clock import ManualClock
from coordinator.recipes.application import Application
from coordinator.recipes.applying import THOROUGH, Applier, Ordered
from coordinator.recipes.judgement import Count, Key
from coordinator.recipes.plan import NodeSetting, Plan
from coordinator.twin.site_model import SiteConfiguration, SiteFlow
from tools.benchmarks.twin_plans_site import GATEWAY, HiddenSite


@dataclass
class Hands:
    """The hands of an application at a hidden site. Counting takes the site's own time."""

    site: HiddenSite
    traffic: tuple[SiteFlow, ...]
    seed: int
    asked: int = 0

    async def whom(self) -> str:
        return "gw-1"

    async def change(
        self,
        command_id: str,
        gateway: str,
        settings: tuple[NodeSetting, ...],
        expects: tuple[int, ...],
        cause: str,
    ) -> Ordered:
        model = self.site.model
        self.site.model = model.with_configuration(with_settings(model.configuration, settings))
        return Ordered(True)

    async def count(self, keys: Collection[Key], times: int) -> Mapping[Key, Count]:
        """Round trips to nodes, as many as the gateway asks in the time that `times` questions take."""
        self.asked += 1
        seconds = times * max(flow.period_s for flow in self.traffic if flow.acknowledged)
        record = self.site.play(self.traffic, seconds, self.seed * 7001 + self.asked)
        number = record.messages["flow"][record.rows["message"]]
        came = ~np.isnan(record.rows["round_trip"])
        found: dict[Key, Count] = {}
        for i, flow in enumerate(self.traffic):
            if flow.acknowledged and flow.source == GATEWAY and flow.destination in keys:
                of = (number == i) & record.messages["sent"][record.rows["message"]]
                found[flow.destination] = Count(int(of.sum()), int((of & came).sum()))
        return found


def applied(site: HiddenSite, traffic: tuple[SiteFlow, ...], plan: Plan, seed: int) -> Application:
    """The application of a plan, to its end. The site keeps what came of it."""
    hands = Hands(site, traffic, seed)
    keys = [address for address in site.model.addresses if address != GATEWAY]
    applier = Applier(hands, keys, ManualClock(), _nothing, THOROUGH)
    begun = Application(id=f"{plan.id}-1", plan=plan, began=0.0)
    return asyncio.run(applier.carry_on(begun))


def _nothing(_: Application) -> None:
    """Nobody is killed here, so nothing is written down."""


def with_settings(now: SiteConfiguration, settings: tuple[NodeSetting, ...]) -> SiteConfiguration:
    """Times are alike on all nodes here: the last setting of a step says them for all."""
    relays = set(now.relays)
    for setting in settings:
        if setting.relay is not None:
            (relays.add if setting.relay else relays.discard)(setting.address)
    change = settings[-1].change()
    return replace(
        now,
        relays=frozenset(relays),
        ttl=change.default_ttl or now.ttl,
        network_transmit=change.network_transmit or now.network_transmit,
        relay_retransmit=change.relay_retransmit or now.relay_retransmit,
    )
