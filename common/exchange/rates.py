"""How fast blobs travel between this machine and others, and how long an answer takes. Pure.

Rates are medians of the last transfers that were long enough to measure; latencies of the last answers.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from common.averages import median
from common.exchange.messages import Party

LAST: Final = 9
MEASURABLE_BYTES: Final = 48 * 1024
"""Shorter ones measure the latency."""
MAX_PARTIES: Final = 1024


class _Way:
    def __init__(self) -> None:
        self.down: deque[float] = deque(maxlen=LAST)
        self.up: deque[float] = deque(maxlen=LAST)
        self.trips: deque[float] = deque(maxlen=LAST)


class Rates:
    """Bits per second and seconds, by machine."""

    def __init__(self) -> None:
        self._ways: dict[Party, _Way] = {}

    def received(self, party: Party, size: int, seconds: float) -> None:
        """A blob of `size` bytes came from `party` within `seconds`."""
        if size >= MEASURABLE_BYTES:
            self._of(party).down.append(size * 8 / max(seconds, 1e-4))

    def sent(self, party: Party, size: int, seconds: float) -> None:
        """A blob of `size` bytes went to `party` within `seconds`."""
        if size >= MEASURABLE_BYTES:
            self._of(party).up.append(size * 8 / max(seconds, 1e-4))

    def answered(self, party: Party, seconds: float) -> None:
        """`party` answered a letter after `seconds`."""
        self._of(party).trips.append(seconds)

    def down_bps(self, party: Party) -> float:
        """From `party` to here; infinite while unknown."""
        return _median(self._ways.get(party, _Way()).down, math.inf)

    def up_bps(self, party: Party) -> float:
        """From here to `party`; infinite while unknown."""
        return _median(self._ways.get(party, _Way()).up, math.inf)

    def latency_s(self, party: Party) -> float:
        """From a letter to its answer, halved; 0 while unknown."""
        return _median(self._ways.get(party, _Way()).trips, 0.0) / 2

    def _of(self, party: Party) -> _Way:
        way = self._ways.pop(party, None) or _Way()
        self._ways[party] = way
        while len(self._ways) > MAX_PARTIES:
            del self._ways[next(iter(self._ways))]
        return way


def _median(values: deque[float], otherwise: float) -> float:
    return median(list(values)) if values else otherwise
