"""What a configuration is predicted to do to each flow, and what each stage on the way to it does.

Flows are the what-if's. Stages are percolated, which takes no time: most of them lie between two
configurations whose flows were played.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from common.mesh.configuration import Transmit
from coordinator.recipes.plan import FlowForecast
from coordinator.recipes.service import Floats, NodeService
from coordinator.twin.site_model import SiteConfiguration, SiteModel
from coordinator.twin.whatif import CLOSE, whatif
from coordinator.twin.whatif_change import Change
from coordinator.twin.whatif_effect import FlowEffect


def forecast(model: SiteModel, wanted: SiteConfiguration, seed: int = 1) -> tuple[FlowForecast, ...]:
    """Every flow before and after, with times; and reach to and from the gateway where nothing is sent."""
    change = Change(configuration=wanted, latency_matters=True)
    return tuple(_forecast(flow) for flow in whatif(model, change, seed=seed, rounds=CLOSE).flows)


def _forecast(effect: FlowEffect) -> FlowForecast:
    latency = effect.latency_after_ms
    return FlowForecast(
        source=effect.source,
        destination=effect.destination,
        before=_share(effect.before.mean),
        after=_share(effect.after.mean),
        low=_share(effect.after.low),
        high=_share(effect.after.high),
        effect=effect.effect.value,
        p95_ms=None if latency is None else round(latency[1], 2),
    )


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


class StageForecast:
    """Delivery at stages between a site's configuration and another one."""

    def __init__(self, model: SiteModel, seed: int = 1) -> None:
        self._service = NodeService(model, seed)
        self._model = model
        self._before = self._of(model.configuration)

    def at(self, configuration: SiteConfiguration) -> tuple[float, float, float]:
        """(mean, worst, greatest loss against the present) over the flows, or over the nodes where no flow is
        known; the greatest loss is over both."""
        now = self._of(configuration)
        flows = len(self._model.flows)
        shown = now[:flows] if flows else now
        loss = float((self._before - now).max()) if len(now) else 0.0
        return (float(shown.mean()), float(shown.min()), loss) if len(shown) else (1.0, 1.0, loss)

    def served(self, configuration: SiteConfiguration, at_least: float) -> tuple[int, ...]:
        """The nodes that are served so well, the worst served first; gateways left out."""
        service = self._service.of(configuration)
        found = sorted(
            (float(share), address)
            for address, share in zip(self._model.addresses, service, strict=True)
            if share >= at_least and address not in self._model.gateways
        )
        return tuple(address for _, address in found)

    def _of(self, configuration: SiteConfiguration) -> Floats:
        flows = self._service.worlds.delivery(configuration)
        both: Floats = np.concatenate([flows, self._service.of(configuration)])
        return both


def halfway(
    relays: frozenset[int], now: SiteConfiguration, wanted: SiteConfiguration, *, raised: bool, lowering: bool
) -> SiteConfiguration:
    """The site at a stage: these relays on; times as before until they are all `raised`, and what is wanted
    as soon as `lowering` begins. In between, the more of both."""
    more = replace(
        wanted,
        relays=relays,
        ttl=max(now.ttl, wanted.ttl),
        network_transmit=_more(now.network_transmit, wanted.network_transmit),
        relay_retransmit=_more(now.relay_retransmit, wanted.relay_retransmit),
    )
    if lowering:
        return replace(wanted, relays=relays)
    return more if raised else replace(now, relays=relays)


def _more(one: Transmit, other: Transmit) -> Transmit:
    return one if one.count >= other.count else other


def mean(values: Sequence[float]) -> float:
    """Plain mean; 1.0 of nothing, as nothing was lost."""
    return sum(values) / len(values) if values else 1.0
