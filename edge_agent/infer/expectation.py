"""What a forecaster says of a link, and what a forecaster is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from common.mesh.graph import LinkKey, heard_once
from common.models.link_forecast import AHEAD, Outlook
from common.policy.actions import Forecast
from edge_agent.observe.links import LinkBook

PLAUSIBLE_DEVIATIONS: Final = 1.64
"""A model's best plausible case lies so many of its standard deviations above what it expects."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One link's future: `next_pdr` in the next window, which the live score is about, and `ahead`, the
    forecast of `link_forecast.AHEAD` windows from now, which decisions are made with."""

    next_pdr: float
    ahead: Forecast

    def next_share(self, transmissions: int) -> float:
        """The share of the next window's probes that will be heard, each sent so many times."""
        return heard_once(self.next_pdr, max(1, transmissions))


def expectation(outlook: Outlook) -> Expectation:
    """What a model's outlook amounts to."""
    ahead = Forecast(outlook.pdr(AHEAD), outlook.pdr(AHEAD, PLAUSIBLE_DEVIATIONS))
    return Expectation(outlook.pdr(1), ahead)


class Forecaster(Protocol):
    """Expects each link's future. The live error is kept by the caller, alike for all."""

    name: str

    def forecast(self, links: LinkBook) -> Mapping[LinkKey, Expectation]:
        """What is expected of the links that it can speak of. Called on the event loop at every decision:
        it must not block; a forecaster that works elsewhere gives the results that it has."""
