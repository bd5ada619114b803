"""Forecasters side by side: every new window scores each one, and the better is used."""

from __future__ import annotations

from collections.abc import Sequence

from common.mesh.graph import LinkKey
from common.policy.actions import Forecast
from edge_agent.infer.naive import Forecaster, LiveScore, share_of
from edge_agent.observe.links import LinkBook
from firmware_bridge.link import NeighbourReport


class Forecasting:
    """Runs the forecasters over one link book. The first one given is the naive one."""

    def __init__(self, links: LinkBook, forecasters: Sequence[Forecaster]) -> None:
        self._links = links
        self._forecasters = list(forecasters)
        self._latest: dict[str, dict[LinkKey, Forecast]] = {f.name: {} for f in forecasters}
        self.scores = {f.name: LiveScore() for f in forecasters}

    def score(self, report: NeighbourReport) -> None:
        """Compare a report, not yet counted in the link book, with what was expected of its links."""
        for row in report.neighbours:
            key = (row.transmitter, report.receiver)
            for name, forecasts in self._latest.items():
                if row.expected > 0 and key in forecasts:
                    expected = share_of(forecasts[key], row.transmissions)
                    self.scores[name].add(expected, min(row.heard, row.expected), row.expected)

    def refresh(self) -> None:
        """Forecast every link anew."""
        for forecaster in self._forecasters:
            self._latest[forecaster.name] = forecaster.forecast(self._links)

    @property
    def best(self) -> str:
        """The name of the forecaster in use: the one with the smallest live error, the naive one at first."""
        scored = [
            (score.mean, i, name) for i, (name, score) in enumerate(self.scores.items()) if score.weight
        ]
        return min(scored)[2] if scored else self._forecasters[0].name

    def forecasts(self) -> dict[LinkKey, Forecast]:
        """The better forecaster's latest view."""
        return self._latest[self.best]
