"""Gateways of one site at a real broker, all in this process: each with its line, its peers, its exchange and
its own worker processes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

from common.clock import SystemClock
from common.exchange.exchange import Exchange
from common.kinds import catalogue
from common.messages import Status, TaskLoad
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.executor import Refusal, Refused
from common.taskgraph.wire import TaskLimits, TaskRequest, TaskResult
from edge_agent.observe.uplink import UplinkMeter
from edge_agent.share.mqtt import BrokerLine
from edge_agent.share.outbox import Outbox
from edge_agent.share.peers import SitePeers
from edge_agent.tasks.exchange import LetterPost, serve
from edge_agent.tasks.local import Allowance, LocalExecutor
from edge_agent.tasks.remote import RemoteExecutor, Remotes
from tests.agent.gateway import SITE, endpoint

MOST = TaskLimits(memory_bytes=1 << 30, cpu_s=60.0, wall_s=120.0, output_bytes=32 << 20)
DEADLINE_S = 30.0


async def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S:.0f} s"
        await asyncio.sleep(0.01)


class Machine:
    """A gateway that runs tasks of others and gives its own away."""

    def __init__(
        self,
        state: Path,
        port: int,
        name: str,
        folder: Path,
        outbox: Outbox,
        tier: Literal["gateway", "mec"] = "gateway",
    ) -> None:
        clock = SystemClock()
        self.name = name
        self.tier: Literal["gateway", "mec"] = tier
        self.store = BlobStore(folder / f"{name}-blobs", 256 << 20)
        allowance = Allowance(slots=1, limits=MOST, watts=2.0)
        self.local = LocalExecutor(name, self.store, folder / f"{name}-work", allowance, clock)
        meter = UplinkMeter()
        self.line = BrokerLine(
            endpoint(state, port, name),
            SITE,
            outbox,
            self.status,
            0.2,
            clock,
            meter,
            random.Random(1),
            tier,
        )
        self.peers = SitePeers(SITE, name, self.line, clock)
        self.exchange = Exchange(self, self.store, LetterPost(self.line, SITE, name), clock, "life")
        self.exchange.host.on_change = self.line.publish_soon
        self.remotes = Remotes(SITE, self.peers, self.exchange.asker, self.exchange.rates, clock)

    def admit(self, request: TaskRequest, waiting: int) -> None:
        if request.kind not in catalogue.every():
            raise Refused(Refusal.KIND, request.kind)

    async def run(self, request: TaskRequest) -> TaskResult:
        return await self.local.run(request)

    def status(self) -> Status:
        load = self.local.load()
        return Status(
            site=SITE,
            gateway=self.name,
            time=time.time(),
            online=True,
            period_s=0.2,
            tier=self.tier,
            tasks=TaskLoad(slots=load.slots, busy=load.busy, queued=load.queued, watts=load.watts),
        )

    async def executor(self, name: str) -> RemoteExecutor:
        """The machine `name`, as soon as its status is heard."""
        await eventually(lambda: any(e.name == name for e in self.remotes.executors()), f"{name} is heard")
        return next(e for e in self.remotes.executors() if e.name == name)


@asynccontextmanager
async def site(state: Path, port: int, folder: Path, *names: str) -> AsyncIterator[list[Machine]]:
    """The machines of these names, all running; one whose name begins with `mec` is a MEC server."""
    async with AsyncExitStack() as stack:
        machines = []
        for name in names:
            outbox = await stack.enter_async_context(Outbox(folder / f"{name}.db", SystemClock()))
            tier: Literal["gateway", "mec"] = "mec" if name.startswith("mec") else "gateway"
            machines.append(Machine(state, port, name, folder, outbox, tier))
        async with asyncio.TaskGroup() as owner:
            tasks = [
                owner.create_task(part)
                for machine in machines
                for part in (
                    machine.line.run(),
                    machine.peers.run(),
                    serve(machine.line, SITE, machine.exchange),
                )
            ]
            try:
                yield machines
            finally:
                for task in tasks:
                    task.cancel()
        for machine in machines:
            await machine.local.close()
