"""What a configuration is predicted to do to each flow, and what each stage on the way to it does.

Flows are played by the event simulator, before and after with the same randomness. How far links may differ
from what is believed comes from draws of their posteriors. Stages are percolated, which takes no time, with
the fewer transmissions of what was and what will be: a stage is between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from typing import Final

import numpy as np

from common.mesh.configuration import Transmit
from coordinator.recipes.plan import FlowForecast
from coordinator.recipes.service import Floats, NodeService
from coordinator.recipes.timing_questions import play
from coordinator.twin.percolation import Percolation
from coordinator.twin.site_model import SiteConfiguration, SiteModel

MESSAGES: Final = 40
DRAWS: Final = 12
DRAW_WORDS: Final = 2
NINE_IN_TEN: Final = 1.645


def forecast(model: SiteModel, wanted: SiteConfiguration, seed: int = 1) -> tuple[FlowForecast, ...]:
    """Every flow before and after, in the site's order; none for a site without flows."""
    if not model.flows:
        return ()
    after = model.with_configuration(wanted)
    was, will = play(model, MESSAGES, seed), play(after, MESSAGES, seed)
    spread = _spread(after, seed)
    found = []
    for before, then, doubt in zip(was.flows, will.flows, spread, strict=True):
        chance = then.pdr * (1.0 - then.pdr) / max(then.sent, 1)
        half = NINE_IN_TEN * sqrt(doubt * doubt + chance)
        found.append(
            FlowForecast(
                source=then.source,
                destination=then.destination,
                before=before.pdr,
                after=then.pdr,
                low=max(0.0, then.pdr - half),
                high=min(1.0, then.pdr + half),
                p95_ms=None if then.one_way_ms is None else round(then.one_way_ms.p95, 2),
            )
        )
    return tuple(found)


def _spread(model: SiteModel, seed: int) -> Floats:
    """[F] standard deviation of delivery over draws of the links' posteriors."""
    random = np.random.default_rng((seed, 2))
    keys = list(model.links)
    alpha = np.maximum([model.links[key].alpha for key in keys], 1e-9)
    beta = np.maximum([model.links[key].beta for key in keys], 1e-9)
    drawn = []
    for _ in range(DRAWS):
        pdr = dict(zip(keys, random.beta(alpha, beta).tolist(), strict=True))
        worlds = Percolation(model, words=DRAW_WORDS, seed=seed, pdr=pdr)
        drawn.append(worlds.delivery(model.configuration))
    deviation: Floats = np.std(drawn, axis=0)
    return deviation


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
