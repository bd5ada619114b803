"""A network fitted for a moment: enough to have weights that mean something."""

from __future__ import annotations

from functools import cache

from coordinator.training import physics
from coordinator.training.evaluation import held_out
from coordinator.training.fit import CHUNK, Effort, Source, Weights, fit
from coordinator.training.windows import split

EFFORT = Effort(2 * CHUNK, 64)


def source(seed: int = 1, weight: float = 1.0) -> Source:
    windows = physics.generate(100, 20, seed)
    parts = split(windows, held_out(windows))
    return Source(parts.learnt, parts.held_out, weight)


@cache
def weights(seed: int = 1) -> Weights:
    return fit({"synthetic": source()}, EFFORT, seed, lambda *_: None)
