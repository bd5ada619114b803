"""Runs tasks of gateways on the engine: admission, the way into the engine and back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Final

from common.errors import Corrupt, Rejected, Unavailable
from common.kinds import catalogue
from common.logs import get_logger
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.executor import MachineLost, Refusal, Refused
from common.taskgraph.wire import FailureReason, TaskLimits, TaskRequest, TaskResult
from common.topics import CLOUD
from coordinator.engine import Engine
from coordinator.engine.engine import JobTooLong, WorkerDied
from coordinator.tasks.work import Performed, perform

MAX_INPUT_BYTES: Final = 128 << 20
"""Of one task: they go through the engine in one piece."""

log = get_logger(__name__)


class CloudRunner:
    """The cloud as a host's runner. Belongs to the event loop."""

    name = CLOUD

    def __init__(self, engine: Engine, store: BlobStore, slots: int, most: TaskLimits, watts: float) -> None:
        """`most` cuts what tasks may take; `watts` is the active power of a busy core."""
        self._engine = engine
        self._store = store
        self.slots = slots
        self._most = most
        self.watts = watts
        self.running = 0
        self.done: Counter[str] = Counter()

    @property
    def most_waiting(self) -> int:
        """Tasks that may wait for a slot."""
        return 4 * self.slots

    @property
    def busy(self) -> int:
        """Slots in use, as far as this tells."""
        return min(self.running, self.slots)

    @property
    def memory_bytes(self) -> int:
        """The most that a task is allowed."""
        return self._most.memory_bytes

    def admit(self, request: TaskRequest, waiting: int) -> None:
        """Raise Refused if it would not be run now."""
        try:
            catalogue.find(request.kind)
        except Rejected as error:
            raise Refused(Refusal.KIND, error.detail) from error
        if request.limits.memory_bytes > self._most.memory_bytes:
            most = self._most.memory_bytes >> 20
            raise Refused(Refusal.LIMITS, f"a task may take {most} MiB here")
        if self.running + waiting >= self.slots + self.most_waiting:
            raise Refused(Refusal.QUEUE, f"{self.running + waiting} tasks run or wait already")

    async def run(self, request: TaskRequest) -> TaskResult:
        """As `Executor.run`."""
        self.running += 1
        try:
            result = await self._run(request)
        finally:
            self.running -= 1
        self.done[result.failure.reason if result.failure else "done"] += 1
        return result

    async def _run(self, request: TaskRequest) -> TaskResult:
        try:
            inputs = await asyncio.to_thread(self._inputs, request)
        except Corrupt as error:
            return TaskResult.failed(request, self.name, FailureReason.CORRUPT_INPUT, str(error))
        except Unavailable as error:
            return TaskResult.failed(request, self.name, FailureReason.MISSING_INPUT, str(error))
        cut = request.model_copy({"limits": self._cut(request.limits)})
        try:
            # A function of a module and bytes: fit for a cluster's workers, too.
            future = self._engine.submit(perform, cut.pack(), inputs, self.name, self.watts)
            return self._kept(request, await asyncio.wrap_future(future))
        except WorkerDied as error:
            raise MachineLost(f"a worker of the cloud died: {error}") from error
        except JobTooLong as error:
            return TaskResult.failed(request, self.name, FailureReason.WALL_TIME, str(error))
        except Unavailable as error:
            raise Refused(Refusal.QUEUE, f"the engine takes nothing: {error}") from error

    def _inputs(self, request: TaskRequest) -> Mapping[str, bytes]:
        """Raises Refused, Unavailable or Corrupt."""
        digests = set(request.inputs.values())
        size = sum(self._store.size(digest) or 0 for digest in digests)
        if size > MAX_INPUT_BYTES:
            raise Refused(Refusal.LIMITS, f"inputs of {size >> 20} MiB, at most {MAX_INPUT_BYTES >> 20}")
        return {digest: self._store.get(digest) for digest in digests}

    def _kept(self, request: TaskRequest, performed: Performed) -> TaskResult:
        """The result with its outputs in the store. A worker elsewhere may answer anything."""
        packed, outputs = performed
        try:
            result = TaskResult.unpack(packed)
        except Rejected as error:
            return TaskResult.failed(request, self.name, FailureReason.GARBAGE, error.detail)
        return result.model_copy({"outputs": {n: self._store.put(data) for n, data in outputs.items()}})

    def _cut(self, wanted: TaskLimits) -> TaskLimits:
        most = self._most
        return TaskLimits(
            memory_bytes=min(wanted.memory_bytes, most.memory_bytes),
            cpu_s=min(wanted.cpu_s, most.cpu_s),
            wall_s=min(wanted.wall_s, most.wall_s),
            output_bytes=min(wanted.output_bytes, most.output_bytes),
        )
