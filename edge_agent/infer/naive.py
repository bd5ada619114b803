"""The naive forecast: a link's next period is like its recent past. Always there, and the one to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from common.mesh.graph import LinkKey, heard_once
from common.policy.actions import Forecast
from edge_agent.observe.links import LinkBook

SCORE_MEMORY = 0.99


class Forecaster(Protocol):
    """Expects each link's next period. The live error is kept by the caller, alike for all."""

    name: str

    def forecast(self, links: LinkBook) -> dict[LinkKey, Forecast]:
        """Expected and highest plausible PDR of the links that it can speak of."""


class NaiveForecaster:
    """Expects what the faded counts say now."""

    name = "naive"

    def forecast(self, links: LinkBook) -> dict[LinkKey, Forecast]:
        return {key: Forecast(link.pdr, link.best_pdr) for key, link in links.items()}


@dataclass(slots=True)
class LiveScore:
    """Mean absolute error of a forecaster's share heard, fading slowly over link periods."""

    error: float = 0.0
    weight: float = 0.0

    def add(self, expected_share: float, heard: int, expected: int) -> None:
        """Compare what was expected of a link with what a new window brought."""
        self.error = self.error * SCORE_MEMORY + abs(expected_share - heard / expected)
        self.weight = self.weight * SCORE_MEMORY + 1.0

    @property
    def mean(self) -> float:
        """Mean absolute error in share heard (0 to 1); NaN before the first comparison."""
        return self.error / self.weight if self.weight else float("nan")


def share_of(forecast: Forecast, transmissions: int) -> float:
    """The share of probes that a forecast PDR amounts to."""
    return heard_once(forecast.pdr, max(1, transmissions))
