"""What an evaluation knows beyond the graph: who is busy until when, who is dead, how late is too late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_FULL = 1.05
"""Where the congestion price has its pole: a machine that is fully used is dear, not infinitely so."""


@dataclass(frozen=True, slots=True)
class Loads:
    """Times in ms after the schedule's time 0. Names that an instance lacks are ignored.

    `busy_until_ms` per node, one time for each of its slots, missing ones free; `channel_until_ms` per
    channel of exclusive use. `utilisation` (0 to 1) per node id and per channel name gives the price of using
    them: u/(1.05 − u) times the weighted time of use times `congestion`. Nothing starts before `release_ms`.
    A finish after `deadline_ms` costs `late_cost`, and as much again for each further deadline's length.
    """

    busy_until_ms: Mapping[str, Sequence[float]] = field(default_factory=dict)
    channel_until_ms: Mapping[str, float] = field(default_factory=dict)
    utilisation: Mapping[str, float] = field(default_factory=dict)
    dead: frozenset[str] = frozenset()
    release_ms: float = 0.0
    deadline_ms: float | None = None
    late_cost: float = 1.0
    congestion: float = 1.0

    def price(self, name: str) -> float:
        """The congestion price of a node or a channel, without a unit; 0 for one that is idle or unknown."""
        return self.congestion * price_at(self.utilisation.get(name, 0.0))


def price_at(utilisation: float) -> float:
    """u/(1.05 − u): what a user of a machine or a channel costs those who wait for it."""
    # What is no number is no load: it came from another machine's report.
    used = min(utilisation, 1.0) if utilisation > 0.0 else 0.0
    return used / (_FULL - used)
