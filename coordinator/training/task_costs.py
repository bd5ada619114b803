"""The cost model of tasks: fitted to runs of gateways, and packed as a bundle.

A straight line through the features, which for logarithms is a power law per kind, and a small network for
what is not straight. Both are fitted to what is left when each machine's own factor for a kind is taken away:
that is learned on the gateway.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from common.errors import Corrupt, Misconfigured
from common.files import write_file
from common.kinds.kind import Cost
from common.models import task_cost as contract
from common.models.metadata import BUFFER, Golden, Metadata, to_bytes
from coordinator.training.bundle import TOLERANCE, Label, check_near
from coordinator.training.runtime import Matrix, Model
from coordinator.training.tflite_writer import Graph, with_metadata

HIDDEN: Final = 24
STEPS: Final = 1500
RATE: Final = 3e-3
LEAST_RUNS: Final = 50
OVERHEAD_S: Final = 0.005
"""As the gateway's estimate has it: below, a ratio is about nothing else."""

RIDGE: Final = 0.003
DECAY: Final = 3e-3
_HUBER: Final = 0.2
_GOLDEN: Final = 12
_DIGITS: Final = 4
_MAX_LINE: Final = 64 << 10
_MAX_FILE: Final = 64 << 20

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Run:
    """A task that ran: `parameters` with their defaults, `sizes` of its inputs in bytes, what the kind's hint
    was, and what was measured."""

    kind: str
    machine: str
    parameters: Mapping[str, Any]
    sizes: Mapping[str, int]
    hint: Cost
    wall_s: float
    cpu_s: float

    def as_json(self) -> dict[str, Any]:
        """As `of` reads it."""
        return asdict(self)

    @classmethod
    def of(cls, value: Any) -> Run:
        """Raises Corrupt."""
        try:
            told = value["hint"]
            hint = Cost(float(told["cpu_s"]), int(told["output_bytes"]), int(told["memory_bytes"]))
            run = cls(
                str(value["kind"])[:64],
                str(value["machine"])[:64],
                dict(value["parameters"]),
                {str(name): int(size) for name, size in value["sizes"].items()},
                hint,
                float(value["wall_s"]),
                float(value["cpu_s"]),
            )
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise Corrupt(f"this is no run of a task: {error!r}"[:200]) from error
        if not all(np.isfinite([hint.cpu_s, run.wall_s, run.cpu_s])) or min(run.cpu_s, hint.cpu_s) < 0:
            raise Corrupt(f"a run of {run.kind} took no time that can be")
        return run


def read(lines: Sequence[str]) -> tuple[list[Run], int]:
    """Runs, one JSON object a line, and how many lines were none."""
    runs, bad = [], 0
    for line in lines:
        try:
            runs.append(Run.of(json.loads(line[:_MAX_LINE])))
        except (Corrupt, ValueError, RecursionError):
            bad += 1
    return runs, bad


def learn(files: Sequence[Path], output: Path, created: float, seed: int = 1) -> dict[str, Any]:
    """From files of runs to a bundle in `output`; how many runs, and lines that were none. `created` is in
    Unix seconds. Raises Misconfigured."""
    lines: list[str] = []
    for path in files:
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                lines += file.read(_MAX_FILE).splitlines()
        except OSError as error:
            raise Misconfigured(f"{path} cannot be read: {error.strerror}", "name files of runs") from error
    runs, bad = read([line for line in lines if line.strip()])
    made = bundle(fit(runs, seed), Label(contract.NAME, max(1, int(created) % 2**31), created), runs)
    write_file(output, made)
    return {"runs": len(runs), "bad_lines": bad, "bytes": len(made)}


def fit(runs: Sequence[Run], seed: int = 1) -> Weights:
    """Weights of the network, from runs of which the oldest come first.

    The network stays at the straight line unless it was better on the last fifth. Raises Misconfigured for
    fewer than LEAST_RUNS.
    """
    if len(runs) < LEAST_RUNS:
        raise Misconfigured(f"{len(runs)} runs of tasks are too few", f"run at least {LEAST_RUNS}")
    inputs, wanted = inputs_of(runs), targets_of(runs)
    held = len(runs) - len(runs) // 5
    tried = _trained(inputs[:held], wanted[:held], seed)
    straight = _straight(inputs[:held], wanted[:held])
    errors = [np.abs(outputs_of(w, inputs[held:]) - wanted[held:]).mean() for w in (tried, straight)]
    return (_trained if errors[0] < errors[1] else _plain)(inputs, wanted, seed)


def inputs_of(runs: Sequence[Run]) -> Matrix:
    """[N, INPUTS]."""
    rows = [contract.encode(run.kind, run.parameters, run.sizes, run.hint) for run in runs]
    return np.array(rows, np.float32)


def targets_of(runs: Sequence[Run]) -> Matrix:
    """[N, 1]: log of CPU seconds over the hint's, less the median of the machine."""
    ratios = np.log([run.cpu_s + OVERHEAD_S for run in runs])
    ratios -= np.log([run.hint.cpu_s + OVERHEAD_S for run in runs])
    machines: dict[str, list[int]] = defaultdict(list)
    for number, run in enumerate(runs):
        machines[run.machine].append(number)
    for rows in machines.values():
        ratios[rows] -= np.median(ratios[rows])
    return np.clip(ratios, -contract.LIMIT, contract.LIMIT).astype(np.float32)[:, None]


def outputs_of(weights: Weights, inputs: Matrix) -> Matrix:
    """What the network says, without any TFLite runtime."""
    hidden = np.maximum(0.0, inputs @ weights["hidden"] + weights["hidden_bias"])
    made: Matrix = hidden @ weights["last"] + inputs @ weights["straight"] + weights["straight_bias"]
    return made


def bundle(weights: Weights, label: Label, runs: Sequence[Run]) -> bytes:
    """The bundle, with a few of the runs as golden vectors. Raises Corrupt when LiteRT computes otherwise."""
    graph = Graph(contract.INPUTS)
    hidden = graph.dense(graph.input, weights["hidden"], weights["hidden_bias"], relu=True)
    straight = graph.dense(graph.input, weights["straight"], weights["straight_bias"])
    model = graph.model(graph.add(graph.dense(hidden, weights["last"]), straight), contract.NAME)
    chosen = np.linspace(0, len(runs) - 1, _GOLDEN).astype(int)
    inputs = np.round(inputs_of([runs[at] for at in chosen]).astype(np.float64), _DIGITS).astype(np.float32)
    outputs = outputs_of(weights, inputs)
    check_near(Model(model)(inputs), outputs, TOLERANCE)
    described = Metadata(
        name=label.name,
        version=label.version,
        created=label.created,
        schema_hash=contract.schema_hash(),
        inputs=contract.INPUTS,
        outputs=contract.OUTPUTS,
        golden=Golden(inputs=_rounded(inputs), outputs=_rounded(outputs), tolerance=TOLERANCE),
    )
    return with_metadata(model, BUFFER, to_bytes(described))


def _straight(inputs: Matrix, wanted: Matrix) -> Weights:
    """Ridge regression; the network beside it says nothing yet."""
    wide = np.hstack([inputs, np.ones((len(inputs), 1))]).astype(np.float64)
    ridge = RIDGE * np.eye(wide.shape[1])
    weight = np.ones(len(wide))
    found: NDArray[Any] = np.zeros((wide.shape[1], 1))
    for _ in range(8):
        # Robust: a run beside a busy neighbour counts the less the farther off it is.
        found = np.linalg.solve(
            wide.T @ (weight[:, None] * wide) + ridge, wide.T @ (weight[:, None] * wanted)
        )
        weight = _HUBER / np.maximum(_HUBER, np.abs(wide @ found - wanted)[:, 0])
    return {
        "straight": found[:-1].astype(np.float32),
        "straight_bias": found[-1].astype(np.float32),
        "hidden": np.zeros((contract.INPUTS, HIDDEN), np.float32),
        "hidden_bias": np.zeros(HIDDEN, np.float32),
        "last": np.zeros((HIDDEN, 1), np.float32),
    }


def _plain(inputs: Matrix, wanted: Matrix, seed: int) -> Weights:
    return _straight(inputs, wanted)


def _trained(inputs: Matrix, wanted: Matrix, seed: int) -> Weights:
    """From the straight line on, by Adam over all rows at once."""
    random = np.random.default_rng(seed)
    begun = _straight(inputs, wanted)
    begun["hidden"] = random.normal(0, 0.3, begun["hidden"].shape).astype(np.float32)
    begun["hidden"][~inputs.any(axis=0)] = 0.0
    parameters = {name: jnp.asarray(values) for name, values in begun.items()}
    optimiser = optax.adamw(optax.cosine_decay_schedule(RATE, STEPS), weight_decay=DECAY)
    run = jax.jit(partial(_run, optimiser))
    parameters = run(parameters, optimiser.init(parameters), jnp.asarray(inputs), jnp.asarray(wanted))
    return {name: np.asarray(values, np.float32) for name, values in parameters.items()}


def _run(
    optimiser: optax.GradientTransformation,
    parameters: dict[str, jax.Array],
    state: Any,
    inputs: jax.Array,
    wanted: jax.Array,
) -> dict[str, jax.Array]:
    def loss(parameters: dict[str, jax.Array]) -> jax.Array:
        hidden = jax.nn.relu(inputs @ parameters["hidden"] + parameters["hidden_bias"])
        made = hidden @ parameters["last"] + inputs @ parameters["straight"] + parameters["straight_bias"]
        lost: jax.Array = optax.huber_loss(made, wanted, delta=_HUBER).mean()
        return lost

    def step(carry: Any, _: Any) -> tuple[Any, None]:
        parameters, state = carry
        updates, state = optimiser.update(jax.grad(loss)(parameters), state, parameters)
        return (optax.apply_updates(parameters, updates), state), None

    (parameters, _), _ = jax.lax.scan(step, (parameters, state), None, length=STEPS)
    return parameters


def _rounded(rows: Matrix) -> list[list[float]]:
    return [[round(float(value), _DIGITS) for value in row] for row in rows]
