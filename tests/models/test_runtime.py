"""The adapter over the TFLite runtime: real models in, numbers or named errors out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import NotSupported, Rejected, RejectReason
from common.models import link_forecast
from common.models.container import read_metadata
from common.models.metadata import Golden
from edge_agent.infer import litert, numpy_runtime
from edge_agent.infer.litert import LiteRt
from edge_agent.infer.numpy_runtime import NumpyRuntime
from edge_agent.infer.runtime import BATCH, Interpreter, Loader, check_golden
from tests.models import bundles
from tests.models.bundles import Bundle

ROOT = Path(__file__).parents[2]
OLD = ROOT / ".venv-tflite-runtime" / "bin" / "python"
TOLERANCE = 1e-4
LOADERS: list[Loader] = [LiteRt, NumpyRuntime]
every_runtime = pytest.mark.parametrize("loader", LOADERS)


def rows(count: int) -> list[array[float]]:
    drawn = np.random.default_rng(count).normal(0.0, 2.0, (count, link_forecast.INPUTS))
    return [array("f", row) for row in drawn.astype(np.float32)]


@every_runtime
@pytest.mark.parametrize("count", [0, 1, 7, BATCH, BATCH + 1, 3 * BATCH])
def test_any_number_of_rows_gives_as_many_outputs(count: int, loader: Loader) -> None:
    given = rows(count)
    outputs = Interpreter(bundles.persistence().content, loader).run(given)
    assert len(outputs) == count
    for row, output in zip(given, outputs, strict=True):
        assert output[0::2] == pytest.approx([row[bundles.NEWEST_PDR]] * link_forecast.AHEAD, abs=1e-6)


@every_runtime
def test_batches_of_changing_size_do_not_disturb_each_other(loader: Loader) -> None:
    interpreter = Interpreter(bundles.eight_bit().content, loader)
    given = rows(9)
    together = interpreter.run(given)
    assert [interpreter.run([row])[0] for row in given] == pytest.approx(np.array(together), abs=1e-6)


@every_runtime
@pytest.mark.parametrize("make", [bundles.persistence, bundles.wrong, bundles.eight_bit])
def test_golden_vectors_are_reproduced(make: Callable[[], Bundle], loader: Loader) -> None:
    content = make().content
    check_golden(Interpreter(content, loader), read_metadata(content).golden)


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


@every_runtime
@pytest.mark.parametrize("content", [b"", b"TFL3", bytes(64), b"\x1c\0\0\0TFL3" + bytes(100)])
def test_what_the_runtime_refuses_is_malformed(content: bytes, loader: Loader) -> None:
    with pytest.raises(Rejected) as raised:
        Interpreter(content, loader)
    assert raised.value.reason is RejectReason.MALFORMED


def test_the_lightest_runtime_is_taken_and_the_other_where_it_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = bundles.persistence().content
    assert isinstance(Interpreter(content)._runtime, LiteRt)
    monkeypatch.setattr(litert, "_loaded", None)
    monkeypatch.setattr(litert, "TESTED", ("1.",))
    assert isinstance(Interpreter(content)._runtime, NumpyRuntime)
    monkeypatch.setattr(numpy_runtime, "RUNTIMES", ("no_such_runtime",))
    with pytest.raises(NotSupported, match="install"):
        Interpreter(content)


def test_models_that_come_and_go_leave_no_memory_behind() -> None:
    content = bundles.persistence().content
    given = rows(3)
    for _ in range(20):
        Interpreter(content).run(given)
    before = resident_kib()
    for _ in range(200):
        Interpreter(content).run(given)
    assert resident_kib() - before < 2048


def resident_kib() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line)
    return int(line.split()[1])


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


def test_a_runtime_says_nothing_of_its_own_on_standard_error() -> None:
    code = (
        "import os\n"
        "from edge_agent.infer.litert import LiteRt\n"
        "from tests.models import bundles\n"
        "LiteRt(bundles.persistence().content)\n"
        "LiteRt(bundles.eight_bit().content)\n"
        "os.write(2, b'still there')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == "still there"


def test_what_others_say_while_a_model_is_loaded_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    with litert._without_small_talk():
        os.write(2, b'{"event": "mesh-up"}\nINFO: Created a delegate\n{"event": "relay-dead"}\n')
    assert capfd.readouterr().err == '{"event": "mesh-up"}\n{"event": "relay-dead"}\n'
