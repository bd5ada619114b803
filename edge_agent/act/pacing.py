"""How fast a network is asked for round trips that somebody wants counted.

Each question and each answer is a flood, and a relay passes a few tens of messages a second. Whoever asks as
fast as answers come fills the relays' queues; then messages outlive the caches that keep them from going
round, and the network does not come back by itself. So there is a least interval, and answers that are late,
or do not come, lengthen it: the delay says that queues are filling before anything is lost (Brakmo and
Peterson, TCP Vegas, 1995).
"""

from __future__ import annotations

from typing import Final

from common.clock import Clock

LEAST_S: Final = 0.125
"""Sixteen messages a second: less than half of what a relay passes on that sends each twice."""
MOST_S: Final = 2.0
LONGER: Final = 1.25
SHORTER: Final = 0.95
"""Such that a network which loses up to a sixth of its messages all the time is still asked at full pace."""
SLOW: Final = 3.0
ALLOWED_S: Final = 0.1


class Pace:
    """The interval between two questions to a network, in seconds. Ask after `turn()`; say what came of it in
    `answered`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due = 0.0
        self._least: dict[int, float] = {}
        self.interval_s = LEAST_S

    async def turn(self) -> None:
        """Wait for the next question's time; of several who wait each has a time of its own."""
        now = self._clock.monotonic()
        mine = max(now, self._due)
        self._due = mine + self.interval_s
        if mine > now:
            await self._clock.sleep(mine - now)

    def answered(self, address: int, seconds: float | None) -> None:
        """A round trip took so long; None when no answer came."""
        if seconds is None or seconds > SLOW * self._usual(address, seconds) + ALLOWED_S:
            self.interval_s = min(MOST_S, self.interval_s * LONGER)
        else:
            self.interval_s = max(LEAST_S, self.interval_s * SHORTER)

    def _usual(self, address: int, seconds: float) -> float:
        least = self._least[address] = min(seconds, self._least.get(address, seconds))
        return least
