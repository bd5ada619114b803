"""Which part of the stream may be on its way: a bounded window after what the coordinator has stored.

Pure. A connection begins with a few envelopes, since the coordinator may not listen (it may have lost the
broker as well); its first acknowledgement opens the window. One that does not come within its time sends
the same few again, each time after a longer wait: an absent coordinator costs little, and its return is
noticed soon.
"""

from __future__ import annotations

from typing import Final

FULL: Final = 256
CAUTIOUS: Final = 8
FIRST_TIMEOUT_S: Final = 1.0
OPEN_TIMEOUT_S: Final = 5.0
LAST_TIMEOUT_S: Final = 10.0


class Window:
    """Positions are sequences of the outbox; `now` is monotonic seconds."""

    def __init__(self) -> None:
        self.sent_to = 0
        self.resends = 0
        self._limit = CAUTIOUS
        self._timeout = FIRST_TIMEOUT_S
        self._deadline = 0.0

    def begin(self, acked: int, now: float) -> None:
        """A connection stands, or the stream began anew: everything unacknowledged has to go again."""
        self.sent_to = acked
        self._limit = CAUTIOUS
        self._timeout = FIRST_TIMEOUT_S
        self._deadline = now + self._timeout

    def room(self, acked: int) -> int:
        """How many more may be sent."""
        return max(0, self._limit - (self.sent_to - acked))

    def sent(self, sequence: int, acked: int, now: float) -> None:
        """Everything up to `sequence` is on its way."""
        if self.sent_to <= acked:
            self._deadline = now + self._timeout
        self.sent_to = sequence

    def progressed(self, acked: int, now: float) -> None:
        """The coordinator stored more."""
        self.sent_to = max(self.sent_to, acked)
        self._limit = FULL
        self._timeout = OPEN_TIMEOUT_S
        self._deadline = now + self._timeout

    def overdue_at(self, acked: int) -> float | None:
        """When an acknowledgement will be overdue; None while none is due."""
        return self._deadline if self.sent_to > acked else None

    @property
    def is_patient(self) -> bool:
        """Whether the waits have reached their longest: the coordinator has been silent for a while."""
        return self._timeout >= LAST_TIMEOUT_S

    def rewind_if_overdue(self, acked: int, now: float) -> bool:
        """Go back to the first unacknowledged one when its time is over; True when that happened."""
        if self.sent_to <= acked or now < self._deadline:
            return False
        self.resends += 1
        self.sent_to = acked
        self._limit = CAUTIOUS
        self._timeout = min(LAST_TIMEOUT_S, self._timeout * 2)
        self._deadline = now + self._timeout
        return True
