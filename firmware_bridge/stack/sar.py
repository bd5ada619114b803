"""Timing and counts of segmentation and reassembly: the SAR states (4.2.47, 4.2.48), in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SarTransmitter:
    """How segments are sent (4.2.47). Counts are of repetitions, after the first time.

    The defaults repeat more often than the specification's: sites lose one packet in five, and a segment that
    is given up costs the whole message.
    """

    segment_interval_s: float = 0.060
    unicast_repetitions: int = 7
    unicast_repetitions_without_progress: int = 4
    unicast_interval_s: float = 0.200
    unicast_interval_per_hop_s: float = 0.050
    multicast_repetitions: int = 2
    multicast_interval_s: float = 0.250

    def patience_s(self, ttl: int) -> float:
        """How long to wait for an acknowledgement before the segments go out again (3.5.3.3)."""
        return self.unicast_interval_s + self.unicast_interval_per_hop_s * max(0, ttl - 1)


@dataclass(frozen=True, slots=True)
class SarReceiver:
    """How segments are acknowledged (4.2.48).

    `delay_increment` is the acknowledgement's delay in segment intervals; messages of more segments than
    `threshold` have their acknowledgements repeated.
    """

    segment_interval_s: float = 0.060
    delay_increment: float = 2.5
    discard_s: float = 10.0
    threshold: int = 3
    repetitions: int = 1

    def delay_s(self, last: int) -> float:
        """From a segment's arrival to the acknowledgement of what has arrived (3.5.3.4)."""
        return min(last + 0.5, self.delay_increment) * self.segment_interval_s
