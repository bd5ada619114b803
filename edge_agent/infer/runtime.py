"""Runs models, on whichever TFLite runtime is installed: rows of floats in, rows of floats out.

Importing this module is free; a runtime is loaded when the first model is.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Final, Protocol

from common.errors import NotSupported, Rejected, RejectReason
from common.models.metadata import Golden

BATCH: Final = 256
"""Rows that are run at once: bounds what a large site's inference takes of memory."""


class Runtime(Protocol):
    """A loaded model with one input and one output, both [rows, values] of float32."""

    inputs: int
    outputs: int

    def run(self, values: array[float], rows: int) -> array[float]:
        """`rows` times `inputs` values in, `rows` times `outputs` out. Raises Rejected(WRONG_OUTPUT)."""


Loader = Callable[[bytes], Runtime]


def load_runtime(model: bytes) -> Runtime:
    """A model in the lightest runtime there is.

    Raises NotSupported when there is none, Rejected(MALFORMED) for what the runtime refuses.
    """
    from edge_agent.infer.litert import LiteRt

    try:
        return LiteRt(model)
    except NotSupported:
        from edge_agent.infer.numpy_runtime import NumpyRuntime

        return NumpyRuntime(model)


class Interpreter:
    """A model and its runtime. Not for two threads at once.

    Raises as `load_runtime` does. A hostile model can crash the process: load it in one that may die first.
    """

    def __init__(self, model: bytes, loader: Loader = load_runtime) -> None:
        self._runtime = loader(model)
        self.inputs, self.outputs = self._runtime.inputs, self._runtime.outputs

    def run(self, rows: Sequence[Sequence[float]]) -> list[list[float]]:
        """One output row for each input row, however many.

        Raises Rejected: INVALID for rows of another length than the model's input, WRONG_OUTPUT when the
        model cannot be run on them.
        """
        if any(len(row) != self.inputs for row in rows):
            raise Rejected(RejectReason.INVALID, f"the model takes rows of {self.inputs} values")
        outputs: list[list[float]] = []
        for start in range(0, len(rows), BATCH):
            outputs += self._batch(rows[start : start + BATCH])
        return outputs

    def _batch(self, rows: Sequence[Sequence[float]]) -> list[list[float]]:
        values = array("f")
        for row in rows:
            values.extend(row)
        found, width = self._runtime.run(values, len(rows)), self.outputs
        return [found[start : start + width].tolist() for start in range(0, len(found), width)]


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
