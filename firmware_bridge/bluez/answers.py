"""Matching answers to questions: who waits for which opcode from whom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Answers that one waiter may leave unread; the oldest goes first. Repeated questions bring as many answers.
_WAITING_ANSWERS: Final = 8


class Inbox:
    """Payloads for one waiter, in order of arrival."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_ANSWERS)

    def put(self, payload: bytes) -> None:
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(payload)

    async def get(self) -> bytes:
        return await self._queue.get()


class Answers:
    """All that is waited for on one link."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, int], list[Inbox]] = {}

    @contextmanager
    def expect(self, source: int, opcode: int) -> Iterator[Inbox]:
        """Collect messages with this opcode from this node while the context lasts."""
        inbox = Inbox()
        waiters = self._waiting.setdefault((source, opcode), [])
        waiters.append(inbox)
        try:
            yield inbox
        finally:
            waiters.remove(inbox)
            if not waiters:
                self._waiting.pop((source, opcode), None)

    def offer(self, source: int, opcode: int, payload: bytes) -> bool:
        """Give a message to everyone who waits for it; False if nobody does."""
        waiters = self._waiting.get((source, opcode), ())
        for inbox in waiters:
            inbox.put(payload)
        return bool(waiters)
