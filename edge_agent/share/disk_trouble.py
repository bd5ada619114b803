"""A disk that refuses to be written: since when, why, and when to try it again. Pure."""

from __future__ import annotations

from typing import Final

RETRY_FIRST_S: Final = 1.0
RETRY_LAST_S: Final = 30.0


class DiskTrouble:
    """True while the disk refuses. Times are monotonic seconds; pauses grow until it takes a write again."""

    def __init__(self) -> None:
        self.reason = ""
        self.try_at = 0.0
        self._since = 0.0
        self._pause = 0.0

    def __bool__(self) -> bool:
        return self._pause > 0.0

    def refused(self, reason: str, now: float) -> bool:
        """The disk refused, once more; true when it is the first time."""
        first = not self
        if first:
            self._since = now
        self.reason = reason
        self._pause = min(RETRY_LAST_S, self._pause * 2 or RETRY_FIRST_S)
        self.try_at = now + self._pause
        return first

    def is_due(self, now: float) -> bool:
        """Whether it is worth another try."""
        return now >= self.try_at

    def over(self, now: float) -> float:
        """The disk takes writes again; how long it refused, in seconds."""
        lasted = now - self._since if self else 0.0
        self.reason, self.try_at, self._pause = "", 0.0, 0.0
        return lasted
