"""Tombstones: what stands in the durable stream where an envelope had to be given up.

A tombstone covers a range of sequence numbers, so that a month without a coordinator stays small on disk;
it is told as one `dropped` envelope per sequence number. Pure: no file, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from common.messages import Dropped

MIXED: Final = "telemetry"
UNKNOWN: Final = "unknown"


class Cause(StrEnum):
    """Why envelopes were given up."""

    FULL = "outbox-full"
    CORRUPT = "corrupt"
    POWER_FAILURE = "power-failure"


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Sequences `first` to `last`, both included, with `rows` measurements in all."""

    first: int
    last: int
    kind: str
    rows: int
    cause: str
    time: float

    def joins(self, later: Tombstone) -> bool:
        """Whether `later` follows at once and for the same cause."""
        return self.last + 1 == later.first and self.cause == later.cause

    def joined(self, later: Tombstone) -> Tombstone:
        """One tombstone for both; its time is the earlier one's."""
        kind = self.kind if self.kind == later.kind else MIXED
        return Tombstone(self.first, later.last, kind, self.rows + later.rows, self.cause, self.time)

    def after(self, sequence: int) -> Tombstone | None:
        """What is left once everything up to `sequence` was told; None when nothing is."""
        if sequence >= self.last:
            return None
        if sequence < self.first:
            return self
        told = self._rows_until(sequence)
        return Tombstone(sequence + 1, self.last, self.kind, self.rows - told, self.cause, self.time)

    def body_of(self, sequence: int) -> Dropped:
        """The body of the `dropped` envelope for one of the covered sequences."""
        return Dropped(kind=self.kind[:32], rows=self._rows_of(sequence), reason=self.cause[:64])

    def _rows_of(self, sequence: int) -> int:
        """Rows are spread evenly, the remainder over the first ones, so that the told ones add up."""
        each, remainder = divmod(self.rows, self.last - self.first + 1)
        return each + (sequence - self.first < remainder)

    def _rows_until(self, sequence: int) -> int:
        each, remainder = divmod(self.rows, self.last - self.first + 1)
        count = sequence - self.first + 1
        return each * count + min(count, remainder)


def join(tombstones: list[Tombstone]) -> list[Tombstone]:
    """The same in as few tombstones as possible; sorted by sequence."""
    joined: list[Tombstone] = []
    for tombstone in sorted(tombstones, key=lambda t: t.first):
        if joined and joined[-1].joins(tombstone):
            joined[-1] = joined[-1].joined(tombstone)
        else:
            joined.append(tombstone)
    return joined
