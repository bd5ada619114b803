"""The adapter over the TFLite runtime: real models in, numbers or named errors out."""

from __future__ import annotations

import json
import os
import subprocess
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import NotSupported, Rejected, RejectReason
from common.models import link_forecast
from common.models.metadata import Golden
from edge_agent.infer import runtime
from edge_agent.infer.model_forecaster import prepare
from edge_agent.infer.runtime import BATCH, Interpreter, check_golden
from tests.models import bundles
from tests.models.bundles import Bundle

ROOT = Path(__file__).parents[2]
OLD = ROOT / ".venv-tflite-runtime" / "bin" / "python"
TOLERANCE = 1e-4


def rows(count: int) -> list[array[float]]:
    drawn = np.random.default_rng(count).normal(0.0, 2.0, (count, link_forecast.INPUTS))
    return [array("f", row) for row in drawn.astype(np.float32)]


@pytest.mark.parametrize("count", [0, 1, 7, BATCH, BATCH + 1, 3 * BATCH])
def test_any_number_of_rows_gives_as_many_outputs(count: int) -> None:
    given = rows(count)
    outputs = Interpreter(bundles.persistence().content).run(given)
    assert len(outputs) == count
    for row, output in zip(given, outputs, strict=True):
        assert output[0::2] == pytest.approx([row[bundles.NEWEST_PDR]] * link_forecast.AHEAD, abs=1e-6)


def test_batches_of_changing_size_do_not_disturb_each_other() -> None:
    interpreter = Interpreter(bundles.eight_bit().content)
    given = rows(9)
    together = interpreter.run(given)
    assert [interpreter.run([row])[0] for row in given] == pytest.approx(np.array(together), abs=1e-6)


@pytest.mark.parametrize("make", [bundles.persistence, bundles.wrong, bundles.eight_bit])
def test_golden_vectors_are_reproduced(make: Callable[[], Bundle]) -> None:
    assert prepare(make().content).interpreter.inputs == link_forecast.INPUTS


def test_a_golden_vector_that_is_off_is_named() -> None:
    interpreter = Interpreter(bundles.persistence().content)
    inputs = [[0.0] * link_forecast.INPUTS] * 2
    wanted = [row[:] for row in interpreter.run(inputs)]
    check_golden(interpreter, Golden(inputs=inputs, outputs=wanted, tolerance=1e-3))
    for value in (wanted[1][2] + 0.01, float("nan"), float("inf")):
        altered = [wanted[0], [*wanted[1][:2], value, *wanted[1][3:]]]
        with pytest.raises(Rejected, match="golden vector 1") as raised:
            check_golden(interpreter, Golden(inputs=inputs, outputs=altered, tolerance=1e-3))
        assert raised.value.reason is RejectReason.WRONG_OUTPUT


def test_rows_of_another_length_are_refused() -> None:
    with pytest.raises(Rejected) as raised:
        Interpreter(bundles.persistence().content).run([[0.0]])
    assert raised.value.reason is RejectReason.INVALID


@pytest.mark.parametrize("content", [b"", b"TFL3", bytes(64), b"\x1c\0\0\0TFL3" + bytes(100)])
def test_what_the_runtime_refuses_is_malformed(content: bytes) -> None:
    with pytest.raises(Rejected) as raised:
        Interpreter(content)
    assert raised.value.reason is RejectReason.MALFORMED


def test_a_machine_without_a_runtime_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "RUNTIMES", ("no_such_runtime",))
    with pytest.raises(NotSupported, match="install"):
        Interpreter(bundles.persistence().content)


@pytest.mark.skipif(not OLD.exists(), reason="no .venv-tflite-runtime: tools/test makes it on Python 3.11")
@pytest.mark.parametrize("make", [bundles.persistence, bundles.eight_bit])
def test_the_runtime_of_old_gives_the_same_outputs(make: Callable[[], Bundle], tmp_path: Path) -> None:
    bundle = make()
    path = tmp_path / "model.tflite"
    path.write_bytes(bundle.content)
    given = rows(20)
    done = subprocess.run(
        [OLD, "-m", "tests.models.running", path],
        input=json.dumps([row.tolist() for row in given]),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["runtimes"] == ["tflite_runtime"]
    here = Interpreter(bundle.content).run(given)
    assert np.array(answer["outputs"]) == pytest.approx(np.array(here), abs=TOLERANCE)
