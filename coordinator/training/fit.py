"""Fitting the network: Adam with a falling rate over batches drawn from every source of rows.

Sources have fixed shares of a batch, so that a million rows of one do not drown a thousand of another.
Deterministic by seed on one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from coordinator.training import network
from coordinator.training.windows import Rows

Weights: TypeAlias = dict[str, NDArray[np.float32]]
Report: TypeAlias = Callable[[int, int, float, float], None]
"""Called with step, steps, loss of the last steps and held-out loss. What it raises ends the training."""

CHUNK: Final = 100
"""Steps between two reports."""

_JUDGES: Final = 8192
"""Held-out rows of each source that the reports are about."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to train: steps of `batch` rows, and Adam's rate at its peak."""

    steps: int
    batch: int
    rate: float = 3e-3


FULL: Final = Effort(6000, 768)
QUICK: Final = Effort(1500, 384)


@dataclass(frozen=True, slots=True)
class Source:
    """Rows to learn from and rows held out, and the weight of this source in a batch."""

    learnt: Rows
    held_out: Rows
    weight: float


def fit(sources: Mapping[str, Source], effort: Effort, seed: int, report: Report) -> Weights:
    """Weights of the network for inputs as encoded. At least one source has rows."""
    used = [sources[name] for name in sorted(sources) if len(sources[name].learnt)]
    scale = network.scale_of(np.concatenate([source.learnt.inputs for source in used]))
    draw = _drawn([_on_device(source.learnt, scale) for source in used], _portions(used, effort.batch))
    judges = _judges(used, scale, seed)
    optimiser = _optimiser(effort)
    parameters = network.initial(seed)
    state = optimiser.init(parameters)
    run = jax.jit(partial(_run, optimiser, draw))
    held_out = jax.jit(network.loss)
    keys = jax.random.split(jax.random.key(seed + 1), effort.steps).reshape(-1, CHUNK)
    for number, chunk in enumerate(keys, 1):
        parameters, state, losses = run(parameters, state, chunk)
        report(number * CHUNK, effort.steps, float(losses.mean()), float(held_out(parameters, *judges)))
    return network.unscaled(parameters, scale)


_Columns: TypeAlias = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def _on_device(rows: Rows, scale: network.Scale) -> _Columns:
    inputs = (rows.inputs - scale.mean) / scale.spread
    return tuple(jnp.asarray(column) for column in (inputs, rows.heard, rows.expected, rows.transmissions))  # type: ignore[return-value]


def _portions(sources: list[Source], batch: int) -> list[int]:
    """Rows of each source in a batch."""
    whole = sum(source.weight for source in sources)
    return [max(1, round(batch * source.weight / whole)) for source in sources]


def _drawn(columns: list[_Columns], portions: list[int]) -> Callable[[jax.Array], _Columns]:
    """A function from a random key to a batch."""

    def draw(key: jax.Array) -> _Columns:
        parts = []
        for source, rows, own in zip(columns, portions, jax.random.split(key, len(columns)), strict=True):
            at = jax.random.randint(own, (rows,), 0, len(source[0]))
            parts.append([column[at] for column in source])
        return tuple(jnp.concatenate(part) for part in zip(*parts, strict=True))  # type: ignore[return-value]

    return draw


def _judges(sources: list[Source], scale: network.Scale, seed: int) -> _Columns:
    """A fixed choice of held-out rows; of learnt ones where nothing is held out."""
    random = np.random.default_rng(seed)
    chosen = []
    for source in sources:
        rows = source.held_out if len(source.held_out) else source.learnt
        at = random.integers(0, len(rows), min(_JUDGES, len(rows)))
        chosen.append(_on_device(rows.where(at), scale))
    return tuple(jnp.concatenate(column) for column in zip(*chosen, strict=True))  # type: ignore[return-value]


def _optimiser(effort: Effort) -> optax.GradientTransformation:
    schedule = optax.warmup_cosine_decay_schedule(0.0, effort.rate, effort.steps // 20, effort.steps)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=1e-4))


def _run(
    optimiser: optax.GradientTransformation,
    draw: Callable[[jax.Array], _Columns],
    parameters: network.Parameters,
    state: Any,
    keys: jax.Array,
) -> tuple[network.Parameters, Any, jax.Array]:
    """One step for each key; the parameters, the optimiser's state and the losses."""

    def step(carry: tuple[network.Parameters, Any], key: jax.Array) -> tuple[Any, jax.Array]:
        parameters, state = carry
        loss, gradient = jax.value_and_grad(network.loss)(parameters, *draw(key))
        updates, state = optimiser.update(gradient, state, parameters)
        return (optax.apply_updates(parameters, updates), state), loss

    (parameters, state), losses = jax.lax.scan(step, (parameters, state), keys)
    return parameters, state, losses
