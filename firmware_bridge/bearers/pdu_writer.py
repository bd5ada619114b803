"""Writes PDUs that come in pieces, whole and one after the other, whatever happens to those who wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from common.errors import MeshtwinError, Unavailable

WAITING: Final = 16
"""PDUs that wait at a time; further senders wait for room."""


@dataclass(slots=True, eq=False)
class _Job:
    pieces: list[bytes]
    done: asyncio.Future[None]


class PduWriter:
    """`run` does the writing; `send` waits for it. Ends with the connection: use a fresh one for the next."""

    def __init__(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._write = write
        self._room = asyncio.Semaphore(WAITING)
        self._jobs: deque[_Job] = deque()
        self._more = asyncio.Event()
        self._ended = False

    async def send(self, pieces: list[bytes]) -> None:
        """Return when all pieces are written. Raises Unavailable.

        A sender that is cancelled takes its PDU back, unless a piece is out already: then the rest follows,
        since a proxy hangs up on one who begins a PDU within another (6.3.2.2).
        """
        async with self._room:
            if self._ended:
                raise Unavailable("the connection has ended")
            job = _Job(pieces, asyncio.get_running_loop().create_future())
            self._jobs.append(job)
            self._more.set()
            try:
                await job.done
            finally:
                if job in self._jobs:
                    self._jobs.remove(job)

    async def run(self) -> NoReturn:
        """Write what is sent until cancelled or until `write` raises; all senders then get Unavailable."""
        reason: BaseException | None = None
        try:
            while True:
                await self._next()
        except MeshtwinError as error:
            reason = error
            raise
        finally:
            self._end(reason)

    async def _next(self) -> None:
        while not self._jobs:
            self._more.clear()
            await self._more.wait()
        job = self._jobs.popleft()
        try:
            for piece in job.pieces:
                await self._write(piece)
        except BaseException:
            self._jobs.appendleft(job)  # among those that `_end` tells
            raise
        if not job.done.done():
            job.done.set_result(None)

    def _end(self, reason: BaseException | None) -> None:
        self._ended = True
        for job in self._jobs:
            if not job.done.done():
                error = Unavailable("the connection has ended")
                error.__cause__ = reason
                job.done.set_exception(error)
        self._jobs.clear()
