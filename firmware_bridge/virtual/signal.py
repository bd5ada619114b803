"""Signal strength as a simulated receiver reads it: the true level, as far as chips can tell.

What a receiver reads is off by its own constant error, and by small-scale fading of every packet, of which a
report gives the mean. That lost packets tend to be the weaker ones is left out.
"""

from __future__ import annotations

from math import sqrt
from random import Random
from typing import Final

RECEIVER_ERROR_DB: Final = 2.5
"""Standard deviation over receivers; data sheets promise ± 2 to 6 dB."""

PACKET_SPREAD_DB: Final = 3.0
"""Standard deviation over the packets of a link that stands still."""

WEAKEST_DBM: Final = -127
STRONGEST_DBM: Final = 20


class Signals:
    """What every receiver of a site reads."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = Random(f"signal {seed}")
        self._errors: dict[int, float] = {}

    def rssi_dbm(self, receiver: int, level_dbm: float, heard: int) -> int | None:
        """The mean over `heard` packets that came with this level on average; None when nothing was heard."""
        if heard <= 0:
            return None
        read = level_dbm + self._error(receiver) + self._random.gauss(0.0, PACKET_SPREAD_DB / sqrt(heard))
        return round(min(STRONGEST_DBM, max(WEAKEST_DBM, read)))

    def _error(self, receiver: int) -> float:
        error = self._errors.get(receiver)
        if error is None:
            drawn = Random(f"receiver {self._seed} {receiver}").gauss(0.0, RECEIVER_ERROR_DB)
            error = self._errors[receiver] = drawn
        return error
