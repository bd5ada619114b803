"""Signal strength as a simulated receiver reads it: what goes with the PDR of the link.

A link's PDR says how far its signal lies above the receiver's threshold: the curve of `radio`, turned
around. What a receiver then reads is off by its own constant error, and by small-scale fading of every
packet, of which a report gives the mean. That lost packets tend to be the weaker ones is left out.
"""

from __future__ import annotations

from math import sqrt
from random import Random
from typing import Final

from firmware_bridge.virtual.radio import Links

RECEIVER_ERROR_DB: Final = 2.5
"""Standard deviation over receivers; data sheets promise ± 2 to 6 dB."""

PACKET_SPREAD_DB: Final = 3.0
"""Standard deviation over the packets of a link that stands still."""

WEAKEST_DBM: Final = -127
STRONGEST_DBM: Final = 20


class Signals:
    """What every receiver of a site reads."""

    def __init__(self, links: Links, threshold_dbm: float, seed: int) -> None:
        """`threshold_dbm` is the signal at which half the packets are lost."""
        self._links = links
        self._threshold_dbm = threshold_dbm
        self._seed = seed
        self._random = Random(f"signal {seed}")
        self._errors: dict[int, float] = {}

    def rssi_dbm(self, transmitter: int, receiver: int, pdr: float, heard: int) -> int | None:
        """The mean over `heard` packets, when the link's mean PDR was `pdr`; None when nothing was heard."""
        if heard <= 0:
            return None
        level = self._threshold_dbm + self._links.margin_db(transmitter, receiver, pdr)
        read = level + self._error(receiver) + self._random.gauss(0.0, PACKET_SPREAD_DB / sqrt(heard))
        return round(min(STRONGEST_DBM, max(WEAKEST_DBM, read)))

    def _error(self, receiver: int) -> float:
        error = self._errors.get(receiver)
        if error is None:
            drawn = Random(f"receiver {self._seed} {receiver}").gauss(0.0, RECEIVER_ERROR_DB)
            error = self._errors[receiver] = drawn
        return error
