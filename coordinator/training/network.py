"""The forecaster's network in JAX, and the likelihood it is fitted by.

    output = W3 · tanh(W2 · tanh(W1 · x + b1) + b2) + b3  +  S · x

The straight path S sees the logits of the windows alone and starts as a weighted mean of the last ones, so
that training begins at a decent forecast and the hidden layers learn what deviates from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from common.models import link_forecast as contract

Parameters: TypeAlias = dict[str, jax.Array]

HIDDEN: Final = 56
"""Units of each hidden layer: 23 kB of weights. 96 gain nothing on held-out links, 32 lose one percent."""

NODES: Final = 12
"""Nodes of the Gauss-Hermite quadrature over the logit."""

COUNTED: Final = 128.0
"""Probes that a window counts for at most. Beyond, counting is not what limits a forecast, and the
likelihood would be narrower than the quadrature's nodes are apart."""

_FAR: Final = 20.0
_X, _W = np.polynomial.hermite_e.hermegauss(NODES)


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and spread of each input over the learnt rows; folded into the weights at the end."""

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]


def scale_of(inputs: NDArray[np.float32]) -> Scale:
    """An input that hardly varies is left as it is."""
    spread = inputs.std(axis=0)
    return Scale(inputs.mean(axis=0), np.where(spread > 1e-3, spread, 1.0).astype(np.float32))


def initial(seed: int) -> Parameters:
    """Parameters before training, for inputs that were scaled."""
    first, second = jax.random.split(jax.random.key(seed))
    return {
        "w1": jax.random.normal(first, (contract.INPUTS, HIDDEN)) / np.sqrt(contract.INPUTS),
        "b1": jnp.zeros(HIDDEN),
        "w2": jax.random.normal(second, (HIDDEN, HIDDEN)) / np.sqrt(HIDDEN),
        "b2": jnp.zeros(HIDDEN),
        "w3": jnp.zeros((HIDDEN, contract.OUTPUTS)),
        "b3": jnp.zeros(contract.OUTPUTS),
        "straight": jnp.asarray(_straight()),
    }


def _straight() -> NDArray[np.float32]:
    """[INPUTS, OUTPUTS]: every mean is the windows' mean, the newest counting most; scaled inputs."""
    weights = 0.7 ** np.arange(contract.WINDOWS)[::-1]
    straight = np.zeros((contract.WINDOWS, len(contract.CHANNELS), contract.OUTPUTS), np.float32)
    straight[:, 0, 0::2] = (weights / weights.sum())[:, None]
    return straight.reshape(contract.INPUTS, contract.OUTPUTS)


def _logits_only() -> NDArray[np.float32]:
    """[INPUTS, 1]: 1 where an input is a window's logit."""
    mask = np.zeros((contract.WINDOWS, len(contract.CHANNELS)), np.float32)
    mask[:, 0] = 1.0
    return mask.reshape(contract.INPUTS, 1)


LOGITS: Final = _logits_only()


def forward(parameters: Parameters, inputs: jax.Array) -> jax.Array:
    """[N, OUTPUTS] for [N, INPUTS]."""
    hidden = jnp.tanh(inputs @ parameters["w1"] + parameters["b1"])
    hidden = jnp.tanh(hidden @ parameters["w2"] + parameters["b2"])
    return hidden @ parameters["w3"] + parameters["b3"] + inputs @ (parameters["straight"] * LOGITS)


def loss(
    parameters: Parameters,
    inputs: jax.Array,
    heard: jax.Array,
    expected: jax.Array,
    transmissions: jax.Array,
) -> jax.Array:
    """Mean negative log likelihood (nats) of the heard counts, each of the windows ahead counting alike.

    Targets are [N, AHEAD]; where `expected` is 0 they do not count.
    """
    output = forward(parameters, inputs)
    likelihood = log_likelihood(output[:, 0::2], output[:, 1::2], heard, expected, transmissions)
    present = expected > 0
    return -jnp.sum(jnp.where(present, likelihood, 0.0)) / jnp.maximum(1, jnp.sum(present))


def log_likelihood(
    mean: jax.Array, log_spread: jax.Array, heard: jax.Array, expected: jax.Array, transmissions: jax.Array
) -> jax.Array:
    """Log chance of hearing `heard` of `expected` probes, up to a constant, when the logit of the PDR is
    normal: binomial counts with share 1 - (1 - p)^transmissions, integrated by Gauss-Hermite quadrature."""
    counted = jnp.minimum(1.0, COUNTED / jnp.maximum(expected, 1.0))
    heard, missed = heard * counted, (expected - heard) * counted
    spread = jnp.exp(jnp.clip(log_spread, *contract.SPREAD_LIMITS))
    logits = jnp.clip(mean[..., None] + spread[..., None] * _X, -_FAR, _FAR)
    log_missed = -transmissions[..., None] * jax.nn.softplus(logits)
    log_heard = jnp.log(-jnp.expm1(log_missed) + 1e-30)
    terms = heard[..., None] * log_heard + missed[..., None] * log_missed + np.log(_W / _W.sum())
    return jax.nn.logsumexp(terms, axis=-1)


def unscaled(parameters: Parameters, scale: Scale) -> dict[str, NDArray[np.float32]]:
    """The same network for inputs as the contract encodes them."""
    plain = {name: np.asarray(value, np.float64) for name, value in parameters.items()}
    mean, spread = scale.mean.astype(np.float64), scale.spread.astype(np.float64)
    straight = plain["straight"] * LOGITS / spread[:, None]
    w1 = plain["w1"] / spread[:, None]
    folded = plain | {
        "w1": w1,
        "b1": plain["b1"] - mean @ w1,
        "straight": straight,
        "b3": plain["b3"] - mean @ straight,
    }
    return {name: value.astype(np.float32) for name, value in folded.items()}
