"""Real bundles without a training: the network with random weights, packed as a training packs it."""

from __future__ import annotations

import numpy as np

from common.models import link_forecast
from coordinator.training import bundle, network
from coordinator.training.job import Evaluation, TrainingResult
from tests.release.models import NAME, score

GOOD = Evaluation(overall=score(0.03), synthetic=score(0.03))


def random_bundle(version: int, seed: int = 1) -> bytes:
    """A model of the right shape that knows nothing: float32, with golden vectors of its own."""
    draw = np.random.default_rng(seed)
    shapes = {
        "w1": (link_forecast.INPUTS, network.HIDDEN),
        "b1": (network.HIDDEN,),
        "w2": (network.HIDDEN, network.HIDDEN),
        "b2": (network.HIDDEN,),
        "w3": (network.HIDDEN, link_forecast.OUTPUTS),
        "b3": (link_forecast.OUTPUTS,),
        "straight": (link_forecast.INPUTS, link_forecast.OUTPUTS),
    }
    weights = {name: (0.1 * draw.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
    return bundle.float32(weights, bundle.Label(NAME, version, 1000.0 + version))


def trained(version: int, evaluation: Evaluation = GOOD) -> TrainingResult:
    """What a training would have given: a model of random weights with the evaluation that it is said to
    have."""
    return TrainingResult(
        name=NAME,
        version=version,
        bundles={"float32": random_bundle(version, seed=version)},
        evaluations={"float32": evaluation},
        rows={"synthetic": 10},
        seconds=1.0,
    )
