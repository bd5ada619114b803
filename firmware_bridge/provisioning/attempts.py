"""How often an authentication value may be guessed: after each wrong guess the pause doubles (5.4.4).

A value of one digit would else be found in seconds.
"""

from __future__ import annotations

from typing import Final

from common.errors import Rejected, RejectReason

FREE: Final = 3
"""Wrong guesses without a pause: people mistype."""
FIRST_PAUSE_S: Final = 30.0
LONGEST_PAUSE_S: Final = 24 * 3600.0


class Attempts:
    """The wrong guesses at one device. Times are monotonic seconds."""

    __slots__ = ("_until", "wrong")

    def __init__(self) -> None:
        self.wrong = 0
        self._until = float("-inf")

    def check(self, now: float) -> None:
        """Raises Rejected(EXPIRED) while there is a pause."""
        if now < self._until:
            left = self._until - now
            raise Rejected(RejectReason.EXPIRED, f"too many wrong values; try again in {left:.0f} s")

    def failed(self, now: float) -> None:
        """A guess was wrong."""
        self.wrong += 1
        if self.wrong >= FREE:
            # Bounded before the power: a counter may run for years.
            doubled = FIRST_PAUSE_S * 2.0 ** min(20, self.wrong - FREE)
            self._until = now + min(LONGEST_PAUSE_S, doubled)

    def passed(self) -> None:
        """The value was right."""
        self.wrong = 0
        self._until = float("-inf")
