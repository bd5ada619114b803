"""One task of a gateway, as a worker of the engine does it: in a process of its own below the worker,
confined and watched as on a gateway, wherever the worker runs. Everything comes and goes as bytes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from common.kinds.worker_process import Outcome, WorkerProcess
from common.taskgraph.wire import FailureReason, TaskRequest, TaskResult

Performed: TypeAlias = "tuple[bytes, dict[str, bytes]]"
"""A packed TaskResult without outputs, and the outputs by name."""


def perform(packed: bytes, inputs: Mapping[str, bytes], machine: str, watts: float) -> Performed:
    """Run the packed TaskRequest on `inputs`, its blobs by digest. What a task does wrong is in the result.

    Energy is modelled: CPU seconds times `watts`. Raises Unavailable where no process can be started.
    """
    return asyncio.run(_performed(TaskRequest.unpack(packed), inputs, machine, watts))


async def _performed(
    request: TaskRequest, inputs: Mapping[str, bytes], machine: str, watts: float
) -> Performed:
    with tempfile.TemporaryDirectory(prefix="mt-task-") as name:
        folder = Path(name)
        work = folder / "work"
        work.mkdir(mode=0o700)
        files = {}
        for key, digest in request.inputs.items():
            files[key] = (folder / digest, digest)
            files[key][0].write_bytes(inputs[digest])
        async with await WorkerProcess.start(work) as worker:
            outcome = await worker.ask(request.kind, request.parameters, files, request.limits)
            return _told(request, outcome, machine, watts)


def _told(request: TaskRequest, outcome: Outcome, machine: str, watts: float) -> Performed:
    if outcome.failure is not None:
        return _failed(request, outcome, machine, watts, *outcome.failure)
    outputs, left = {}, request.limits.output_bytes
    for name, (path, _) in outcome.outputs.items():
        data = _read(path, left)
        if data is None:
            text = f"outputs beyond {request.limits.output_bytes} bytes"
            return _failed(request, outcome, machine, watts, FailureReason.OUTPUT_SIZE, text)
        outputs[name] = data
        left -= len(data)
    result = TaskResult(
        job=request.job,
        task=request.task,
        attempt=request.attempt,
        machine=machine,
        output_bytes=request.limits.output_bytes - left,
        cpu_s=outcome.cpu_s,
        wall_s=outcome.wall_s,
        energy_j=outcome.cpu_s * watts,
    )
    return result.pack(), outputs


def _failed(
    request: TaskRequest, outcome: Outcome, machine: str, watts: float, reason: FailureReason, text: str
) -> Performed:
    result = TaskResult.failed(
        request,
        machine,
        reason,
        text,
        cpu_s=outcome.cpu_s,
        wall_s=outcome.wall_s,
        energy_j=outcome.cpu_s * watts,
    )
    return result.pack(), {}


def _read(path: Path, most: int) -> bytes | None:
    """What a task wrote; None when that is too much, or no plain file."""
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as file:
        data = file.read(most + 1)
    return data if len(data) <= most else None
