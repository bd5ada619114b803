"""How far one durable stream is stored, and what lies beyond the first hole. Pure.

Sequences count from 1. Only the part without holes is acknowledged; what arrives beyond a hole is kept as
ranges. The number of ranges is bounded, so that a gateway that skips about cannot fill the memory.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from typing import Final

from common.errors import Corrupt, Rejected, RejectReason

MAX_RANGES: Final = 256


class Position:
    """The stored sequences of one (gateway, epoch)."""

    def __init__(
        self, contiguous: int = 0, ahead: list[tuple[int, int]] | None = None, lost: int = 0
    ) -> None:
        self.contiguous = contiguous
        self.ahead = ahead or []
        self.lost = lost

    def take(self, sequence: int) -> bool:
        """Note a sequence as stored; False when it already was.

        Raises Rejected(OUT_OF_RANGE) when it would make one hole too many; the sender comes again with it.
        """
        if sequence <= self.contiguous:
            return False
        if sequence == self.contiguous + 1:
            self.contiguous = sequence
            self._join()
            return True
        return self._take_ahead(sequence)

    def skip_to(self, oldest: int) -> int:
        """The sender holds nothing below `oldest`: give up what is missing there and return how much."""
        if oldest <= self.contiguous + 1:
            return 0
        held = sum(min(last, oldest - 1) - first + 1 for first, last in self.ahead if first < oldest)
        missing = oldest - 1 - self.contiguous - held
        self.contiguous = oldest - 1
        self.lost += missing
        self.ahead = [(first, last) for first, last in self.ahead if last >= oldest]
        if self.ahead and self.ahead[0][0] <= oldest:
            self.contiguous = self.ahead.pop(0)[1]
        return missing

    def holes(self) -> list[tuple[int, int]]:
        """The missing ranges below the highest stored sequence, first and last included."""
        before = [self.contiguous] + [last for _, last in self.ahead]
        return [(end + 1, first - 1) for end, (first, _) in zip(before, self.ahead, strict=False)]

    def ahead_text(self) -> str:
        """The ranges beyond the first hole, for storage."""
        return json.dumps(self.ahead) if self.ahead else "[]"

    @classmethod
    def parse(cls, contiguous: int, ahead: str, lost: int) -> Position:
        """The inverse of `ahead_text`. Raises Corrupt."""
        try:
            ranges = [(int(first), int(last)) for first, last in json.loads(ahead)]
        except (ValueError, TypeError) as error:
            raise Corrupt(f"a stream's ranges are unreadable: {ahead[:80]!r}") from error
        return cls(contiguous, ranges, lost)

    def _take_ahead(self, sequence: int) -> bool:
        at = bisect_left(self.ahead, (sequence + 1, 0))
        before = self.ahead[at - 1] if at else None
        if before is not None and sequence <= before[1]:
            return False
        grows = before is not None and before[1] == sequence - 1
        first = before[0] if before is not None and grows else sequence
        touches = at < len(self.ahead) and self.ahead[at][0] == sequence + 1
        last = self.ahead[at][1] if touches else sequence
        if not grows and not touches and len(self.ahead) >= MAX_RANGES:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"more than {MAX_RANGES} holes before {sequence}")
        self.ahead[at - 1 if grows else at : at + 1 if touches else at] = [(first, last)]
        return True

    def _join(self) -> None:
        if self.ahead and self.ahead[0][0] == self.contiguous + 1:
            self.contiguous = self.ahead.pop(0)[1]
