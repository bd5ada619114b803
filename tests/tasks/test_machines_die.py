"""Agents, broker and coordinator as processes: jobs run on all of them, and no death loses one."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.tasks.playing import SITE, TABLES, WITHIN_S, chain, is_done, submit, until
from tools.stage.fleet import Fleet

pytestmark = pytest.mark.broker

AGENTS = ("gw-1", "gw-2", "gw-3")
ROUNDS = 800_000
"""Half a second of work, or a second."""


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


async def caught(fleet: Fleet, machine: str, name: str) -> str:
    """A job of gw-1 of which `machine` has a task now. It may take some: who gets one is the planner's."""
    for number in range(8):
        job = str((await submit(fleet, "gw-1", chain(5, ROUNDS, service="urgent"), f"{name}{number}"))["job"])
        shown = await until(
            fleet, "gw-1", job, lambda s: machine in s.get("running", {}) or is_done(s), every_s=0.02
        )
        if machine in shown.get("running", {}):
            return job
    raise AssertionError(f"{machine} never got a task")


async def test_a_peer_that_is_killed_with_a_task_costs_a_run_elsewhere(fleet: Fleet) -> None:
    await heard(fleet, "gw-1", "gw-2", "gw-3", "cloud")
    job = await caught(fleet, "gw-2", "peer")
    await fleet.agents["gw-2"].kill()
    shown = await until(fleet, "gw-1", job, is_done)
    assert {row["state"] for row in shown["task_rows"]} == {"done"}
    assert (await fleet.ask_agent("gw-1", "status"))["tasks"]["reruns"] >= 1

    # The coordinator: whatever it had is run by the others.
    job = str((await submit(fleet, "gw-1", chain(5, ROUNDS, service="urgent"), "cloud"))["job"])
    await fleet.coordinator.kill()
    shown = await until(fleet, "gw-1", job, is_done)
    assert sum(shown["machines"].values()) == 6


async def test_the_deputy_finishes_the_job_of_an_owner_that_is_killed(fleet: Fleet) -> None:
    await heard(fleet, "gw-1", "gw-2", "gw-3")
    told = await submit(fleet, "gw-1", chain(4, ROUNDS, service="urgent"), "owner")
    assert told["deputy"] in ("gw-2", "gw-3")
    await fleet.agents["gw-1"].kill()
    deadline, kept = time.monotonic() + WITHIN_S, list[str]()
    while "handing" not in kept:
        account = (await fleet.ask_agent(told["deputy"], "status"))["tasks"]
        kept = [job["state"] for job in account["kept_for_others"]]
        assert time.monotonic() < deadline, account
        await asyncio.sleep(0.2)
    # Until it is handed over, it is looked at where it was done, with its results.
    (listed,) = (await fleet.ask_agent(told["deputy"], "tasks-list"))["jobs"]
    assert (listed["job"], listed["state"], listed["adopted_from"]) == (told["job"], "done", "gw-1")
    rows = (await fleet.ask_agent(told["deputy"], "tasks-show", job=told["job"]))["task_rows"]
    assert all(output["here"] for row in rows for output in row["outputs"].values())
    await fleet.agents["gw-1"].start()
    shown = await until(fleet, "gw-1", told["job"], is_done)
    assert sum(shown["machines"].values()) == 5
    jobs = (await fleet.ask_agent("gw-1", "tasks-list"))["jobs"]
    assert [(job["job"], job["state"]) for job in jobs] == [(told["job"], "done")]
    assert (await fleet.ask_agent("gw-1", "status"))["tasks"]["taken_over"] == 1
