"""The naive forecast: a link's next period is like its recent past. Always there, and the one to beat."""

from __future__ import annotations

from common.mesh.graph import LinkKey
from common.policy.actions import Forecast
from edge_agent.infer.expectation import Expectation
from edge_agent.observe.links import LinkBook


class NaiveForecaster:
    """Expects what the faded counts say now."""

    name = "naive"

    def forecast(self, links: LinkBook) -> dict[LinkKey, Expectation]:
        return {key: Expectation(link.pdr, Forecast(link.pdr, link.best_pdr)) for key, link in links.items()}
