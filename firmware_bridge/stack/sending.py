"""The sending side of one segmented message (3.5.3.3): which segments are due, and when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from firmware_bridge.stack.lower import Segment, SegmentAck, full_block
from firmware_bridge.stack.sar import SarTransmitter


class Outcome(Enum):
    """How the sending of a segmented message ended (3.5.3.3)."""

    SENT = auto()
    """Acknowledged; or, to a group, sent as often as is to be."""
    REFUSED = auto()
    """The receiver answered that it cannot take it."""
    UNANSWERED = auto()


class SegmentedSending:
    """One segmented message on its way (3.5.3.3). Each segment that `due` gives needs a fresh sequence
    number."""

    def __init__(
        self, segments: Sequence[Segment], unicast: bool, ttl: int, settings: SarTransmitter, now: float
    ) -> None:
        self._segments = segments
        self._unicast = unicast
        self._settings = settings
        self._patience_s = settings.patience_s(ttl) if unicast else settings.multicast_interval_s
        self._left = settings.unicast_repetitions if unicast else settings.multicast_repetitions
        self._left_without_progress = settings.unicast_repetitions_without_progress
        self._acknowledged = 0
        self._queue = list(range(len(segments)))
        self._next_at: float | None = now
        self.outcome: Outcome | None = None
        self.seq_zero = segments[0].seq_zero

    @property
    def next_time(self) -> float | None:
        """When `due` has something to do next (3.5.3.3); None when it is over."""
        return self._next_at

    def due(self, now: float) -> list[Segment]:
        """The segments to send now (3.5.3.3)."""
        if self.outcome is not None or self._next_at is None or now < self._next_at:
            return []
        if not self._queue and not self._repeat():
            return []
        segment = self._segments[self._queue.pop(0)]
        self._next_at = now + (self._settings.segment_interval_s if self._queue else self._patience_s)
        return [segment]

    def abandon(self) -> None:
        """End without an answer (3.5.3.3): its sequence numbers are no longer good."""
        if self.outcome is None:
            self._end(Outcome.UNANSWERED)

    def acknowledge(self, ack: SegmentAck, now: float) -> None:
        """Take in an acknowledgement of this message (3.5.3.3); foreign and outdated ones are ignored."""
        if self.outcome is not None or not self._unicast or ack.seq_zero != self.seq_zero:
            return
        everything = full_block(self._segments[0].last)
        if ack.block == 0:
            self._end(Outcome.REFUSED)
        elif (ack.block | self._acknowledged) & everything == everything:
            # Also in several parts: what was acknowledged once is not sent again (3.5.3.3).
            self._end(Outcome.SENT)
        else:
            self._progress(ack.block & everything, now)

    def _progress(self, block: int, now: float) -> None:
        if block & ~self._acknowledged:
            self._left_without_progress = self._settings.unicast_repetitions_without_progress
        self._acknowledged |= block
        if self._queue:
            self._queue = [i for i in self._queue if not self._acknowledged >> i & 1]
        if not self._queue and self._may_repeat:
            # What is missing goes out at once: the receiver waits for nothing else (3.5.3.3). After the last
            # time the timer goes on instead: one more acknowledgement may come.
            self._next_at = now

    @property
    def _may_repeat(self) -> bool:
        return self._left > 0 and (not self._unicast or self._left_without_progress > 0)

    def _repeat(self) -> bool:
        """Queue what was not acknowledged once more; False when that was tried often enough."""
        if not self._may_repeat:
            self._end(Outcome.UNANSWERED if self._unicast else Outcome.SENT)
            return False
        self._left -= 1
        self._left_without_progress -= 1
        self._queue = [i for i in range(len(self._segments)) if not self._acknowledged >> i & 1]
        return True

    def _end(self, outcome: Outcome) -> None:
        self.outcome, self._next_at, self._queue = outcome, None, []
