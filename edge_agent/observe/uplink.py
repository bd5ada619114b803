"""How good the way to the broker is: round trip and loss of acknowledged publications, and reconnects.

Pure bookkeeping in monotonic seconds; `share.mqtt` feeds it and also asks it whether the broker still lives.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from common.averages import median

WINDOW: Final = 60


@dataclass(frozen=True, slots=True)
class UplinkMetrics:
    """Over the last publications. NaN while nothing is known. `rtt_ms` is the median."""

    rtt_ms: float
    loss: float
    reconnects: int


class UplinkMeter:
    """Publications on their way and what became of the last ones."""

    def __init__(self) -> None:
        self._outstanding: dict[int, tuple[float, int]] = {}
        self._round_trips: deque[float | None] = deque(maxlen=WINDOW)
        self._heard = 0.0
        self._connections = 0
        self.outstanding_bytes = 0

    @property
    def outstanding(self) -> int:
        """Publications without an acknowledgement yet."""
        return len(self._outstanding)

    def connected(self, now: float) -> None:
        """A connection stands."""
        self._connections += 1
        self._heard = now

    def sent(self, mid: int, size: int, now: float) -> None:
        """Publication `mid` of `size` bytes was given to the connection."""
        if not self._outstanding:
            self._heard = now
        self._outstanding[mid] = (now, size)
        self.outstanding_bytes += size

    def acknowledged(self, mid: int, now: float) -> None:
        """The broker confirmed `mid`; one that was never sent is ignored."""
        self._heard = now
        if (found := self._outstanding.pop(mid, None)) is not None:
            self._round_trips.append(now - found[0])
            self.outstanding_bytes -= found[1]

    def heard(self, now: float) -> None:
        """Anything else came in."""
        self._heard = now

    def disconnected(self) -> None:
        """The connection ended: what is on its way counts as lost, up to half a window."""
        self._round_trips.extend([None] * min(len(self._outstanding), WINDOW // 2))
        self._outstanding.clear()
        self.outstanding_bytes = 0

    def silent_for(self, now: float) -> float:
        """For how long nothing came back although something should have; 0 while nothing is due."""
        return now - self._heard if self._outstanding else 0.0

    def metrics(self) -> UplinkMetrics:
        """What the last publications say."""
        known = [trip for trip in self._round_trips if trip is not None]
        total = len(self._round_trips)
        return UplinkMetrics(
            rtt_ms=median(known) * 1000 if known else math.nan,
            loss=1 - len(known) / total if total else math.nan,
            reconnects=max(0, self._connections - 1),
        )
