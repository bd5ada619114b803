"""Who waits for which answer: questions under way, and the answers that end them."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from common.clock import Clock
from common.errors import TimedOut, Unavailable
from common.mesh.addresses import show


class Answer(NamedTuple):
    """What an answer is known by."""

    source: int
    opcode: int
    device_key: bool = False


class Answers:
    """Futures of the answers that somebody waits for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[Answer, list[asyncio.Future[Any]]] = {}

    async def wait_for(self, answer: Answer, timeout: float) -> bytes:
        """The payload of an answer. Raises TimedOut after `timeout` seconds, Unavailable after `fail`."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(answer, []).append(future)
        limit: asyncio.Future[Any] = asyncio.ensure_future(self._clock.sleep(timeout))
        try:
            await asyncio.wait({future, limit}, return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                raise TimedOut(f"node {show(answer.source)} did not answer within {timeout:g} s")
            payload: bytes = future.result()
            return payload
        finally:
            limit.cancel()
            self._forget(answer, future)

    def came(self, answer: Answer, payload: bytes) -> bool:
        """Hand over an answer; whether anybody waited for it.

        A Config status states what is, and so answers all who asked; any other answers them in turn.
        """
        waiting = [future for future in self._waiting.get(answer, ()) if not future.done()]
        for future in waiting if answer.device_key else waiting[:1]:
            future.set_result(payload)
        return bool(waiting)

    def fail(self, why: str) -> None:
        """Nobody will be answered: the link is gone."""
        for waiting in self._waiting.values():
            for future in waiting:
                if not future.done():
                    future.set_exception(Unavailable(why))

    def _forget(self, answer: Answer, future: asyncio.Future[Any]) -> None:
        waiting = self._waiting[answer]
        waiting.remove(future)
        if future.done() and not future.cancelled():
            future.exception()  # seen: a wait that was cancelled meanwhile leaves no complaint
        if not waiting:
            del self._waiting[answer]
