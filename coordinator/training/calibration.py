"""Whether a model knows how sure it is: how often the next window falls into its central interval."""

from __future__ import annotations

from typing import Final

import numpy as np
from jax.scipy.special import betainc
from numpy.typing import NDArray

from common.models import link_forecast as contract
from coordinator.training.windows import Floats, Rows

CENTRAL: Final = 0.8
_JUDGED: Final = 4000
_X, _W = np.polynomial.hermite_e.hermegauss(12)


def coverage(outputs: NDArray[np.float32], rows: Rows, seed: int = 1) -> float:
    """Share of next windows whose count lies within the central `CENTRAL` of what was forecast.

    By the randomised probability integral transform (Czado, Gneiting, Held 2009), since counts are whole:
    `CENTRAL` where the forecast is right. At most some thousand rows, spread evenly, are judged.
    """
    at = np.linspace(0, len(rows) - 1, min(len(rows), _JUDGED)).astype(int)
    random = np.random.default_rng(seed)
    heard, expected = rows.heard[at, 0].astype(np.float64), rows.expected[at, 0].astype(np.float64)
    shares = _shares(outputs[at], rows.transmissions[at, 0].astype(np.float64))
    below, upto = (_chance_at_most(heard - less, expected, shares) for less in (1.0, 0.0))
    place = below + random.random(len(at)) * (upto - below)
    return float(np.mean(np.abs(place - 0.5) <= CENTRAL / 2))


def _shares(outputs: NDArray[np.float32], transmissions: Floats) -> Floats:
    """[N, nodes]: share heard at the nodes of the forecast distribution."""
    limit = contract.LOGIT_LIMIT
    mean = np.clip(outputs[:, :1].astype(np.float64), -limit, limit)
    spread = np.exp(np.clip(outputs[:, 1:2].astype(np.float64), *contract.SPREAD_LIMITS))
    logits = np.clip(mean + spread * _X, -30.0, 30.0)
    shares: Floats = 1.0 - (1.0 + np.exp(logits)) ** -transmissions[:, None]
    return shares


def _chance_at_most(heard: Floats, expected: Floats, shares: Floats) -> Floats:
    """Chance of at most `heard` of `expected`, the binomial averaged over the nodes."""
    some, enough = heard >= 0, heard >= expected
    k = np.clip(heard, 0.0, np.maximum(expected - 1.0, 0.0))[:, None]
    n = np.maximum(expected, 1.0)[:, None]
    by_node = np.asarray(betainc(n - k, k + 1.0, 1.0 - shares), np.float64)
    chance = by_node @ (_W / _W.sum())
    result: Floats = np.where(enough, 1.0, np.where(some, chance, 0.0))
    return result
