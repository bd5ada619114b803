"""Kind `infer`: a TFLite model over a batch of rows, with whichever runtime is installed.

Values are bare and little-endian, of the types that the model's own tensors have.
"""

from __future__ import annotations

import json
import os
from importlib import import_module
from typing import Any, Final

from common.errors import NotSupported, Rejected, RejectReason
from common.kinds.built_in import InferenceParameters
from common.kinds.kind import Blobs

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402 - after the variable that numpy reads

RUNTIMES: Final = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
_WRONG: Final = (ValueError, RuntimeError, TypeError, IndexError, KeyError)


def infer(given: InferenceParameters, inputs: Blobs) -> Blobs:
    """One output row for each input row.

    Raises Rejected: MALFORMED (no model, or not with one input and one output), INVALID (the data do not
    divide into rows), WRONG_OUTPUT (the model cannot be run on them). Raises NotSupported.
    """
    model = Model(inputs["model"], given.threads)
    rows, rest = divmod(len(inputs["data"]), model.row_bytes)
    if rest or not rows:
        raise Rejected(RejectReason.INVALID, f"the model takes rows of {model.row_bytes} bytes")
    data = np.frombuffer(inputs["data"], model.kind).reshape(rows, *model.shape)
    parts = [model.run(data[start : start + given.batch]) for start in range(0, rows, given.batch)]
    outputs = np.concatenate(parts)
    report = {"rows": rows, "shape": list(outputs.shape), "type": outputs.dtype.name}
    return {"outputs": outputs.tobytes(), "report": json.dumps(report).encode()}


class Model:
    """A loaded model with one input and one output, the first axis of which is the batch."""

    def __init__(self, content: bytes, threads: int = 1) -> None:
        runtime = _runtime()
        try:
            self._interpreter: Any = runtime.Interpreter(model_content=content, num_threads=threads)
            (given,) = self._interpreter.get_input_details()
            (made,) = self._interpreter.get_output_details()
            self._input, self._output = given["index"], made["index"]
            self.kind: Any = np.dtype(given["dtype"])
            self.shape = tuple(int(size) for size in given["shape"][1:])
        except _WRONG as error:
            raise Rejected(RejectReason.MALFORMED, f"model: {_first_line(error)}") from error
        self.row_bytes = max(1, int(np.prod(self.shape)) * self.kind.itemsize)

    def run(self, rows: Any) -> Any:
        """An array of rows in, one of rows out. Raises Rejected(WRONG_OUTPUT)."""
        try:
            self._interpreter.resize_tensor_input(self._input, [len(rows), *self.shape])
            self._interpreter.allocate_tensors()
            self._interpreter.set_tensor(self._input, rows)
            self._interpreter.invoke()
            found = self._interpreter.get_tensor(self._output)
        except _WRONG as error:
            raise Rejected(RejectReason.WRONG_OUTPUT, _first_line(error)) from error
        if found.ndim < 1 or found.shape[0] != len(rows):
            raise Rejected(RejectReason.WRONG_OUTPUT, f"{len(rows)} rows gave an output of {found.shape}")
        return found


def _runtime() -> Any:
    for name in RUNTIMES:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise NotSupported("no TFLite runtime is installed; install meshtwin[edge]")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
