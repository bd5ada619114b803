"""Sequence numbers that are never used twice, whatever happens to the process (3.9.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from common.errors import Unavailable
from firmware_bridge.stack.network import MAX_SEQUENCE

BLOCK: Final = 256
"""Numbers reserved at once. A crash wastes at most so many of 16.7 million."""

UPDATE_FROM: Final = 0xC0_0000
"""At three quarters of the numbers an IV update is called for (3.11.5): at two messages a second, after 72
days."""


class SequenceNumbers:
    """The numbers of one element's messages, in order (3.9.3).

    `reserve(limit)` has to make durable that every number below `limit` may have been used, before it
    returns; a later run begins there. It may raise: then no number is given.
    """

    def __init__(self, begin: int, reserve: Callable[[int], None], block: int = BLOCK) -> None:
        self._next = begin
        self._limit = begin
        self._reserve = reserve
        self._block = block

    @property
    def next(self) -> int:
        """The number that `take` would give (3.9.3)."""
        return self._next

    @property
    def limit(self) -> int:
        """Where a later run would begin (3.9.3)."""
        return self._limit

    @property
    def wants_update(self) -> bool:
        """Whether the numbers are running out, and an IV update should begin (3.11.5)."""
        return self._next >= UPDATE_FROM

    def take(self, count: int = 1) -> int:
        """The first of `count` fresh numbers in a row (3.9.3, 3.11.5). Raises Unavailable when they have run
        out: only the next IV index helps."""
        first = self._next
        if first + count - 1 > MAX_SEQUENCE:
            raise Unavailable(
                "the sequence numbers of this IV index are used up; an IV update must come first"
            )
        if first + count > self._limit:
            limit = min(MAX_SEQUENCE + 1, first + max(count, self._block))
            self._reserve(limit)
            self._limit = limit
        self._next = first + count
        return first

    def restart(self) -> None:
        """Begin at 0 for a new IV index. The holder makes the new index durable before (3.11.5)."""
        self._next = self._limit = 0
