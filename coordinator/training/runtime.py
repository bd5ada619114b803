"""Running a `.tflite` model as a gateway would: for evaluation, and for the check of what was written."""

from __future__ import annotations

from typing import Final

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from common.errors import Corrupt

_BATCH: Final = 32_768

Matrix = NDArray[np.float32]


class Model:
    """A loaded model: [N, inputs] to [N, outputs], float32."""

    def __init__(self, model: bytes) -> None:
        """Load it. Raises Corrupt for what LiteRT refuses."""
        # Without the default delegate the kernels are the plain ones, and loading prints nothing.
        resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            self._interpreter = Interpreter(
                model_content=model, num_threads=1, experimental_op_resolver_type=resolver
            )
            self._input = self._interpreter.get_input_details()[0]["index"]
            self._output = self._interpreter.get_output_details()[0]["index"]
        except (ValueError, RuntimeError, IndexError) as error:
            raise Corrupt(f"LiteRT cannot load the model: {error}"[:300]) from error

    def __call__(self, inputs: Matrix) -> Matrix:
        """Raises Corrupt when the model does not fit the rows or fails on them."""
        parts = [self._run(inputs[at : at + _BATCH]) for at in range(0, len(inputs), _BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)

    def _run(self, rows: Matrix) -> Matrix:
        try:
            self._interpreter.resize_tensor_input(self._input, rows.shape)
            self._interpreter.allocate_tensors()
            self._interpreter.set_tensor(self._input, np.ascontiguousarray(rows, np.float32))
            self._interpreter.invoke()
            output: Matrix = self._interpreter.get_tensor(self._output)
        except (ValueError, RuntimeError) as error:
            raise Corrupt(f"the model cannot run: {error}"[:300]) from error
        return output
