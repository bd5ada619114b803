"""Forecasters side by side: scored over the same windows, used while better."""

from __future__ import annotations

from random import Random

import pytest

from common.mesh.graph import LinkKey, heard_once
from common.policy.actions import Forecast
from edge_agent.infer.expectation import Expectation
from edge_agent.infer.forecasting import Forecasting
from edge_agent.infer.score import TRIAL_WINDOWS, Match, Standing, State
from edge_agent.observe.links import LinkBook
from firmware_bridge.link import NeighbourCount, NeighbourReport


class Fixed:
    """Expects one PDR of every link, for ever."""

    def __init__(self, pdr: float, name: str = "model") -> None:
        self.name = name
        self._pdr = pdr

    def forecast(self, links: LinkBook) -> dict[LinkKey, Expectation]:
        return {key: Expectation(self._pdr, Forecast(self._pdr, 1.0)) for key, _ in links.items()}


class Site:
    """Ten links into node 99, of one PDR, whose windows are drawn from a seed."""

    def __init__(self, *models: Fixed, mode: str = "auto") -> None:
        self.book = LinkBook()
        self.forecasting = Forecasting(self.book, mode)  # type: ignore[arg-type]
        for model in models:
            self.forecasting.add(model)
        self._random = Random(5)
        self._t = 0.0

    def rounds(self, count: int, pdr: float, transmissions: int = 2) -> None:
        """So many windows of every link."""
        share = heard_once(pdr, transmissions)
        for _ in range(count):
            self._t += 10.0
            rows = tuple(
                NeighbourCount(a, sum(self._random.random() < share for _ in range(10)), 10, transmissions)
                for a in range(1, 11)
            )
            report = NeighbourReport(self._t, 99, rows)
            self.forecasting.score(report)
            self.book.report(report, 0.5)
            self.forecasting.refresh()

    def standing(self, name: str = "model") -> Standing:
        found = self.forecasting.standing(name)
        assert found is not None
        return found


def test_a_model_is_on_trial_until_enough_windows_were_compared() -> None:
    site = Site(Fixed(0.5))
    site.rounds(TRIAL_WINDOWS // 10, 0.5)
    assert site.standing().state is State.TRIAL
    assert site.forecasting.best == "naive"


def test_a_model_that_is_clearly_better_is_used() -> None:
    site = Site(Fixed(0.5))
    site.rounds(80, 0.5)
    assert site.standing().state is State.IN_USE
    assert site.standing().error < site.standing().naive_error
    assert site.forecasting.forecasts()[1, 99] == Forecast(0.5, 1.0)


def test_a_model_that_is_clearly_worse_is_set_aside() -> None:
    site = Site(Fixed(0.2))
    site.rounds(25, 0.9)
    assert site.standing().state is State.WORSE
    assert site.forecasting.best == "naive"
    assert site.forecasting.forecasts()[1, 99].pdr != 0.2


def test_a_model_in_use_that_turns_bad_is_set_aside_and_does_not_flap() -> None:
    site = Site(Fixed(0.5))
    site.rounds(80, 0.5)
    changes, last = 0, State.IN_USE
    for _ in range(150):
        site.rounds(1, 0.9)
        changes += site.standing().state is not last
        last = site.standing().state
    assert (last, changes) == (State.WORSE, 1)


def test_a_model_as_good_as_the_naive_forecast_is_never_set_aside_by_chance() -> None:
    for seed in range(20):
        match, random, states = Match(), Random(seed), set()
        for _ in range(5000):
            match.add(abs(random.gauss(0.0, 0.03)), abs(random.gauss(0.0, 0.03)))
            states.add(match.standing.state)
        assert State.WORSE not in states


def test_a_model_may_err_a_little_more_on_calm_windows_but_no_fifth_more() -> None:
    little, fifth = Match(), Match()
    for at in range(4000):
        error = 0.02 + 0.01 * (at % 3)
        little.add(1.05 * error, error)
        fifth.add(1.2 * error, error)
    assert little.standing.state is State.IN_USE
    assert fifth.standing.state is State.WORSE


def test_both_are_scored_over_the_same_windows() -> None:
    site = Site()
    site.rounds(30, 0.6)
    site.forecasting.add(Fixed(0.6))
    site.rounds(30, 0.9)
    assert site.standing().windows == 290  # The first round found no forecast of the model yet.
    # The naive forecast's calm past is not held against the model.
    assert site.standing().naive_error != pytest.approx(site.forecasting.errors["naive"])


def test_a_model_that_comes_again_begins_anew_and_one_that_goes_is_forgotten() -> None:
    site = Site(Fixed(0.2))
    site.rounds(30, 0.9)
    site.forecasting.add(Fixed(0.2))
    assert site.standing().state is State.TRIAL
    assert site.standing().windows == 0
    site.forecasting.remove("model")
    site.forecasting.remove("model")
    assert site.forecasting.standing("model") is None
    assert set(site.forecasting.errors) == {"naive"}


@pytest.mark.parametrize("mode", ["naive", "off"])
def test_a_model_is_scored_but_not_used_where_the_configuration_says_so(mode: str) -> None:
    site = Site(Fixed(0.5), mode=mode)
    site.rounds(80, 0.5)
    assert site.standing().error < site.standing().naive_error
    assert site.forecasting.best == "naive"
    assert bool(site.forecasting.forecasts()) is (mode == "naive")


def test_a_forecast_is_scored_in_the_share_of_probes_that_it_amounts_to() -> None:
    site = Site(Fixed(0.5))
    site.rounds(1, 0.5)
    site.forecasting.score(NeighbourReport(20.0, 99, (NeighbourCount(1, 3, 4, 2),)))
    assert site.standing().error == 0.0
    # Nothing expected, nothing known, more heard than expected: none of it breaks the score.
    odd = (NeighbourCount(1, 0, 0), NeighbourCount(77, 1, 1), NeighbourCount(2, 9, 4))
    site.forecasting.score(NeighbourReport(30.0, 99, odd))
    assert site.standing().windows == 2
