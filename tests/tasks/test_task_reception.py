"""The service of tasks opens when it is wanted, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.clock import SystemClock
from common.errors import NotSupported, Unavailable
from common.messages import TaskLoad
from edge_agent.config import TasksSection
from edge_agent.share.inbox import Inbox
from edge_agent.tasks import reception
from edge_agent.tasks.job_store import JobState, JobStore
from edge_agent.tasks.reception import TaskReception, left_over
from edge_agent.tasks.service import TaskService
from tests.tasks.test_job_store import ROW

CLOSED = TaskLoad(slots=1)


async def nobody() -> None:
    """Nobody calls."""
    await asyncio.Event().wait()


def made(
    folder: Path, called: Callable[[], Awaitable[None]] | None = None, **more: Any
) -> tuple[TaskReception, list[TaskService]]:
    """A reception, and the services that it has made."""
    services: list[TaskService] = []

    def make() -> TaskService:
        services.append(
            TaskService(TasksSection(), "gw-1", folder, SystemClock(), lambda name, **fields: None)
        )
        return services[-1]

    found = TaskReception(more.get("make", make), lambda: left_over(folder), called or nobody, CLOSED)
    return found, services


async def test_it_opens_with_the_first_question(tmp_path: Path) -> None:
    found, services = made(tmp_path)
    running = asyncio.ensure_future(found.run())
    await asyncio.sleep(0.02)
    assert services == []
    assert found.load() == CLOSED
    assert found.summary() is None
    assert await found.questions()["tasks-list"]({}) == {"jobs": []}
    assert len(services) == 1
    assert found.summary() is not None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_it_opens_with_a_letter_that_is_not_lost(tmp_path: Path) -> None:
    letters: Inbox[str] = Inbox(4)
    found, services = made(tmp_path, letters.wait)
    running = asyncio.ensure_future(found.run())
    letters.put("an offer")
    async with asyncio.timeout(10):
        await found._ready.wait()
    assert len(services) == 1
    assert await letters.get() == "an offer"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_service_that_cannot_be_opened_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> TaskService:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(reception, "OPEN_S", 0.05)
    found, _ = made(tmp_path, make=fail)
    asked = asyncio.ensure_future(found.service())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await found.run()
    with pytest.raises(Unavailable, match="the disk is full"):
        await asked


async def test_where_tasks_are_switched_off_it_says_so() -> None:
    found = TaskReception(None, lambda: False, nobody, None)
    with pytest.raises(NotSupported, match=r"tasks\.enabled"):
        await found.questions()["tasks-list"]({})
    assert found.load() is None


def test_only_what_is_not_over_opens_it_by_itself(tmp_path: Path) -> None:
    assert not left_over(tmp_path)
    store = JobStore(tmp_path / "jobs.db")
    assert not left_over(tmp_path)
    store.add(ROW, b"{}")
    assert left_over(tmp_path)
    store.end(ROW.id, JobState.DONE, 1.0)
    assert not left_over(tmp_path)
    store.add(replace(ROW, id="gw-1-b"), b"{}")
    store.close()
    assert left_over(tmp_path)
    (tmp_path / "jobs.db").write_bytes(b"damaged" * 100)
    assert left_over(tmp_path)


def test_jobs_that_are_kept_for_others_open_it(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    assert not left_over(tmp_path)
    (tmp_path / "kept" / "gw-2-a").write_text("a job")
    assert left_over(tmp_path)
