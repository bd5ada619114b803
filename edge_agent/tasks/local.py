"""Runs tasks on this machine: a few worker processes, kept warm for a while, each confined and watched.

A task that takes more than it may is ended and reported; the agent is not touched. A slot's worker serves
many tasks; one that failed, or has served its time, is replaced.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from common.clock import Clock
from common.errors import Rejected, Unavailable
from common.files import make_folder
from common.kinds.worker_process import Outcome, WorkerProcess
from common.taskgraph.blob_store import BlobStore, copy_plain
from common.taskgraph.executor import Load, Refusal, Refused, Tier
from common.taskgraph.wire import FailureReason, TaskLimits, TaskRequest, TaskResult
from edge_agent.tasks.admission import Ceilings, Machine, check_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RECYCLED_AFTER: Final = 200
"""Tasks: what native libraries leak goes with the process."""

IDLE_S: Final = 30.0
"""An idle worker keeps some tens of mebibytes; starting one takes a tenth of a second and more."""

START_S: Final = 0.3
"""What the first start of a worker is taken to take."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What this machine gives to tasks. Limits of a request beyond these are cut."""

    slots: int
    limits: TaskLimits
    watts: float = 1.5
    """Active power of one busy core, from which energy is modelled."""
    queue: int = 64
    """Requests that wait for a slot."""


@dataclass(slots=True)
class _Slot:
    number: int
    worker: WorkerProcess | None = None
    idle_since: float = 0.0


@dataclass(slots=True)
class Tally:
    """What was run, since the start."""

    done: int = 0
    failed: dict[str, int] = field(default_factory=dict)


class LocalExecutor:
    """This machine as an executor. Run `run_upkeep` beside it; `close` at the end."""

    tier = Tier.LOCAL

    def __init__(self, name: str, store: BlobStore, folder: Path, allowance: Allowance, clock: Clock) -> None:
        """`folder` is for the tasks' files, and emptied. Raises Misconfigured."""
        self.name = name
        self.tally = Tally()
        self.speed: Mapping[str, float] = {}
        """By kind, as `Load.speed`: whoever learns costs sets it."""
        self.machine: Callable[[], Machine] = Machine
        """How the gateway itself stands, tasks apart: whoever measures it sets it."""
        self.ceilings = Ceilings()
        self._store = store
        self._folder = folder
        self._allowance = allowance
        self._clock = clock
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        self._free = [_Slot(number) for number in range(allowance.slots)]
        self._vacant = asyncio.Semaphore(allowance.slots)
        self._waiting = 0
        self._closed = False
        self._starts: deque[float] = deque([START_S], maxlen=9)

    def load(self) -> Load:
        """See `Executor`."""
        allowance = self._allowance
        busy = allowance.slots - len(self._free)
        return Load(
            slots=0 if self._closed else allowance.slots,
            busy=busy,
            queued=self._waiting,
            speed=self.speed,
            start_s=median(self._starts) if self._is_cold() else 0.0,
            watts=allowance.watts,
            memory_bytes=allowance.limits.memory_bytes,
        )

    def admit(self, request: TaskRequest, waiting: int = 0) -> None:
        """Whether another gateway's task may come now, beside `waiting` that were let in before. Raises
        Refused."""
        most, load = self._allowance.limits.memory_bytes, self.load()
        wanted = request.limits.memory_bytes
        machine = replace(self.machine(), slots=load.slots, queued=load.queued + waiting)
        check_task(wanted, most, machine, self.ceilings)

    async def run(self, request: TaskRequest) -> TaskResult:
        """See `Executor`. Raises Refused: STOPPING, or QUEUE when too many wait already."""
        if self._closed:
            raise Refused(Refusal.STOPPING, "the agent is stopping")
        if self._waiting >= self._allowance.queue:
            raise Refused(Refusal.QUEUE, f"{self._waiting} tasks wait already")
        self._store.pin(request.inputs.values())
        try:
            async with self._slot() as slot:
                result = await self._run_in(slot, request)
        finally:
            self._store.unpin(request.inputs.values())
        self._count(result)
        return result

    async def run_upkeep(self) -> None:
        """End workers that have nothing to do, until cancelled."""
        while True:
            await self._clock.sleep(IDLE_S / 2)
            now = self._clock.monotonic()
            for slot in list(self._free):
                if slot.worker is not None and now - slot.idle_since >= IDLE_S and slot in self._free:
                    worker, slot.worker = slot.worker, None
                    await worker.end()

    async def close(self) -> None:
        """End every worker. Tasks that run are to be cancelled before."""
        self._closed = True
        for slot in self._free:
            if slot.worker is not None:
                worker, slot.worker = slot.worker, None
                await worker.end()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[_Slot]:
        self._waiting += 1
        try:
            await self._vacant.acquire()
        finally:
            self._waiting -= 1
        # A warm one first.
        slot = max(self._free, key=lambda slot: slot.worker is not None)
        self._free.remove(slot)
        try:
            yield slot
        finally:
            slot.idle_since = self._clock.monotonic()
            self._free.append(slot)
            self._vacant.release()

    async def _run_in(self, slot: _Slot, request: TaskRequest) -> TaskResult:
        folder = self._folder / str(slot.number)
        try:
            worker = slot.worker or await self._started(folder)
        except Unavailable as error:
            raise Refused(Refusal.MEMORY, str(error)) from error
        is_fresh, slot.worker, began = slot.worker is None, worker, self._clock.monotonic()
        inputs = {name: (self._store.path(digest), digest) for name, digest in request.inputs.items()}
        try:
            outcome = await worker.ask(request.kind, request.parameters, inputs, self._cut(request.limits))
            if is_fresh and outcome.failure is None:
                self._starts.append(max(0.0, self._clock.monotonic() - began - outcome.wall_s))
            result = await self._result(request, outcome)
        finally:
            if worker.spent or worker.served >= RECYCLED_AFTER:
                slot.worker = None
                await worker.end()
                shutil.rmtree(folder, ignore_errors=True)
            else:
                _emptied(folder)
        return result

    def _is_cold(self) -> bool:
        return bool(self._free) and not any(slot.worker for slot in self._free)

    async def _started(self, folder: Path) -> WorkerProcess:
        shutil.rmtree(folder, ignore_errors=True)
        return await WorkerProcess.start(make_folder(folder))

    async def _result(self, request: TaskRequest, outcome: Outcome) -> TaskResult:
        energy = outcome.cpu_s * self._allowance.watts
        if outcome.failure is not None:
            return TaskResult.failed(
                request,
                self.name,
                *self._blamed(request, outcome.failure),
                cpu_s=outcome.cpu_s,
                wall_s=outcome.wall_s,
                energy_j=energy,
            )
        outputs, size = {}, 0
        for name, (path, promised) in outcome.outputs.items():
            try:
                outputs[name], found = await self._kept(path, request.limits.output_bytes - size)
            except Rejected as error:
                reason = FailureReason.OUTPUT_SIZE if promised > 0 else FailureReason.GARBAGE
                return TaskResult.failed(request, self.name, reason, error.detail)
            size += found
        return TaskResult(
            job=request.job,
            task=request.task,
            attempt=request.attempt,
            machine=self.name,
            outputs=outputs,
            output_bytes=size,
            cpu_s=outcome.cpu_s,
            wall_s=outcome.wall_s,
            energy_j=energy,
        )

    async def _kept(self, path: Path, most: int) -> tuple[str, int]:
        """A copy in the store, made in a thread: a large output must not hold up the mesh's events."""
        part = self._store.begin()
        try:
            digest, size = await asyncio.to_thread(copy_plain, path, part, most)
            self._store.settle(part, digest)
        finally:
            self._store.abandon(part)
        return digest, size

    def _blamed(self, request: TaskRequest, failure: tuple[FailureReason, str]) -> tuple[FailureReason, str]:
        if failure[0] is FailureReason.CORRUPT_INPUT:
            for digest in request.inputs.values():
                # Whoever still holds it whole may send it again.
                self._store.verify(digest)
        return failure

    def _cut(self, wanted: TaskLimits) -> TaskLimits:
        most = self._allowance.limits
        return TaskLimits(
            memory_bytes=min(wanted.memory_bytes, most.memory_bytes),
            cpu_s=min(wanted.cpu_s, most.cpu_s),
            wall_s=min(wanted.wall_s, most.wall_s),
            output_bytes=min(wanted.output_bytes, most.output_bytes),
        )

    def _count(self, result: TaskResult) -> None:
        if result.failure is None:
            self.tally.done += 1
        else:
            reason = result.failure.reason
            self.tally.failed[reason] = self.tally.failed.get(reason, 0) + 1


def _emptied(folder: Path) -> None:
    """Remove what a task left, but not the folder that its worker stands in."""
    with suppress(OSError):
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
