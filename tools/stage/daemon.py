"""One child process: started, killed, started again; its output in a log file."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from common.errors import TimedOut, Unavailable

READY_WITHIN_S = 30.0
STOP_WITHIN_S = 10.0
POLL_S = 0.02


# Whatever becomes of the stage, even SIGKILL: its processes do not outlive it. Debian's setpriv is essential.
_SETPRIV = shutil.which("setpriv")
_TIED = [_SETPRIV, "--pdeathsig", "KILL"] if _SETPRIV else []


class Daemon:
    """A process that should run. `ready` tells when it does its work."""

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        ready: Callable[[], Awaitable[bool]],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._command = command
        self._log = log
        self._ready = ready
        self._environment = {**os.environ, **(environment or {})}
        self._process: Process | None = None

    @property
    def runs(self) -> bool:
        """Whether its process is there, ready or not."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Its process id. Raises Unavailable when it is not running."""
        if self._process is None or self._process.returncode is not None:
            raise Unavailable(f"{self.name} is not running")
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises TimedOut or Unavailable, with its last log lines."""
        await self.spawn()
        await self.until_ready()

    async def spawn(self) -> None:
        """Start it, without waiting for more than that its process exists."""
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *_TIED,
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
            )

    async def until_ready(self) -> None:
        """Wait until it is ready. Raises TimedOut or Unavailable, with its last log lines."""
        process = self._process
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                while not await self._ready():
                    if process is None or process.returncode is not None:
                        raise Unavailable(f"{self.name} ended at its start:\n{self.last_lines()}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise TimedOut(f"{self.name} was not ready in time:\n{self.last_lines()}") from error

    async def kill(self) -> None:
        """SIGKILL: no goodbye, no flush."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when that is not enough."""
        await self._end(signal.SIGTERM)

    def last_lines(self, count: int = 12) -> str:
        """The end of its log."""
        try:
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-count:])
        except OSError:
            return ""

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(how)
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
