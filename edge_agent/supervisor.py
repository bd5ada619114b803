"""Owns the agent's tasks: starts the parts, restarts optional ones, ends with an essential one, and shuts
down in bounded time. Also what a daemon needs around that: the single-instance lock and the signals.

Knows nothing of what the parts do.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.clock import Clock
from common.errors import MeshtwinError, Misconfigured, Unavailable
from common.logs import get_logger
from common.tasks import uncancelled

RESTART_FIRST_S: Final = 1.0
RESTART_LAST_S: Final = 60.0
# A part that ran this long was healthy: its next failure is a first one again.
HEALTHY_S: Final = 60.0
GRACE_S: Final = 5.0
ABORT_CODE: Final = 70

Part = Callable[[], Awaitable[None]]
_log = get_logger(__name__)


class PartFailed(MeshtwinError):
    """An essential part ended, with what ended it as the cause; the process has to go too."""

    def __init__(self, name: str, error: BaseException | None) -> None:
        super().__init__(f"{name} {'ended' if error is None else f'failed: {error}'}")
        self.name = name


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    part: Part
    essential: bool


class Supervisor:
    """Runs parts until `stop()` or until an essential one ends.

    `abort` is called when parts do not end although they were asked twice; it must not return to a normal
    life, as their tasks cannot be got rid of.
    """

    def __init__(self, clock: Clock, abort: Callable[[], None] = lambda: os._exit(ABORT_CODE)) -> None:
        self._clock = clock
        self._abort = abort
        self._members: list[_Member] = []
        self._stopping = asyncio.Event()
        self._failure: PartFailed | None = None
        self.restarts: dict[str, int] = {}
        self.on_stop: Callable[[], None] = lambda: None
        """Called when the end was asked for or has become inevitable."""

    def essential(self, name: str, part: Part) -> None:
        """Add a part without which the process makes no sense."""
        self._members.append(_Member(name, part, essential=True))

    def optional(self, name: str, part: Part) -> None:
        """Add a part that is started again when it fails, after ever longer pauses."""
        self._members.append(_Member(name, part, essential=False))

    def stop(self) -> None:
        """Ask for the end; `run` returns once every part has ended."""
        if not self._stopping.is_set():
            self._stopping.set()
            self.on_stop()

    async def run(self) -> None:
        """Run every part. Returns after `stop`; raises PartFailed when an essential part ended."""
        async with asyncio.TaskGroup() as owner:
            tasks = {
                owner.create_task(self._keep(member), name=member.name): member for member in self._members
            }
            owner.create_task(self._end_with(set(tasks)), name="supervisor")
        if self._failure is not None:
            raise self._failure

    async def _keep(self, member: _Member) -> None:
        if member.essential:
            await self._run_essential(member)
        else:
            await self._run_optional(member)

    async def _run_essential(self, member: _Member) -> None:
        cause: Exception | None = None
        try:
            await member.part()
        except Exception as error:
            # Every error of an essential part has the same consequence; which one is logged and kept.
            cause = error
            # What the operator has to mend is told as such, at the end too; a trace is for our own mistakes.
            expected = isinstance(error, Misconfigured)
            (_log.error if expected else _log.exception)("part-failed", part=member.name, reason=error)
        if not self._stopping.is_set():
            self._failure = PartFailed(member.name, cause)
            self._failure.__cause__ = cause
            self.stop()

    async def _run_optional(self, member: _Member) -> None:
        pause = RESTART_FIRST_S
        while True:
            begun = self._clock.monotonic()
            try:
                with uncancelled():
                    await member.part()
            except Exception as error:
                # No error of an optional part ends the agent: it is logged, and the part is started again.
                expected = isinstance(error, MeshtwinError)
                (_log.error if expected else _log.exception)("part-failed", part=member.name, reason=error)
            else:
                _log.warning("part-ended", part=member.name)
            if self._clock.monotonic() - begun >= HEALTHY_S:
                pause = RESTART_FIRST_S
            self.restarts[member.name] = self.restarts.get(member.name, 0) + 1
            await self._clock.sleep(pause)
            pause = min(RESTART_LAST_S, pause * 2)

    async def _end_with(self, tasks: set[asyncio.Task[None]]) -> None:
        """Wait for the end, ask, wait, name the stragglers, ask again, give up."""
        await self._stopping.wait()
        for _ in range(2):
            for task in tasks:
                task.cancel()
            tasks = await self._await_end(tasks)
            if not tasks:
                return
            _log.error("part-does-not-end", parts=", ".join(sorted(task.get_name() for task in tasks)))
        self._abort()

    async def _await_end(self, tasks: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        """Those that still run when the grace is over."""
        async with asyncio.TaskGroup() as owner:
            grace = owner.create_task(self._clock.sleep(GRACE_S))
            running = {task for task in tasks if not task.done()}
            while running and not grace.done():
                await asyncio.wait({*running, grace}, return_when=asyncio.FIRST_COMPLETED)
                running = {task for task in running if not task.done()}
            grace.cancel()
        return running


@contextmanager
def stopped_by_signals(supervisor: Supervisor) -> Iterator[None]:
    """SIGTERM and SIGINT ask for the end; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    asked: list[signal.Signals] = []

    def ask(number: signal.Signals) -> None:
        if asked:
            os._exit(128 + number)
        asked.append(number)
        _log.info("stopping", signal=number.name)
        supervisor.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@contextmanager
def single_instance(state_dir: Path) -> Iterator[None]:
    """Hold the lock of a state folder. Raises Unavailable while another agent holds it, and Misconfigured
    where it cannot be made."""
    path = state_dir / "agent.lock"
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be written: {error.strerror}", "correct gateway.state_dir or its owner"
        ) from error
    try:
        _lock(descriptor, path)
        # The lock alone keeps others out; the number is for people, and a full disk may refuse it.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise Unavailable(
            f"another agent runs already: process {holder[:20]} uses {path.parent}\n"
            "  fix: stop it, or give this one its own gateway.state_dir"
        ) from error
