"""Eight-bit weights for a float32 model, by ai-edge-quantizer in a process of its own.

Weights only: inputs, sums and outputs stay float32, and the runtime turns the weights back before it uses
them. That needs no calibration and computes the same on every runtime, where eight-bit activations do not.

    python -m coordinator.training.quantize < float32.tflite > int8.tflite
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

from common.errors import Corrupt, TimedOut

PATIENCE_S: Final = 120.0
_MAX_BYTES: Final = 4 * 1024 * 1024


def quantize(model: bytes, patience_s: float = PATIENCE_S) -> bytes:
    """The model with int8 weights, without metadata. Raises Corrupt when the quantizer refuses, TimedOut.

    A process of its own, because a crash in the quantizer's native code would take the whole job along.
    It reads and writes pipes alone: when this process is killed it ends at the next read or write.
    """
    command = [sys.executable, "-m", "coordinator.training.quantize"]
    try:
        done = subprocess.run(command, input=model, capture_output=True, timeout=patience_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"the quantizer took longer than {patience_s:g} s") from error
    if done.returncode or not done.stdout:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise Corrupt(f"the quantizer failed ({done.returncode}): {last[0]}"[:300])
    return done.stdout


def main() -> None:
    """Read a model, write it with int8 weights."""
    # The quantizer prints to standard output, which is the model's alone.
    result = os.dup(1)
    os.dup2(2, 1)
    model = _weights_only(sys.stdin.buffer.read(_MAX_BYTES))
    with os.fdopen(result, "wb") as file:
        file.write(model)


def _weights_only(model: bytes) -> bytes:
    # Here, not above: `quantize` must not cost its caller these imports.
    from ai_edge_quantizer import quantizer, recipe

    worker = quantizer.Quantizer(model, recipe.weight_only_wi8_afp32())
    quantized = worker.quantize().quantized_model
    if quantized is None:
        raise RuntimeError("no model came out")
    return bytes(quantized)


if __name__ == "__main__":
    main()
