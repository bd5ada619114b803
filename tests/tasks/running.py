"""A runner of jobs with everything that it needs below one folder, and machines that do as they are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from common.clock import SystemClock
from common.kinds import catalogue
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.executor import Executor, Load, Tier
from common.taskgraph.wire import TaskLimits, TaskRequest, TaskResult
from edge_agent.tasks.costs import Costs
from edge_agent.tasks.job_store import JobRow, JobState, open_store
from edge_agent.tasks.local import Allowance, LocalExecutor
from edge_agent.tasks.runner import Runner

LIMITS = TaskLimits(memory_bytes=256 << 20, cpu_s=20.0, wall_s=60.0, output_bytes=8 << 20)
DEADLINE_S = 30.0


class Told:
    """An executor whose every run is answered by `answer`: a stand-in for machines that die, refuse or
    dawdle just when a test wants them to. What it returns are results with outputs in the store."""

    def __init__(
        self, name: str, tier: Tier, store: BlobStore, answer: Callable[[TaskRequest], Any], slots: int = 2
    ) -> None:
        self.name = name
        self.tier = tier
        self.slots = slots
        self.memory_bytes = 1 << 62
        self.asked: list[TaskRequest] = []
        self._store = store
        self._answer = answer
        self._busy = 0

    def load(self) -> Load:
        # Faster than the gateway, so that plans prefer it.
        return Load(self.slots, self._busy, speed={"": 0.1}, memory_bytes=self.memory_bytes)

    async def run(self, request: TaskRequest) -> TaskResult:
        self.asked.append(request)
        self._busy += 1
        try:
            answer = self._answer(request)
            if asyncio.iscoroutine(answer):
                answer = await answer
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, TaskResult):
                return answer
            return self.done(request)
        finally:
            self._busy -= 1

    def done(self, request: TaskRequest) -> TaskResult:
        names = catalogue.find(request.kind).outputs
        outputs = {name: self._store.put(f"{request.task} {name}".encode()) for name in names}
        return TaskResult(
            job=request.job,
            task=request.task,
            attempt=request.attempt,
            machine=self.name,
            outputs=outputs,
            output_bytes=10,
            cpu_s=0.01,
            wall_s=0.01,
            energy_j=0.01,
        )


class Site:
    """One gateway's runner, between `started` and its death."""

    def __init__(self, folder: Path, others: Sequence[Executor] = (), slots: int = 2) -> None:
        clock = SystemClock()
        self.blobs = BlobStore(folder / "blobs", 64 << 20)
        self.store, self.damaged = open_store(folder / "jobs.db")
        self.local = LocalExecutor("gw-1", self.blobs, folder / "work", Allowance(slots, LIMITS), clock)
        self.others = list(others)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.costs = Costs()
        self.runner = Runner(
            self.store,
            self.blobs,
            lambda: [self.local, *self.others],
            self.costs,
            catalogue.find,
            LIMITS,
            clock,
            announce=lambda name, **fields: self.events.append((name, fields)),
        )

    async def submit(self, token: str, *tasks: dict[str, Any], **more: Any) -> JobRow:
        document = {"name": token, "tasks": list(tasks), **more}
        return await self.runner.submit(f"gw-1-{token}", json.dumps(document).encode())

    async def ended(self, token: str) -> JobRow:
        """The job once it is over."""
        async with asyncio.timeout(DEADLINE_S):
            while (row := self.row(token)).state is JobState.LIVE:
                held = self.runner.jobs.get(row.id)
                if held is None:
                    await asyncio.sleep(0.01)
                else:
                    await held.changed.wait()
        return row

    def row(self, token: str) -> JobRow:
        row = self.store.row(f"gw-1-{token}")
        assert row is not None
        return row


@asynccontextmanager
async def started(site: Site) -> AsyncIterator[Site]:
    """Run it; the workers end with it."""
    running = asyncio.ensure_future(site.runner.run())
    try:
        yield site
        assert not running.done() or running.result() is None
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await site.local.close()
        site.store.close()


def measured(name: str, *after: str, rounds: int = 200, **more: Any) -> dict[str, Any]:
    return {"id": name, "kind": "measure", "parameters": {"rounds": rounds}, "after": list(after), **more}
