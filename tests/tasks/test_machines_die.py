"""Agents, broker and coordinator as processes: jobs run on all of them, and no death loses one."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.tasks.playing import SITE, TABLES, chain, is_done, submit, until
from tools.stage.fleet import Fleet

pytestmark = pytest.mark.broker

AGENTS = ("gw-1", "gw-2", "gw-3")
A_SECOND = 400_000
"""Rounds that take about that long."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a Unix socket's path has at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="mt-") as name:
        yield Path(name)


@pytest.fixture
async def fleet(folder: Path) -> AsyncIterator[Fleet]:
    async with Fleet(folder) as fleet:
        await fleet.start()
        for number, name in enumerate(AGENTS, 1):
            await fleet.add_agent(SITE, name, number, TABLES)
        yield fleet


async def heard(fleet: Fleet, gateway: str, *names: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        await fleet.ask_agent(gateway, "tasks-list")
        machines = (await fleet.ask_agent(gateway, "status"))["tasks"]["machines"]
        if set(names) <= machines.keys():
            return
        assert time.monotonic() < deadline, machines
        await asyncio.sleep(0.1)


async def test_a_job_is_spread_and_survives_peer_owner_and_coordinator(fleet: Fleet) -> None:
    await heard(fleet, "gw-1", "gw-2", "gw-3", "cloud")
    first = await submit(fleet, "gw-1", chain(6, A_SECOND, service="urgent"), "spread")
    shown = await until(fleet, "gw-1", first["job"], is_done)
    assert len(shown["machines"]) > 1, shown["machines"]

    # A peer, in the midst of a task.
    second = await submit(fleet, "gw-1", chain(6, A_SECOND, service="urgent"), "peer")
    running = await until(fleet, "gw-1", second["job"], lambda s: "gw-2" in s["running"])
    await fleet.agents["gw-2"].kill()
    assert running["state"] == "live"
    await until(fleet, "gw-1", second["job"], is_done)
    await fleet.agents["gw-2"].start()
    await heard(fleet, "gw-1", "gw-2")

    # The coordinator.
    third = await submit(fleet, "gw-1", chain(6, A_SECOND, service="urgent"), "cloud")
    await until(fleet, "gw-1", third["job"], lambda s: "cloud" in s["running"] or is_done(s))
    await fleet.coordinator.kill()
    await until(fleet, "gw-1", third["job"], is_done)

    # The owner, which comes back when its deputy is through.
    fourth = await submit(fleet, "gw-1", chain(4, A_SECOND, service="urgent"), "owner")
    await fleet.agents["gw-1"].kill()
    deadline = time.monotonic() + 60
    kept: list[str] = []
    while "handing" not in kept:
        accounts = [(await fleet.ask_agent(name, "status"))["tasks"] for name in ("gw-2", "gw-3")]
        kept = [job["state"] for account in accounts if account for job in account["kept_for_others"]]
        assert time.monotonic() < deadline, kept
        await asyncio.sleep(0.2)
    await fleet.agents["gw-1"].start()
    shown = await until(fleet, "gw-1", fourth["job"], is_done)
    assert "gw-1" not in shown["machines"]
    jobs = (await fleet.ask_agent("gw-1", "tasks-list"))["jobs"]
    assert sorted(job["job"] for job in jobs) == ["gw-1-cloud", "gw-1-owner", "gw-1-peer", "gw-1-spread"]
    assert {job["state"] for job in jobs} == {"done"}
