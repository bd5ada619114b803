"""From weights to files: what LiteRT computes is what JAX says, and a wrong bundle is found out."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from common.errors import Corrupt, TimedOut
from common.models import container, link_forecast
from common.models.metadata import BUFFER, to_bytes
from coordinator.training import bundle, tflite_writer
from coordinator.training.bundle import Label
from coordinator.training.quantize import quantize
from coordinator.training.runtime import Model
from tests.training.fitted import source, weights

LABEL = Label(link_forecast.NAME, 7, 1_700_000_000.0)
KILOBYTES = 50


@cache
def eight_bit() -> bytes:
    return quantize(bundle.model_of(weights()))


def test_litert_computes_what_jax_says_for_any_number_of_rows() -> None:
    inputs = source().learnt.inputs
    model = Model(bundle.model_of(weights()))
    for rows in (1, 3, len(inputs), 1):
        assert np.abs(model(inputs[:rows]) - bundle.outputs_of(weights(), inputs[:rows])).max() < 1e-4


def test_eight_bit_weights_change_little_and_metadata_survives() -> None:
    content = bundle.int8(eight_bit(), weights(), LABEL)
    found, model = bundle.read(content)
    assert (found.precision, found.version) == ("int8", 7)
    inputs = source().learnt.inputs
    assert np.abs(model(inputs) - bundle.outputs_of(weights(), inputs)).mean() < 0.05
    assert len(content) < len(bundle.float32(weights(), LABEL)) / 2


def test_a_bundle_is_small_and_says_what_it_is() -> None:
    content = bundle.float32(weights(), LABEL)
    assert len(content) <= KILOBYTES * 1000
    found = container.read_metadata(content)
    assert found == bundle.read(content)[0]
    assert (found.name, found.schema_hash) == (link_forecast.NAME, link_forecast.schema_hash())
    assert len(found.golden.inputs) == 16


def test_golden_inputs_are_what_the_contract_can_say() -> None:
    rows = bundle.golden_inputs()
    assert rows.shape == (16, link_forecast.INPUTS)
    assert np.isfinite(rows).all()
    assert len(np.unique(rows, axis=0)) == 16


def test_weights_lie_aligned_in_the_file() -> None:
    content = bundle.float32(weights(), LABEL)
    for values in weights().values():
        at = content.find(np.ascontiguousarray(values.T, "<f4").tobytes())
        assert at % tflite_writer.ALIGNMENT == 0


def test_a_bundle_for_another_schema_is_refused() -> None:
    content = bundle.float32(weights(), LABEL)
    other = container.read_metadata(content).model_copy(update={"schema_hash": "0" * 64})
    with pytest.raises(Corrupt, match="foreign-schema"):
        bundle.read(tflite_writer.with_metadata(content, BUFFER, to_bytes(other)))


def test_a_bundle_whose_weights_were_changed_fails_its_golden_vectors() -> None:
    content = bytearray(bundle.float32(weights(), LABEL))
    values = weights()["straight"].T.tobytes()
    at = bytes(content).index(values)
    content[at : at + len(values)] = (weights()["straight"].T * 2).tobytes()
    with pytest.raises(Corrupt, match="golden vectors"):
        bundle.read(bytes(content))


@pytest.mark.parametrize("content", [b"", b"no model", bytes(200)])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(Corrupt):
        bundle.read(content)
    with pytest.raises(Corrupt):
        Model(content)


def test_a_model_that_is_far_from_its_original_makes_no_bundle() -> None:
    other = {name: value * 1.5 for name, value in weights().items()}
    with pytest.raises(Corrupt, match="is off by"):
        bundle.int8(bundle.model_of(other), weights(), LABEL)


def test_a_quantizer_that_fails_or_hangs_is_told_of() -> None:
    with pytest.raises(Corrupt, match="quantizer failed"):
        quantize(b"no model")
    with pytest.raises(TimedOut):
        quantize(bundle.model_of(weights()), patience_s=0.05)
