"""Two machines' exchanges on a wire that tests may let lose, double and delay letters."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common.clock import SystemClock
from common.exchange.exchange import Exchange
from common.exchange.messages import Party
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.executor import Refused
from common.taskgraph.wire import TaskLimits, TaskRequest, TaskResult
from common.topics import Channel

SITE = "hall"
ASKER, HOST = Party(SITE, "gw-a"), Party(SITE, "gw-b")
LIMITS = TaskLimits(memory_bytes=64 << 20, cpu_s=10.0, wall_s=30.0, output_bytes=8 << 20)


@dataclass
class Doubling:
    """Runs a task by writing its input twice; as slow and as full as a test wants."""

    store: BlobStore
    name: str = HOST.name
    refusal: Refused | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: int = 0
    cancelled: int = 0

    def admit(self, request: TaskRequest, waiting: int) -> None:
        if self.refusal is not None:
            raise self.refusal

    async def run(self, request: TaskRequest) -> TaskResult:
        self.begun += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        outputs = {name: self.store.put(self.store.get(d) * 2) for name, d in request.inputs.items()}
        size = sum(self.store.size(digest) or 0 for digest in outputs.values())
        return TaskResult(
            job=request.job,
            task=request.task,
            attempt=request.attempt,
            machine=self.name,
            outputs=outputs,
            output_bytes=size,
            cpu_s=0.1,
            wall_s=0.1,
            energy_j=0.2,
        )


class Wire:
    """Carries letters between exchanges. `mangle` gives the letters that arrive for one that was sent."""

    def __init__(self) -> None:
        self.exchanges: dict[Party, Exchange] = {}
        self.mangle: Callable[[bytes], list[bytes]] = lambda payload: [payload]
        self.sent = 0
        self.bytes = 0
        self.cut = False

    def post_of(self, sender: Party) -> Callable[[Party, Channel, bytes], bool]:
        def post(to: Party, channel: Channel, payload: bytes) -> bool:
            assert len(payload) <= 64 * 1024
            self.sent += 1
            self.bytes += len(payload)
            if not self.cut and to in self.exchanges:
                for arriving in self.mangle(payload):
                    asyncio.get_running_loop().call_soon(self.exchanges[to].take, sender, channel, arriving)
            return True

        return post


@dataclass
class Machine:
    party: Party
    exchange: Exchange
    store: BlobStore
    runner: Doubling


@dataclass
class Pair:
    """An asker and a host, both running."""

    wire: Wire
    asker: Machine
    host: Machine
    live: bool = True

    async def run(self, request: TaskRequest) -> TaskResult:
        return await self.asker.exchange.asker.run(self.host.party, request, lambda: self.live)

    def request(self, data: bytes, task: str = "double", attempt: int = 1) -> TaskRequest:
        return TaskRequest(
            job="gw-a-1",
            task=task,
            attempt=attempt,
            kind="doubling",
            parameters={},
            inputs={"data": self.asker.store.put(data)},
            limits=LIMITS,
        )


def machine(folder: Path, wire: Wire, party: Party, life: str = "1") -> Machine:
    store = BlobStore(folder / f"{party.name}-{life}", 64 << 20)
    runner = Doubling(store, party.name)
    runner.gate.set()
    exchange = Exchange(runner, store, wire.post_of(party), SystemClock(), life)
    exchange.puller._ask_again = 0.1
    wire.exchanges[party] = exchange
    return Machine(party, exchange, store, runner)


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[Pair]:
    wire = Wire()
    made = Pair(wire, machine(folder, wire, ASKER), machine(folder, wire, HOST))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(m.exchange.run()) for m in (made.asker, made.host)]
        await asyncio.sleep(0)
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()


def losing(seed: int, share: float) -> Callable[[bytes], list[bytes]]:
    """Some letters are lost, some come twice."""
    chance = random.Random(seed)

    def mangle(payload: bytes) -> list[bytes]:
        return [payload] * chance.choices([0, 1, 2], [share, 1 - 2 * share, share])[0]

    return mangle
