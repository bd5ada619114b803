"""Small real bundles whose outputs are known: linear, or random of the right shape."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.messages import ModelReference
from common.models import link_forecast
from common.models.metadata import BUFFER, Golden, Metadata, to_bytes
from coordinator.training.quantize import quantize
from coordinator.training.tflite_writer import Graph, with_metadata

Matrix = NDArray[np.float32]

NEWEST_PDR = link_forecast.INPUTS - len(link_forecast.CHANNELS)
"""Place of the newest window's logit PDR in an input row."""

SPREAD = 0.5


@dataclass(frozen=True)
class Bundle:
    content: bytes
    reference: ModelReference


def persistence(version: int = 1, **changes: Any) -> Bundle:
    """Every window to come is like the newest one, give or take SPREAD."""
    weights = np.zeros((link_forecast.INPUTS, link_forecast.OUTPUTS), np.float32)
    weights[NEWEST_PDR, 0::2] = 1.0
    bias = np.zeros(link_forecast.OUTPUTS, np.float32)
    bias[1::2] = log(SPREAD)
    return bundle(linear(weights, bias), weights, bias, version, **changes)


def wrong(version: int = 1) -> Bundle:
    """Every link will be nearly dead: of the right shape, and of no use."""
    weights = np.zeros((link_forecast.INPUTS, link_forecast.OUTPUTS), np.float32)
    bias = np.full(link_forecast.OUTPUTS, -3.0, np.float32)
    return bundle(linear(weights, bias), weights, bias, version)


def eight_bit(version: int = 1) -> Bundle:
    """Random weights in eight bits; the golden outputs are those of the rounded weights."""
    draw = np.random.default_rng(7)
    weights = draw.normal(0.0, 0.2, (link_forecast.INPUTS, link_forecast.OUTPUTS)).astype(np.float32)
    # The quantizer leaves small weights alone; it rounds each output's to 127 steps of the largest.
    step = np.abs(weights).max(axis=0) / 127
    rounded = (np.round(weights / step) * step).astype(np.float32)
    bias = np.zeros(link_forecast.OUTPUTS, np.float32)
    return bundle(quantize(linear(weights, bias)), rounded, bias, version, precision="int8")


def linear(weights: Matrix, bias: Matrix) -> bytes:
    graph = Graph(weights.shape[0])
    return graph.model(graph.dense(graph.input, weights, bias), "a linear model")


def bundle(model: bytes, weights: Matrix, bias: Matrix, version: int, **changes: Any) -> Bundle:
    """The model with metadata, of which `changes` may change any field."""
    rows = np.random.default_rng(3).normal(0.0, 1.0, (4, weights.shape[0])).astype(np.float32)
    golden = Golden(inputs=rows.tolist(), outputs=(rows @ weights + bias).tolist(), tolerance=1e-3)
    fields: dict[str, Any] = {
        "name": link_forecast.NAME,
        "version": version,
        "created": 1_700_000_000.0,
        "schema_hash": link_forecast.schema_hash(),
        "inputs": weights.shape[0],
        "outputs": weights.shape[1],
        "golden": golden,
    }
    return described(model, Metadata(**(fields | changes)))


def described(model: bytes, metadata: Metadata) -> Bundle:
    return released(with_metadata(model, BUFFER, to_bytes(metadata)), metadata.version, metadata.name)


def released(content: bytes, version: int = 1, name: str = link_forecast.NAME) -> Bundle:
    """Any content under an honest reference."""
    digest = sha256(content).hexdigest()
    reference = ModelReference(name=name, version=version, digest=digest, size=len(content))
    return Bundle(content, reference)
