"""Runs a bundle in whatever Python this is: `python -m tests.models.running BUNDLE`, rows as JSON on standard
input, and what came out as JSON on standard output. Needs nothing of the tests' environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edge_agent.infer.model_forecaster import prepare

if __name__ == "__main__":
    model = prepare(Path(sys.argv[1]).read_bytes())
    outputs = model.interpreter.run(json.load(sys.stdin))
    runtimes = [name for name in ("ai_edge_litert", "tflite_runtime") if name in sys.modules]
    print(json.dumps({"outputs": outputs, "runtimes": runtimes}))
