"""A site for tasks: three gateways, a MEC server, and a coordinator with two Dask workers, all processes of
their own, each with its part of a processor, and each to be killed."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, Final, Self

from common.errors import MeshtwinError, TimedOut
from common.messages import Configuration, Kind, NodeRecord, encode
from common.recording import Entry, Header, write
from coordinator.broker.process import free_port
from tools.stage.daemon import Daemon
from tools.stage.fleet import Fleet, program
from tools.stage.quotas import Quotas

SITE: Final = "works"
GATEWAYS: Final = ("gw-1", "gw-2", "gw-3")
MEC: Final = "mec-1"
WORKERS: Final = ("dask-1", "dask-2")
SHARES: Final = {
    "broker": 0.05,
    "coordinator": 0.12,
    "dask": 0.05,
    "gw-1": 0.26,
    "gw-2": 0.2,
    "gw-3": 0.14,
    "mec-1": 0.32,
    "dask-1": 0.2,
    "dask-2": 0.16,
}
"""Of a processor; one and a half in all."""

A_WEEK: Final = 7 * 86_400.0


def _tasks(watts: float, search: bool) -> dict[str, Any]:
    """That the host is busy says nothing here: it is all these machines together, each with its quota."""
    given = {"slots": 1, "watts": watts, "memory_mib": 256, "refuse_cpu_percent": 100.0}
    return given | {"search": search}


class TaskFleet(Fleet):
    """`async with TaskFleet(folder, quotas) as fleet`, then `await fleet.open()`."""

    def __init__(self, folder: Path, quotas: Quotas, search: bool = True) -> None:
        """`search` is how gateways plan, see `tasks.search` of their configuration."""
        super().__init__(folder)
        self._search = search
        self._quotas = quotas
        self._scheduler_port = free_port()
        self.workers: dict[str, Daemon] = {}

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        with (self.state / "coordinator.toml").open("a") as file:
            url = f"tcp://127.0.0.1:{self._scheduler_port}"
            file.write(f'\n[engine]\nurl = "{url}"\n\n[tasks]\nslots = {len(WORKERS)}\nwatts = 10.0\n')
        return self

    async def open(self) -> None:
        """Start everybody, and return when every gateway sees all machines."""
        await self._start_dask()
        await self.start()
        for number, name in enumerate(GATEWAYS, 1):
            await self.add_agent(SITE, name, number, self._tables(name, number))
        no_mesh: dict[str, dict[str, Any]] = {
            "mesh": {"link": "none"},
            "status": {"period_s": 1.0},
            "tasks": _tasks(4.0, self._search),
        }
        await self.add_agent(SITE, MEC, 9, no_mesh)
        for name in GATEWAYS:
            await self._sees_all(name)

    def mortals(self) -> dict[str, Daemon]:
        """Who may be killed."""
        return {**self.agents, **self.workers, "coordinator": self.coordinator}

    async def _start_dask(self) -> None:
        port = str(self._scheduler_port)
        local = ("--host", "127.0.0.1", "--no-dashboard")
        scheduler = self._dask("dask", "scheduler", *local, "--port", port, "--no-show")
        await scheduler.start()
        for name in WORKERS:
            words = ("worker", f"tcp://127.0.0.1:{port}", *local, "--nthreads", "1", "--memory-limit", "0")
            self.workers[name] = self._dask(name, *words, "--no-nanny", "--death-timeout", "60")
            await self.workers[name].start()

    def _dask(self, name: str, *words: str) -> Daemon:
        async def at_once() -> bool:
            return True

        made = self._started_within(name, [sys.executable, "-m", "dask", *words], at_once)
        self._stack.push_async_callback(made.stop)
        return made

    def _daemon(self, name: str, words: list[str], ready: Any) -> Daemon:
        made = self._started_within(name, program(*words), ready)
        self._stack.push_async_callback(made.stop)
        return made

    def _started_within(self, name: str, command: list[str], ready: Any) -> Daemon:
        environment = {"DASK_DISTRIBUTED__ADMIN__TICK__LIMIT": "60s"}
        log = self._logs / f"{name}.log"
        return Daemon(name, self._quotas.within(name, command), log, ready, environment)

    def _tables(self, name: str, address: int) -> dict[str, dict[str, Any]]:
        """A gateway whose mesh is a recording in which nothing happens: the work is what is measured."""
        recording, now = self.folder / f"{name}.recording", time.time()
        alone = Configuration(version=1, nodes=[NodeRecord(address=address, alive=True)])
        header = Header(site=SITE, gateway=name, address=address, t0=now, t1=now + A_WEEK)
        write(recording, header, [Entry(now, Kind.CONFIGURATION, encode(alone))])
        return {
            "mesh": {"link": "virtual", "recording": str(recording)},
            "status": {"period_s": 1.0},
            "tasks": _tasks(1.5, self._search),
        }

    async def _sees_all(self, gateway: str) -> None:
        wanted, deadline, seen = {*GATEWAYS, MEC, "cloud"} - {gateway}, time.monotonic() + 60, set[str]()
        while not wanted <= seen:
            if time.monotonic() > deadline:
                raise TimedOut(f"{gateway} sees {sorted(seen)} only")
            try:
                await self.ask_agent(gateway, "tasks-list")
                status = await self.ask_agent(gateway, "status")
                seen = set((status["tasks"] or {}).get("machines", ()))
            except MeshtwinError:
                pass
            await asyncio.sleep(0.2)
