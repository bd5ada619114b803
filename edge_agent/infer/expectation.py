"""What a forecaster says of a link, and what a forecaster is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from common.mesh.graph import LinkKey, heard_once
from common.models.link_forecast import AHEAD, Outlook
from common.policy.actions import Forecast
from edge_agent.observe.links import LinkBook

# Standard deviations of a model's outlook; docs/decisions/0011-foresight.md says how they were found.
PLAUSIBLE_DEVIATIONS: Final = 1.0
"""Above what is expected: the best case to reckon with. No more, as two directions have to agree in it."""

FALLING_DEVIATIONS: Final = -0.75
"""Below what is expected: what to reckon with once the fall is seen. One time in four it comes worse."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One link's future: `next_pdr` in the next window, which the live score is about, and `ahead`, the
    forecast of `link_forecast.AHEAD` windows from now, which decisions are made with."""

    next_pdr: float
    ahead: Forecast

    def error(self, heard: int, expected: int, transmissions: int) -> float:
        """How far the share of probes heard in a window lies from what was expected of it, 0 to 1.

        Compared in whole probes: of ten probes, an expected share of 0.99 is ten, and one of 0.94 nine. With
        shares as they are, whoever claims more than is true of a good link would win every window.
        """
        wanted = round(expected * heard_once(self.next_pdr, max(1, transmissions)))
        return abs(wanted - min(heard, expected)) / expected


def expectation(outlook: Outlook) -> Expectation:
    """What a model's outlook amounts to."""
    ahead = Forecast(
        outlook.pdr(AHEAD),
        outlook.pdr(AHEAD, PLAUSIBLE_DEVIATIONS),
        outlook.pdr(AHEAD, FALLING_DEVIATIONS),
    )
    return Expectation(outlook.pdr(1), ahead)


class Forecaster(Protocol):
    """Expects each link's future. The live error is kept by the caller, alike for all."""

    name: str

    def forecast(self, links: LinkBook) -> Mapping[LinkKey, Expectation]:
        """What is expected of the links that it can speak of. Called on the event loop at every decision:
        it must not block; a forecaster that works elsewhere gives the results that it has."""
