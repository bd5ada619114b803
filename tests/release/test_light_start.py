"""What trains models is loaded by the job that trains, and by nobody else."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"jax", "jaxlib", "optax", "ai_edge_litert", "ai_edge_quantizer", "flatbuffers"}


def test_a_coordinator_starts_without_what_only_training_needs() -> None:
    code = "import sys, coordinator.app; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & {*done.stdout.split()}
