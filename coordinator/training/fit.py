"""Fitting the network: Adam with a falling rate over batches drawn from every source of rows.

Sources have fixed shares of a batch, so that a million rows of one do not drown a thousand of another.
Deterministic by seed on one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
    rate: float = 4e-3


FULL: Final = Effort(10_000, 768)
QUICK: Final = Effort(1800, 384)


@dataclass(frozen=True, slots=True)
class Source:
    """Rows to learn from and rows held out, and the weight of this source in a batch."""

    learnt: Rows
    held_out: Rows
    weight: float


def fit(sources: Mapping[str, Source], effort: Effort, seed: int, report: Report) -> Weights:
    """Weights of the network for inputs as encoded. At least one source has rows."""
    used = [sources[name] for name in sorted(sources) if len(sources[name].learnt)]
    learnt = Rows.joined([source.learnt for source in used])
    scale = network.scale_of(learnt.inputs)
    columns, judges = _on_device(learnt, scale), _judges(used, scale, seed)
    optimiser = _optimiser(effort)
    parameters = network.initial(seed)
    state = optimiser.init(parameters)
    run, held_out = jax.jit(partial(_run, optimiser)), jax.jit(network.loss)
    batches = _batches(used, effort.batch, np.random.default_rng(seed))
    for step in range(CHUNK, effort.steps + 1, CHUNK):
        parameters, state, losses = run(columns, parameters, state, next(batches))
        report(step, effort.steps, float(losses.mean()), float(held_out(parameters, *judges)))
    return network.unscaled(parameters, scale)


_Columns: TypeAlias = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def _on_device(rows: Rows, scale: network.Scale) -> _Columns:
    inputs = jnp.asarray((rows.inputs - scale.mean) / scale.spread)
    return inputs, jnp.asarray(rows.heard), jnp.asarray(rows.expected), jnp.asarray(rows.transmissions)


def _batches(sources: list[Source], batch: int, random: np.random.Generator) -> Iterator[NDArray[np.int32]]:
    """Without end: rows of the joined sources for `CHUNK` steps, [CHUNK, about `batch`].

    Drawn here, not by JAX: its generator inside the loop would take as long to compile as all the rest.
    """
    whole = sum(source.weight for source in sources)
    sizes = [len(source.learnt) for source in sources]
    starts = np.cumsum([0, *sizes[:-1]])
    while True:
        parts = []
        for source, start, size in zip(sources, starts, sizes, strict=True):
            portion = max(1, round(batch * source.weight / whole))
            parts.append(start + random.integers(0, size, (CHUNK, portion)))
        yield np.concatenate(parts, axis=1).astype(np.int32)


def _judges(sources: list[Source], scale: network.Scale, seed: int) -> _Columns:
    """A fixed choice of held-out rows; of learnt ones where nothing is held out."""
    random = np.random.default_rng(seed)
    chosen = []
    for source in sources:
        rows = source.held_out if len(source.held_out) else source.learnt
        at = random.integers(0, len(rows), min(_JUDGES, len(rows)))
        chosen.append(rows.where(at))
    return _on_device(Rows.joined(chosen), scale)


def _optimiser(effort: Effort) -> optax.GradientTransformation:
    schedule = optax.warmup_cosine_decay_schedule(0.0, effort.rate, effort.steps // 20, effort.steps)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=1e-4))


def _run(
    optimiser: optax.GradientTransformation,
    columns: _Columns,
    parameters: network.Parameters,
    state: Any,
    batches: jax.Array,
) -> tuple[network.Parameters, Any, jax.Array]:
    """One step for each batch; the parameters, the optimiser's state and the losses."""

    def step(carry: tuple[network.Parameters, Any], at: jax.Array) -> tuple[Any, jax.Array]:
        parameters, state = carry
        drawn = (column[at] for column in columns)
        loss, gradient = jax.value_and_grad(network.loss)(parameters, *drawn)
        updates, state = optimiser.update(gradient, state, parameters)
        return (optax.apply_updates(parameters, updates), state), loss

    (parameters, state), losses = jax.lax.scan(step, (parameters, state), batches)
    return parameters, state, losses
