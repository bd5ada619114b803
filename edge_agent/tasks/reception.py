"""Takes the operator's questions about tasks, and opens the service with the first of them, with the first
letter of a peer, or at the start when something was left over.

Most agents are never asked; what tasks need is not loaded before.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from common.errors import MeshtwinError, NotSupported, Unavailable
from common.messages import JobStanding, TaskLoad
from edge_agent.api import Question

if TYPE_CHECKING:
    from edge_agent.tasks.service import TaskService

QUESTIONS: Final = (
    "tasks-put",
    "tasks-submit",
    "tasks-list",
    "tasks-show",
    "tasks-follow",
    "tasks-cancel",
    "tasks-explain",
    "tasks-get",
    "tasks-kinds",
    "tasks-costs",
    "tasks-runs",
    "tasks-use-costs",
)


JOBS_FILE: Final = "jobs.db"
KEPT_FOLDER: Final = "kept"
OPEN_S: Final = 10.0
"""A service that cannot be opened is told of after so long; it is tried again by itself."""


class TaskReception:
    """`make` makes the service; None where tasks are switched off. `left_over` tells whether there is work
    from a former life, `called` returns when somebody else has work. Run `run()` in the supervisor."""

    def __init__(
        self,
        make: Callable[[], TaskService] | None,
        left_over: Callable[[], bool],
        called: Callable[[], Awaitable[None]],
        closed_load: TaskLoad | None,
    ) -> None:
        """`closed_load` is what others are told while nothing is open."""
        self._make = make
        self._left_over = left_over
        self._called = called
        self._closed_load = closed_load
        self._service: TaskService | None = None
        self._trouble = ""
        self._wanted = asyncio.Event()
        self._ready = asyncio.Event()

    @property
    def open(self) -> TaskService | None:
        """The service, where it is running."""
        return self._service

    def load(self) -> TaskLoad | None:
        """For the status; None where no tasks are run."""
        return self._closed_load if self._service is None else self._service.told_load()

    def jobs(self) -> list[JobStanding]:
        """The live jobs, for the status."""
        return [] if self._service is None else self._service.told_jobs()

    def summary(self) -> dict[str, Any] | None:
        """For `edge-agent status`; None while nothing is open."""
        return None if self._service is None else self._service.summary()

    def questions(self) -> dict[str, Question]:
        """For `api.LocalApi`."""
        return {name: partial(self._ask, name) for name in QUESTIONS}

    async def service(self) -> TaskService:
        """The service, once it runs. Raises NotSupported where tasks are switched off."""
        if self._make is None:
            raise NotSupported("tasks are switched off here (tasks.enabled)")
        self._wanted.set()
        try:
            async with asyncio.timeout(OPEN_S):
                await self._ready.wait()
        except TimeoutError as error:
            raise Unavailable(f"tasks cannot be run now: {self._trouble or 'still starting'}") from error
        assert self._service is not None
        return self._service

    async def run(self) -> None:
        """Run the service from when it is wanted until cancelled. Raises what it does; the next run makes a
        new one."""
        if self._make is None:
            await asyncio.Event().wait()
            return
        if not self._left_over():
            await self._needed()
        try:
            self._service = self._make()
            self._ready.set()
            await self._service.run()
        except MeshtwinError as error:
            self._trouble = str(error)
            raise
        finally:
            self._ready.clear()
            self._service = None
            # Whoever fails is wanted again: there may be jobs.
            self._wanted.set()

    async def _needed(self) -> None:
        """Return when the operator or a peer wants something."""
        waits = [asyncio.ensure_future(self._wanted.wait()), asyncio.ensure_future(self._called())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _ask(self, name: str, asked: dict[str, Any]) -> Any:
        service = await self.service()
        return await service.desk.questions()[name](asked)


def left_over(folder: Path) -> bool:
    """Whether `folder` holds jobs that are not over, or some that are kept for others. What cannot be read is
    for the service to look at."""
    path = folder / JOBS_FILE
    if not path.exists():
        return _holds(folder / KEPT_FOLDER)
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=1.0)) as database:
            live = database.execute("SELECT 1 FROM jobs WHERE state = 'live' LIMIT 1").fetchone()
    except sqlite3.Error:
        return True
    return live is not None or _holds(folder / KEPT_FOLDER)


def _holds(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return False
