"""The one place that knows a TFLite runtime: LiteRT, or its predecessor where LiteRT has no wheel.

Both are heavy (with numpy about 25 MiB), so they are imported when the first model is loaded and not before;
importing this module is free. Float32 in and out, one thread, any batch size.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from importlib import import_module
from math import isfinite
from typing import Any, Final

from common.errors import NotSupported, Rejected, RejectReason
from common.models.metadata import Golden

RUNTIMES: Final = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
"""In the order of preference. They have one interface."""

BATCH: Final = 256
"""Rows that are run at once: bounds what a large site's inference takes of memory."""


class Interpreter:
    """A loaded model with one input and one output, both [batch, values] of float32.

    Not for two threads at once. Raises NotSupported when no runtime is installed, Rejected(MALFORMED) for
    what the runtime refuses. A hostile model can crash the process: load it in one that may die first.
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

    def run(self, rows: Sequence[Sequence[float]]) -> list[list[float]]:
        """One output row for each input row.

        Raises Rejected: INVALID for rows of another length than the model's input, WRONG_OUTPUT when the
        model cannot be run on them.
        """
        if any(len(row) != self.inputs for row in rows):
            raise Rejected(RejectReason.INVALID, f"the model takes rows of {self.inputs} values")
        return [
            out for start in range(0, len(rows), BATCH) for out in self._batch(rows[start : start + BATCH])
        ]

    def _batch(self, rows: Sequence[Sequence[float]]) -> Iterator[list[float]]:
        flat = array("f")
        for row in rows:
            flat.extend(row)
        values = self._numpy.frombuffer(flat, dtype=self._numpy.float32).reshape(len(rows), self.inputs)
        try:
            self._resize(len(rows))
            self._interpreter.set_tensor(self._input, values)
            self._interpreter.invoke()
            result = self._interpreter.get_tensor(self._output)
        except (ValueError, RuntimeError, TypeError, MemoryError) as error:
            self._rows = 0
            raise Rejected(RejectReason.WRONG_OUTPUT, _first_line(error)) from error
        if result.shape != (len(rows), self.outputs):
            raise Rejected(RejectReason.WRONG_OUTPUT, f"{len(rows)} rows gave an output of {result.shape}")
        found: list[list[float]] = result.tolist()
        return iter(found)

    def _resize(self, rows: int) -> None:
        if rows != self._rows:
            self._interpreter.resize_tensor_input(self._input, [rows, self.inputs])
            self._interpreter.allocate_tensors()
            self._rows = rows


def check_golden(interpreter: Interpreter, golden: Golden) -> None:
    """Run the golden vectors. Raises Rejected(WRONG_OUTPUT) when any output is off by more than tolerated."""
    for number, (found, wanted) in enumerate(
        zip(interpreter.run(golden.inputs), golden.outputs, strict=True)
    ):
        for value, other in zip(found, wanted, strict=True):
            # Written so that a value which is not a number fails too.
            if not (isfinite(value) and abs(value - other) <= golden.tolerance):
                raise Rejected(
                    RejectReason.WRONG_OUTPUT,
                    f"golden vector {number}: {value:.6g}, not {other:.6g} ± {golden.tolerance:g}",
                )


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
    if tensor["dtype"] is not kind or len(shape) != 2 or not 0 < shape[1] <= 4096:
        raise ValueError(f"{what} of shape {shape}, {tensor['dtype'].__name__}")
    return int(tensor["index"]), shape[1]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
