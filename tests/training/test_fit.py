"""The network and its likelihood, and the fitting: right, repeatable, and told of."""

from __future__ import annotations

from math import comb

import jax.numpy as jnp
import numpy as np
import pytest

from coordinator.training import network
from coordinator.training.fit import CHUNK, fit
from tests.training.fitted import EFFORT, source, weights


@pytest.mark.parametrize(
    ("mean", "spread", "heard", "expected", "transmissions"),
    [(0.0, 1.0, 5, 10, 1), (2.0, 0.5, 10, 10, 2), (-3.0, 1.5, 1, 20, 3), (1.0, 0.1, 90, 100, 1)],
)
def test_the_likelihood_is_the_binomials_averaged_over_the_logit(
    mean: float, spread: float, heard: int, expected: int, transmissions: int
) -> None:
    steps = np.linspace(-8.0, 8.0, 20_001)
    weight = np.exp(-(steps**2) / 2) / np.exp(-(steps**2) / 2).sum()
    share = 1.0 - (1.0 + np.exp(mean + spread * steps)) ** -transmissions
    wanted = np.log((weight * share**heard * (1.0 - share) ** (expected - heard)).sum())
    values = (mean, np.log(spread), float(heard), float(expected), float(transmissions))
    found = network.log_likelihood(*(jnp.array([[value]]) for value in values))
    assert abs(float(found[0, 0]) - wanted) < 0.03 + 0.01 * abs(wanted)
    assert comb(expected, heard) * np.exp(wanted) <= 1.0


def test_windows_without_a_target_do_not_count() -> None:
    rows = source().learnt.where(np.arange(50))
    parameters = network.initial(1)

    def loss(expected: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> float:
        columns = (rows.inputs, rows.heard, expected, rows.transmissions)
        return float(network.loss(parameters, *(jnp.asarray(column) for column in columns)))

    masked = rows.expected.copy()
    masked[:, 1:] = 0.0
    assert np.isfinite(loss(masked))
    assert loss(masked) != loss(rows.expected)
    assert loss(np.zeros_like(masked)) == 0.0


def test_folding_the_scale_into_the_weights_changes_nothing() -> None:
    inputs = source().learnt.inputs
    scale = network.scale_of(inputs)
    parameters = network.initial(1)
    parameters["last"] = parameters["last"] + 0.1
    scaled = network.forward(parameters, jnp.asarray((inputs - scale.mean) / scale.spread))
    folded = {name: jnp.asarray(value) for name, value in network.unscaled(parameters, scale).items()}
    assert np.allclose(network.forward(folded, jnp.asarray(inputs)), scaled, atol=1e-3)


def test_the_same_seed_gives_the_same_weights_and_progress_is_told() -> None:
    told: list[tuple[int, int, float, float]] = []
    again = fit({"synthetic": source()}, EFFORT, 1, lambda *progress: told.append(progress))
    assert all((again[name] == value).all() for name, value in weights().items())
    assert [(step, steps) for step, steps, *_ in told] == [(CHUNK, 2 * CHUNK), (2 * CHUNK, 2 * CHUNK)]
    assert told[1][3] < told[0][3]
