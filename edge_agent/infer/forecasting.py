"""Forecasters side by side: every new window scores each one, and the better is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from common.mesh.graph import LinkKey
from common.policy import foresight
from common.policy.actions import Forecast
from edge_agent.infer.expectation import Expectation, Forecaster
from edge_agent.infer.falls import ALONE, Falls
from edge_agent.infer.naive import NaiveForecaster
from edge_agent.infer.score import Match, MeanError, Standing, State
from edge_agent.observe.links import LinkBook
from firmware_bridge.link import NeighbourReport

Mode = Literal["auto", "naive", "off"]
"""Which forecasts decisions see: the best one's, the naive one's only, or none."""


class Forecasting:
    """Runs forecasters over one link book: the naive one, and models that come and go.

    A model is on trial at first, then used unless it is clearly worse than the naive forecast over the same
    windows. Links of which it says nothing are left to the naive forecast. All are scored in every mode.
    """

    def __init__(self, links: LinkBook, mode: Mode = "auto", naive: Forecaster | None = None) -> None:
        self._links = links
        self._mode = mode
        self._naive = naive or NaiveForecaster()
        self._naive_error = MeanError()
        self._models: dict[str, Forecaster] = {}
        self._matches: dict[str, Match] = {}
        self._latest: dict[str, Mapping[LinkKey, Expectation]] = {self._naive.name: {}}
        self._falls = Falls()

    def add(self, model: Forecaster) -> None:
        """Take in a model, on trial. One of the same name is replaced, and its score begins anew."""
        self._models[model.name] = model
        self._matches[model.name] = Match()
        self._latest[model.name] = {}

    def remove(self, name: str) -> None:
        """Let a model go; harmless when there is none of this name."""
        if self._models.pop(name, None) is not None:
            del self._matches[name], self._latest[name]

    def standing(self, name: str) -> Standing | None:
        """How a model fares; None when there is none of this name."""
        match = self._matches.get(name)
        return None if match is None else match.standing

    @property
    def errors(self) -> dict[str, float]:
        """Mean absolute error of every forecaster in the share heard; NaN without a window. The naive one's
        is over all windows, a model's over those since it came."""
        models = {name: match.standing.error for name, match in self._matches.items()}
        return {self._naive.name: self._naive_error.mean, **models}

    def score(self, report: NeighbourReport) -> None:
        """Compare a report, not yet counted in the link book, with what was expected of its links."""
        for row in report.neighbours:
            key = (row.transmitter, report.receiver)
            expected = self._latest[self._naive.name].get(key)
            if row.expected <= 0 or expected is None:
                continue
            window = (row.heard, row.expected, row.transmissions)
            naive_error = expected.error(*window)
            self._naive_error.add(naive_error)
            for name, match in self._matches.items():
                guess = self._latest[name].get(key)
                if guess is not None:
                    match.add(guess.error(*window), naive_error)

    def refresh(self) -> None:
        """Forecast anew."""
        for forecaster in (self._naive, *self._models.values()):
            self._latest[forecaster.name] = forecaster.forecast(self._links)
        self._falls.follow(self._links)

    @property
    def best(self) -> str:
        """The name of the forecaster in use."""
        used = [
            (standing.error, name)
            for name, match in self._matches.items()
            if (standing := match.standing).state is State.IN_USE
        ]
        return min(used)[1] if used and self._mode == "auto" else self._naive.name

    def expectations(self) -> Mapping[LinkKey, Expectation]:
        """The better forecaster's view of every link."""
        naive, best = self._latest[self._naive.name], self._latest[self.best]
        return naive if best is naive else {**naive, **best}

    def forecasts(self) -> Mapping[LinkKey, Forecast]:
        """What decisions are to reckon with; nothing when forecasts are off."""
        if self._mode == "off":
            return {}
        ahead = {key: expected.ahead for key, expected in self.expectations().items()}
        falling_db = self._falls.falling_db
        for key in self._falls.alone(self._links):
            # What the other end said last is from before: it neither denies the fall nor knows what follows.
            back, credit = key[::-1], ALONE * falling_db[key]
            sure = falling_db[key] + credit >= 2.0 * foresight.SEEN_FALL_DB
            if sure and key in ahead and credit > falling_db.get(back, 0.0):
                falling_db[back], ahead[back] = credit, ahead[key]
        return foresight.reckon(ahead, falling_db)
