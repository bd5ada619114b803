"""Gateways that keep jobs for each other, on the wire of `wired`, with jobs that stand still unless told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.clock import SystemClock
from common.exchange.exchange import Exchange
from common.exchange.messages import (
    Forget,
    HandOver,
    Keep,
    Kept,
    Letter,
    Party,
    TakenOver,
)
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.wire import TaskResult
from edge_agent.tasks.deputy import Deputy
from edge_agent.tasks.replica import Replica, owner_of
from edge_agent.tasks.replica_owner import ReplicaOwner
from tests.exchange.wired import SITE, Wire, machine


@dataclass
class JobsOnPaper:
    """Jobs that a test moves on by hand. One implementation of `Jobs`; the gateway's desk is the other."""

    name: str
    jobs: dict[str, Replica] = field(default_factory=dict)
    withdrawn: list[str] = field(default_factory=list)
    delivered: list[tuple[str, str]] = field(default_factory=list)
    """(job, task) for every result that became part of an own job."""

    def own(self) -> Iterable[str]:
        return [j for j, r in self.jobs.items() if owner_of(j) == self.name and r.state == "live"]

    def state(self, job: str) -> str | None:
        return self.jobs[job].state if job in self.jobs else None

    def replica(self, job: str) -> Replica | None:
        return self.jobs.get(job)

    def adopt(self, found: Replica, owner: str) -> None:
        self.jobs.setdefault(found.job, found)

    def merge(self, found: Replica) -> None:
        known = self.jobs.get(found.job) or replace(found, results={}, state="live")
        self.delivered += [(found.job, task) for task in found.results if task not in known.results]
        state = found.state if known.state == "live" else known.state
        self.jobs[found.job] = replace(
            known,
            results={**found.results, **known.results},
            blobs={**known.blobs, **found.blobs},
            state=state,
        )

    def withdraw(self, job: str) -> None:
        self.withdrawn.append(job)
        self.jobs.pop(job, None)

    def finish(self, job: str, result: TaskResult, size: int) -> None:
        held = self.jobs[job]
        blobs = {**held.blobs, **dict.fromkeys(result.outputs.values(), size)}
        self.jobs[job] = replace(
            held, results={**held.results, result.task: result}, blobs=blobs, state="done"
        )


class Gateway:
    """One gateway's keeping side. `live` is what it believes of the others."""

    def __init__(self, folder: Path, wire: Wire, name: str, live: set[str], life: str = "1") -> None:
        self.party = Party(SITE, name)
        made = machine(folder, wire, self.party, life)
        self.exchange: Exchange = made.exchange
        self.store: BlobStore = made.store
        self.jobs = JobsOnPaper(name)
        self.attached: float | None = 60.0
        self.live = live
        clock = SystemClock()
        self.owner = ReplicaOwner(
            self.party, self.store, self.exchange, self.jobs, lambda: self.live - {name}, clock
        )
        self.deputy = Deputy(
            self.party,
            folder / f"{name}-kept",
            self.store,
            self.exchange,
            self.jobs,
            lambda: self.live,
            lambda: self.attached,
            clock,
        )
        self.exchange.others = self._take

    def _take(self, party: Party, letter: Letter) -> None:
        match letter:
            case Keep():
                self.deputy.keep(party, letter)
            case Forget():
                self.deputy.forget(party, letter)
            case TakenOver():
                self.deputy.taken_over(party, letter)
            case Kept():
                self.owner.kept(party, letter)
            case HandOver():
                self.owner.hand_over(party, letter)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Gateway]:
        async with asyncio.TaskGroup() as group:
            parts = (self.exchange.run(), self.owner.run(), self.deputy.run())
            tasks = [group.create_task(part) for part in parts]
            await asyncio.sleep(0)
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()
