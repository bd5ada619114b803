"""The forecaster's network in JAX, and what it is fitted by.

Every window goes through the same two small layers, because a window means the same wherever it stands: how
many transmissions a probe had shows only in which logits its counts can make. Two layers over all eight
windows follow. A straight path from the windows' logits is added; it starts as a weighted mean of the last
ones, so that training begins at a decent forecast and the layers learn what deviates from it.
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

ENCODED: Final = (24, 12)
"""Units of the two layers over one window."""

HIDDEN: Final = (64, 32)
"""Units of the two layers over all windows. With the others 37 kB of weights."""

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
    """The same for every window. A channel that hardly varies is left as it is."""
    channels = inputs.reshape(-1, len(contract.CHANNELS))
    spread = channels.std(axis=0)
    whole = np.where(spread > 1e-3, spread, 1.0)
    return Scale(
        *(np.tile(each.astype(np.float32), contract.WINDOWS) for each in (channels.mean(axis=0), whole))
    )


def initial(seed: int) -> Parameters:
    """Parameters before training, for inputs that were scaled."""
    widths = {
        "encode1": (len(contract.CHANNELS), ENCODED[0]),
        "encode2": ENCODED,
        "hidden1": (contract.WINDOWS * ENCODED[1], HIDDEN[0]),
        "hidden2": HIDDEN,
    }
    random = np.random.default_rng(seed)
    plain = {"straight": _straight()}
    for name, shape in widths.items():
        plain[name] = random.normal(0.0, shape[0] ** -0.5, shape).astype(np.float32)
        plain[f"{name}_bias"] = np.zeros(shape[1], np.float32)
    plain["last"] = np.zeros((HIDDEN[1], contract.OUTPUTS), np.float32)
    plain["last_bias"] = np.zeros(contract.OUTPUTS, np.float32)
    return {name: jnp.asarray(values) for name, values in plain.items()}


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

    def dense(values: jax.Array, name: str) -> jax.Array:
        return jax.nn.relu(values @ parameters[name] + parameters[f"{name}_bias"])

    windows = dense(dense(inputs.reshape(-1, len(contract.CHANNELS)), "encode1"), "encode2")
    hidden = dense(dense(windows.reshape(len(inputs), -1), "hidden1"), "hidden2")
    return hidden @ parameters["last"] + parameters["last_bias"] + inputs @ (parameters["straight"] * LOGITS)


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
    channels = len(contract.CHANNELS)
    straight = plain["straight"] * LOGITS / spread[:, None]
    encode1 = plain["encode1"] / spread[:channels, None]
    folded = plain | {
        "encode1": encode1,
        "encode1_bias": plain["encode1_bias"] - mean[:channels] @ encode1,
        "straight": straight,
        "last_bias": plain["last_bias"] - mean @ straight,
    }
    return {name: value.astype(np.float32) for name, value in folded.items()}
