"""The errand that tries a bundle before the agent itself loads it: a hostile file can crash, hang or bloat
the runtime, and costs no more than this process."""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path
from typing import Any, Final

from common.errors import Rejected, RejectReason
from common.messages import validate
from common.models.container import check_content
from edge_agent import errand
from edge_agent.infer.model_forecaster import prepare
from edge_agent.models.request import TRIAL_PATIENCE_S, TrialRequest
from edge_agent.models.store import read_bundle

CPU_S: Final = 30
MEMORY_BYTES: Final = 2 << 30
"""Of address space: numpy and LiteRT map half a GiB, a bundle needs next to nothing."""


def attempt(document: dict[str, Any]) -> dict[str, Any]:
    """Check the content, the schema and the golden vectors.

    Raises Rejected as `check_content` and `prepare` do, Corrupt when the file cannot be read, and
    NotSupported without a runtime.
    """
    request = validate(TrialRequest, document)
    content = read_bundle(Path(request.path))
    check_content(content, request.reference)
    try:
        metadata = prepare(content).metadata
    except MemoryError as error:
        raise Rejected(RejectReason.OVERSIZED, "the model needs too much memory") from error
    called = (metadata.name, metadata.version)
    if called != (request.reference.name, request.reference.version):
        raise Rejected(RejectReason.ALTERED, f"it calls itself {called[0]} {called[1]}")
    return {"precision": metadata.precision}


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # It ends also when the agent that would have ended it is gone.
    signal.alarm(int(2 * TRIAL_PATIENCE_S))


if __name__ == "__main__":
    _limit()
    sys.exit(errand.serve(attempt))
