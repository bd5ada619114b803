"""Matching answers to questions: who waits for which opcode from whom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from common.errors import MeshtwinError

# Answers that one waiter may leave unread; the oldest goes first. Repeated questions bring as many answers.
_WAITING_ANSWERS: Final = 8


class Inbox:
    """Payloads for one waiter, in order of arrival."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | MeshtwinError] = asyncio.Queue(_WAITING_ANSWERS)

    def put(self, answer: bytes | MeshtwinError) -> None:
        """Add an answer, or the reason why none can come."""
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(answer)

    def empty(self) -> bool:
        """Whether nothing came yet, or all was read."""
        return self._queue.empty()

    async def get(self) -> bytes:
        """The next answer. Raises what `Answers.fail` was given."""
        answer = await self._queue.get()
        if isinstance(answer, MeshtwinError):
            raise answer
        return answer


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
            if not waiters and self._waiting.get((source, opcode)) is waiters:
                del self._waiting[(source, opcode)]

    def offer_all(self, source: int, opcode: int, payload: bytes) -> bool:
        """Give a message to everyone who waits for it; False if nobody does. For answers that state what
        is, whatever was asked."""
        waiters = self._waiting.get((source, opcode), ())
        for inbox in waiters:
            inbox.put(payload)
        return bool(waiters)

    def offer_first(self, source: int, opcode: int, payload: bytes) -> bool:
        """Give a message to the one who waits longest; False if nobody does."""
        waiters = self._waiting.get((source, opcode), ())
        for inbox in waiters:
            if inbox.empty():
                inbox.put(payload)
                return True
        return bool(waiters)

    def fail(self, reason: MeshtwinError) -> None:
        """Tell everyone who waits that no answer can come any more."""
        for waiters in self._waiting.values():
            for inbox in waiters:
                inbox.put(reason)
