"""From fitted weights to bundles: the model's file with its metadata and golden vectors, by precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import jax.numpy as jnp
import numpy as np

from common.errors import Corrupt, Rejected
from common.models import container
from common.models import link_forecast as contract
from common.models.link_forecast import LinkWindow
from common.models.metadata import BUFFER, Golden, Metadata, to_bytes
from coordinator.training import network, physics
from coordinator.training.fit import Weights
from coordinator.training.runtime import Matrix, Model
from coordinator.training.tflite_writer import Graph, with_metadata
from coordinator.training.windows import inputs_of

TOLERANCE: Final = 2e-3
"""Largest difference of an output between runtimes. They differ by 2e-6 where all is well; a wrong kernel
or wrong scales differ by tenths."""

INT8_DRIFT: Final = 0.25
"""Largest difference that eight-bit weights may make on the golden vectors: a quarter of a logit is six
points of PDR at worst. Real ones make a tenth of that."""

_DRAWN: Final = 8
_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Label:
    """Name, version and birth (Unix seconds) of a model."""

    name: str
    version: int
    created: float


def model_of(weights: Weights) -> bytes:
    """The network as a model file without metadata."""
    graph = Graph(contract.INPUTS)

    def dense(source: int, name: str) -> int:
        return graph.dense(source, weights[name], weights[f"{name}_bias"], relu=name != "last")

    windows = dense(dense(graph.reshape(graph.input, len(contract.CHANNELS)), "encode1"), "encode2")
    flat = graph.reshape(windows, contract.WINDOWS * weights["encode2"].shape[1])
    output = dense(dense(dense(flat, "hidden1"), "hidden2"), "last")
    return graph.model(graph.add(output, graph.dense(graph.input, weights["straight"])), contract.NAME)


def outputs_of(weights: Weights, inputs: Matrix) -> Matrix:
    """What the network says, computed by JAX without any TFLite runtime."""
    parameters = {name: jnp.asarray(values) for name, values in weights.items()}
    return np.asarray(network.forward(parameters, jnp.asarray(inputs)))


def float32(weights: Weights, label: Label) -> bytes:
    """The bundle as fitted. Raises Corrupt when LiteRT does not compute what the network says."""
    model, inputs = model_of(weights), golden_inputs()
    outputs = outputs_of(weights, inputs)
    check_near(Model(model)(inputs), outputs, TOLERANCE)
    return _bundle(model, label, "float32", inputs, outputs)


def int8(quantized: bytes, weights: Weights, label: Label) -> bytes:
    """The bundle of a model with eight-bit weights. Raises Corrupt when it is far from the original.

    Its golden outputs are its own, so that a runtime which reads the weights wrongly is found out.
    """
    inputs = golden_inputs()
    outputs = Model(quantized)(inputs)
    check_near(outputs, outputs_of(weights, inputs), INT8_DRIFT)
    return _bundle(quantized, label, "int8", inputs, outputs)


def read(bundle: bytes) -> tuple[Metadata, Model]:
    """Metadata and loaded model. Raises Corrupt for what is no bundle of this schema."""
    try:
        found = container.read_metadata(bundle)
        container.check_schema(found)
    except Rejected as error:
        raise Corrupt(f"the bundle cannot be used: {error}") from error
    model = Model(bundle)
    inputs, outputs = (np.array(rows, np.float32) for rows in (found.golden.inputs, found.golden.outputs))
    check_near(model(inputs), outputs, found.golden.tolerance)
    return found, model


def check_near(found: Matrix, wanted: Matrix, tolerance: float) -> None:
    """Raises Corrupt when outputs differ by more than `tolerance` or are not numbers."""
    if found.shape != wanted.shape:
        raise Corrupt(f"the model's output has the shape {found.shape}, not {wanted.shape}")
    worst = float(np.abs(found - wanted).max())
    if not worst <= tolerance:
        raise Corrupt(f"the model is off by {worst:.3g} on its golden vectors, more than {tolerance:g}")


def golden_inputs() -> Matrix:
    """The rows that every bundle is tried on: edges of what links report, and synthetic links."""
    edges = [np.array(contract.encode(history, 10.0)) for history in _edges()]
    drawn = inputs_of(physics.generate(_DRAWN, 2 * contract.WINDOWS, seed=1))
    chosen = np.linspace(contract.WINDOWS, len(drawn) - 1, _DRAWN).astype(int)
    rows = np.concatenate([np.stack(edges), drawn[chosen]]).astype(np.float64)
    return np.round(rows, _DIGITS).astype(np.float32)


def _edges() -> list[list[LinkWindow]]:
    """Histories at the limits: new, perfect, dead, decaying with and without RSSI, gaps, long windows."""
    times = [10.0 * number for number in range(contract.WINDOWS)]
    fall = (10, 10, 10, 9, 9, 8, 7, 6)
    return [
        [LinkWindow(0.0, 5, 10)],
        [LinkWindow(0.0, 0, 1, 3, -97.0), LinkWindow(9.0, 1, 1, 3, -96.0)],
        [LinkWindow(t, 10, 10, 2, -55.0) for t in times],
        [LinkWindow(t, 0, 10, 2) for t in times],
        [LinkWindow(t, heard, 10, 2) for t, heard in zip(times, fall, strict=True)],
        [
            LinkWindow(t, heard, 10, 2, -82.0 - at)
            for at, (t, heard) in enumerate(zip(times, fall, strict=True))
        ],
        [LinkWindow(t * t, 25, 31, 1, -88.0) for t in times],
        [LinkWindow(t, 180, 200, 1, -75.0) for t in times],
    ]


def _bundle(model: bytes, label: Label, precision: Any, inputs: Matrix, outputs: Matrix) -> bytes:
    golden = Golden(inputs=_rounded(inputs), outputs=_rounded(outputs), tolerance=TOLERANCE)
    described = Metadata(
        name=label.name,
        version=label.version,
        created=label.created,
        schema_hash=contract.schema_hash(),
        precision=precision,
        inputs=contract.INPUTS,
        outputs=contract.OUTPUTS,
        golden=golden,
    )
    return with_metadata(model, BUFFER, to_bytes(described))


def _rounded(rows: Matrix) -> list[list[float]]:
    """As short JSON: inputs were rounded before, and outputs may be off by far more."""
    return [[round(float(value), _DIGITS) for value in row] for row in rows]
