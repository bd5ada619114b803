"""The TFLite runtimes that take and give numpy arrays: LiteRT's interpreter, and its predecessor where LiteRT
has no wheel. Together with numpy they weigh about 25 MiB, so they are imported when a model needs them."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

from common.errors import NotSupported, Rejected, RejectReason

RUNTIMES: Final = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
"""In the order of preference. They have one interface."""

MAX_VALUES: Final = 4096


class NumpyRuntime:
    """A loaded model. `run` takes and gives rows one behind the other.

    Raises NotSupported when no runtime is installed, Rejected(MALFORMED) for what the runtime refuses.
    """

    def __init__(self, model: bytes) -> None:
        # The matrices are small: threads of numpy's linear algebra would only take memory.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        runtime = _runtime()
        import numpy

        self._numpy = numpy
        # Without delegates: XNNPACK gains nothing on models this small, and costs start-up and memory.
        plain = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            self._interpreter: Any = runtime.Interpreter(
                model_content=model, num_threads=1, experimental_op_resolver_type=plain
            )
            self._input, self.inputs = _place(self._interpreter.get_input_details(), numpy.float32, "input")
            self._output, self.outputs = _place(
                self._interpreter.get_output_details(), numpy.float32, "output"
            )
        except (ValueError, RuntimeError, TypeError, IndexError, KeyError, MemoryError) as error:
            raise Rejected(RejectReason.MALFORMED, _first_line(error)) from error
        self._rows = 0

    def run(self, values: array[float], rows: int) -> array[float]:
        """`rows` times `inputs` values in, `rows` times `outputs` out. Raises Rejected(WRONG_OUTPUT)."""
        given = self._numpy.frombuffer(values, dtype=self._numpy.float32).reshape(rows, self.inputs)
        try:
            self._resize(rows)
            self._interpreter.set_tensor(self._input, given)
            self._interpreter.invoke()
            result = self._interpreter.get_tensor(self._output)
        except (ValueError, RuntimeError, TypeError, MemoryError) as error:
            self._rows = 0
            raise Rejected(RejectReason.WRONG_OUTPUT, _first_line(error)) from error
        if result.shape != (rows, self.outputs):
            raise Rejected(RejectReason.WRONG_OUTPUT, f"{rows} rows gave an output of {result.shape}")
        return array("f", result.tobytes())

    def _resize(self, rows: int) -> None:
        if rows != self._rows:
            self._interpreter.resize_tensor_input(self._input, [rows, self.inputs])
            self._interpreter.allocate_tensors()
            self._rows = rows


def _runtime() -> Any:
    for name in RUNTIMES:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise NotSupported("no TFLite runtime is installed; install meshtwin[edge]")


def _place(details: Sequence[dict[str, Any]], kind: Any, what: str) -> tuple[int, int]:
    """Number and row length of the only tensor among `details`. Raises ValueError for any other shape."""
    if len(details) != 1:
        raise ValueError(f"{len(details)} tensors as {what}")
    (tensor,) = details
    shape = [int(size) for size in tensor["shape"]]
    if tensor["dtype"] is not kind or len(shape) != 2 or not 0 < shape[1] <= MAX_VALUES:
        raise ValueError(f"{what} of shape {shape}, {tensor['dtype'].__name__}")
    return int(tensor["index"]), shape[1]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
