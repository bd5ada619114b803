"""Scores: what they compare, and that they are what gateways report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.models.link_forecast import AHEAD, OUTPUTS, expit
from common.policy.actions import Forecast
from coordinator.training import evaluation, physics
from coordinator.training.evaluation import Trial, score, trial
from edge_agent.infer.expectation import Expectation

STABLE = physics.decays(200, seed=5, start=0.8, end=0.8)
LOGIT = float(np.log(0.8 / 0.2))

Matrix = NDArray[np.float32]


def says(mean: float, spread: float) -> evaluation.Predict:
    def predict(inputs: Matrix) -> Matrix:
        return np.tile(np.array([mean, np.log(spread)] * AHEAD, np.float32), (len(inputs), 1))

    return predict


def test_who_knows_the_truth_beats_the_naive_forecasts_and_is_calibrated() -> None:
    found = score(says(LOGIT, 0.05), trial(STABLE))
    assert found is not None
    assert found.error < found.naive_error
    assert found.ahead[0] == found.error
    assert len(found.ahead) == len(found.naive_ahead) == AHEAD
    assert abs(found.coverage - 0.8) < 0.03


def test_who_is_too_sure_of_a_wrong_mean_covers_little_and_who_is_unsure_too_much() -> None:
    sure, unsure = (score(says(mean, spread), trial(STABLE)) for mean, spread in ((0.0, 0.05), (LOGIT, 2.0)))
    assert sure is not None
    assert unsure is not None
    assert sure.error > sure.naive_error
    assert sure.coverage < 0.5
    assert unsure.coverage > 0.85


def test_the_error_is_the_one_that_gateways_count() -> None:
    tried = trial(STABLE)
    found = score(says(LOGIT, 0.5), tried)
    rows, expectation = tried.rows, Expectation(expit(LOGIT), Forecast(0.8, 0.9))
    counts = zip(rows.heard[:, 0], rows.expected[:, 0], rows.transmissions[:, 0], strict=True)
    wanted = np.mean([expectation.error(int(k), int(n), int(on_air)) for k, n, on_air in counts])
    assert found is not None
    assert abs(found.error - wanted) < 1e-6


def test_the_uncertainty_is_that_of_the_paired_difference() -> None:
    tried = trial(STABLE)
    found = score(says(0.0, 0.5), tried)
    assert found is not None
    heard, expected = tried.rows.heard[:, 0], tried.rows.expected[:, 0]
    model = evaluation.expected_shares(says(0.0, 0.5)(tried.rows.inputs), tried.rows)[:, 0]
    errors = [np.abs(np.round(expected * s) - heard) / expected for s in (model, tried.naive[found.naive])]
    difference = errors[0] - errors[1]
    assert abs(difference.mean() - (found.error - found.naive_error)) < 1e-9
    assert found.uncertainty is not None
    assert abs(found.uncertainty - difference.std() / np.sqrt(len(tried))) < 1e-9


def test_only_what_is_held_out_is_scored_where_asked() -> None:
    whole, part = trial(STABLE), trial(STABLE, evaluation.held_out(STABLE))
    assert len(part) < 0.35 * len(whole)
    assert part.rows.t.min() >= evaluation.held_out(STABLE).min()
    assert all(len(values) == len(part) for values in part.naive.values())


def test_several_sites_are_scored_together_by_their_windows() -> None:
    both = evaluation.joined([trial(STABLE), trial(STABLE)])
    one, two = score(says(LOGIT, 0.5), trial(STABLE)), score(says(LOGIT, 0.5), both)
    assert one is not None
    assert two is not None
    assert two.windows == 2 * one.windows
    assert abs(two.error - one.error) < 1e-9


def test_a_handful_of_windows_makes_no_score() -> None:
    tried = trial(STABLE)
    few = Trial(tried.rows.where(np.arange(5)), {name: values[:5] for name, values in tried.naive.items()})
    assert score(says(0.0, 1.0), few) is None
    assert OUTPUTS == 2 * AHEAD
