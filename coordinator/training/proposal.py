"""A learned proposal of placements: a small network that says for each task of a graph which node it would be
on in a good schedule. An experiment of `tools/bench placement-proposal`; nothing places with it.

Each round scores every task on every node from its own costs, from what its neighbours' data would cost with
these where they probably are, and from how full the node would be; three rounds, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from common.placement import Instance
from common.placement.kernel.decoder import Decoder

ROUNDS: Final = 3
HIDDEN: Final = (48, 24)
TIERS: Final = ("local", "peer", "mec", "cloud")
OWN: Final = 8 + len(TIERS)
"""Features of a task on a node that no neighbour changes."""

SHARED: Final = 5
"""Features that follow from where the others probably are."""

MAX_TASKS, MAX_NODES, MAX_EDGES = 64, 6, 200
"""Of graphs to learn from: arrays are padded to these."""

BATCH: Final = 24
RATE: Final = 4e-3
REPORTED: Final = 20
_FAR: Final = 1e9

Array = NDArray[np.float32]
Weights = dict[str, Any]
Report = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """A graph as the network reads it; costs are shares of J times the number of tasks.

    `own` [tasks, nodes, OWN], `able` [tasks, nodes] (0 or 1), `time` [tasks, nodes], `slots` [nodes],
    `source` and `target` [edges], `carried` [edges, nodes, nodes]: what an edge costs between two nodes.
    """

    own: Array
    able: Array
    time: Array
    slots: Array
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    carried: Array


def problem_of(instance: Instance, placed: Decoder) -> Problem:
    """`placed` is the instance's decoder."""
    n, width = placed.tasks, placed.nodes
    duration = np.asarray(placed.duration).reshape(n, width)
    able = np.isfinite(duration)
    time = np.where(able, duration, 0.0) * placed.rate * n
    price = np.where(able, np.asarray(placed.price).reshape(n, width), 0.0) * n
    source = np.asarray(placed.source).astype(np.int32)
    target = np.asarray(placed.target).astype(np.int32)
    carried = _carried(placed, len(source))
    slots = np.array([4.0 if node.slots is None else min(4, node.slots) for node in instance.nodes])
    own = np.zeros((n, width, OWN))
    own[:, :, 0] = np.log1p(time)
    own[:, :, 1] = np.log1p(price)
    own[:, :, 2] = time - np.where(able, time, _FAR).min(axis=1, keepdims=True)
    own[:, :, 3] = price - np.where(able, price, _FAR).min(axis=1, keepdims=True)
    own[:, :, 4] = slots / 4.0
    place = np.empty(n)
    place[np.asarray(placed.order)] = np.arange(n) / n
    own[:, :, 5] = place[:, None]
    own[:, :, 6] = instance.weight
    own[:, :, 7] = np.log(n) / 4.0
    for j, node in enumerate(instance.nodes):
        own[:, j, 8 + TIERS.index(node.tier)] = 1.0
    return Problem(
        own.astype(np.float32),
        able.astype(np.float32),
        time.astype(np.float32),
        slots.astype(np.float32),
        source,
        target,
        carried.astype(np.float32),
    )


def _carried(placed: Decoder, edges: int) -> NDArray[np.float64]:
    width = placed.nodes
    channel = np.asarray(placed.channel)
    transfer = np.asarray(placed.transfer).reshape(edges, -1)[:, channel]
    time = (transfer + np.asarray(placed.latency)) * placed.rate
    price = np.asarray(placed.bits)[:, None] * np.asarray(placed.bit_price)
    found: NDArray[np.float64] = ((time + price) * placed.tasks).reshape(edges, width, width)
    found[:, np.arange(width), np.arange(width)] = 0.0
    return found


def chances(weights: Weights, given: Problem, xp: ModuleType = np) -> list[Any]:
    """After each round, [tasks, nodes]: the chance that a task is there."""
    scores = xp.where(given.able > 0, 0.0, -_FAR)
    found = []
    chance = _softmax(scores, xp)
    for number in range(ROUNDS):
        rows = xp.concatenate([given.own, _shared(given, chance, xp)], axis=-1)
        hidden = xp.maximum(0.0, rows @ weights[f"a{number}"] + weights[f"a{number}_bias"])
        hidden = xp.maximum(0.0, hidden @ weights[f"b{number}"] + weights[f"b{number}_bias"])
        made = (hidden @ weights[f"c{number}"])[..., 0]
        chance = _softmax(xp.where(given.able > 0, made, -_FAR), xp)
        found.append(chance)
    return found


def _softmax(scores: Any, xp: ModuleType) -> Any:
    grown = xp.exp(scores - scores.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def _shared(given: Problem, chance: Any, xp: ModuleType) -> Any:
    """[tasks, nodes, SHARED]."""
    before = xp.einsum("ea,eab->eb", chance[given.source], given.carried)
    after = xp.einsum("eb,eab->ea", chance[given.target], given.carried)
    brought = _summed(given.target, before, chance.shape, xp)
    taken = _summed(given.source, after, chance.shape, xp)
    load = (chance * given.time).sum(axis=0) / given.slots / chance.shape[0] * 4.0
    everywhere = xp.broadcast_to(load, chance.shape)
    return xp.stack(
        [
            xp.log1p(brought),
            xp.log1p(taken),
            xp.log1p(brought + taken) - xp.log1p(brought + taken).min(axis=-1, keepdims=True),
            everywhere,
            chance,
        ],
        axis=-1,
    )


def _summed(places: Any, rows: Any, shape: tuple[int, ...], xp: ModuleType) -> Any:
    if xp is np:
        total = np.zeros(shape, np.float32)
        np.add.at(total, places, rows)
        return total
    return jnp.zeros(shape).at[places].add(rows)


def initial(seed: int) -> Weights:
    """Before training."""
    random = np.random.default_rng(seed)
    sizes = (OWN + SHARED, *HIDDEN, 1)
    weights: Weights = {}
    for number in range(ROUNDS):
        for name, rows, columns in zip("abc", sizes, sizes[1:], strict=False):
            weights[f"{name}{number}"] = random.normal(0, rows**-0.5, (rows, columns)).astype(np.float32)
            weights[f"{name}{number}_bias"] = np.zeros(columns, np.float32)
    return weights


def fit(
    problems: Sequence[Problem], answers: Sequence[Sequence[int]], steps: int, seed: int, report: Report
) -> Weights:
    """Weights under which the answers, a node for each task, are likeliest. Graphs beyond MAX_* are left
    out."""
    rows = [
        _padded(problem, answer)
        for problem, answer in zip(problems, answers, strict=True)
        if problem.able.shape[0] <= MAX_TASKS and len(problem.source) <= MAX_EDGES
    ]
    columns = [jnp.asarray(np.stack(column)) for column in zip(*rows, strict=True)]
    random = np.random.default_rng(seed)
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(RATE, steps))
    )
    weights = {name: jnp.asarray(values) for name, values in initial(seed).items()}
    state = optimiser.init(weights)
    step = jax.jit(partial(_step, optimiser))
    for number in range(steps):
        at = random.integers(0, len(rows), BATCH)
        weights, state, loss = step(weights, state, [column[at] for column in columns])
        if number % REPORTED == REPORTED - 1:
            report(number + 1, float(loss))
    return {name: np.asarray(values) for name, values in weights.items()}


def _padded(given: Problem, answer: Sequence[int]) -> tuple[NDArray[Any], ...]:
    """Fields of a problem with room for the largest, then the answer and which tasks count."""
    n, width, edges = *given.able.shape, len(given.source)
    own = np.zeros((MAX_TASKS, MAX_NODES, OWN), np.float32)
    own[:n, :width] = given.own
    able = np.zeros((MAX_TASKS, MAX_NODES), np.float32)
    able[:n, :width] = given.able
    able[n:, 0] = 1.0
    time = np.zeros((MAX_TASKS, MAX_NODES), np.float32)
    # A load is a mean over tasks: of the padded ones too.
    time[:n, :width] = given.time * (MAX_TASKS / n)
    slots = np.ones(MAX_NODES, np.float32)
    slots[:width] = given.slots
    source, target = (np.full(MAX_EDGES, MAX_TASKS - 1, np.int32) for _ in range(2))
    source[:edges], target[:edges] = given.source, given.target
    carried = np.zeros((MAX_EDGES, MAX_NODES, MAX_NODES), np.float32)
    carried[:edges, :width, :width] = given.carried
    wanted = np.zeros(MAX_TASKS, np.int32)
    wanted[:n] = answer
    counts = np.zeros(MAX_TASKS, np.float32)
    # Pinned tasks teach nothing.
    counts[:n] = given.able.sum(axis=1) > 1
    return own, able, time, slots, source, target, carried, wanted, counts


def _step(
    optimiser: optax.GradientTransformation, weights: Weights, state: Any, batch: Sequence[jax.Array]
) -> tuple[Weights, Any, jax.Array]:
    def loss_of(weights: Weights, *fields: jax.Array) -> jax.Array:
        *parts, wanted, counts = fields
        rounds = chances(weights, Problem(*parts), jnp)  # type: ignore[arg-type]  # JAX's arrays
        picked = [jnp.take_along_axis(chance, wanted[:, None], axis=1)[:, 0] for chance in rounds]
        logs = sum(jnp.log(chance + 1e-6) for chance in picked) / ROUNDS
        return -(logs * counts).sum() / counts.sum()

    def loss(weights: Weights) -> jax.Array:
        return jax.vmap(partial(loss_of, weights))(*batch).mean()

    value, gradient = jax.value_and_grad(loss)(weights)
    updates, state = optimiser.update(gradient, state, weights)
    return optax.apply_updates(weights, updates), state, value


def proposals(weights: Weights, given: Problem, samples: int, seed: int) -> list[NDArray[np.int32]]:
    """The likeliest node of each task, then `samples` drawn assignments."""
    chance = chances(weights, given)[-1]
    random = np.random.default_rng(seed)
    drawn = []
    for number in range(samples + 1):
        noise = 0.5 * random.gumbel(size=chance.shape) if number else 0.0
        drawn.append((np.log(chance + 1e-9) + noise).argmax(axis=1).astype(np.int32))
    return drawn
