"""Falls of links' signal strength, told in decibels that are equally sure whatever they were read in.

A mean over thirty packets scatters far less than one over five, and a decay of minutes pulls the mean of the
last minute along. So the newest windows, as many as it takes, are compared with a longer memory of the link,
and what they lie below it is weighed by its own error. What a fall means for the link is not decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, sqrt
from typing import Final, NamedTuple

from common.mesh.graph import LinkKey
from common.models.link_forecast import LinkWindow
from common.policy.foresight import SEEN_FALL_DB
from edge_agent.observe.links import LinkBook

PACKET_SPREAD_DB: Final = 3.0
"""Standard deviation of one packet's signal strength on a link that stands still."""

_ROUNDING: Final = 1.0 / 12.0
"""Variance of a mean that is told in whole decibels."""

WANDER_DB: Final = 0.35
"""Standard deviation of what the mean of both directions wanders without a cause worth acting on."""

SURE: Final = 3.25
"""Standard deviations, of both ends together, that make a fall of `SEEN_FALL_DB`. Chance has another try with
every window of every link (docs/decisions/0011-foresight.md)."""

PROBES: Final = 20
"""The newest windows that are compared hold so many at least: two of ten, one of thirty."""

MOST_NEW: Final = 4
"""However few probes windows hold, no more of them are new."""

MEMORY_S: Final = 240.0
"""Time constant of the memory: longer than the decays that can be acted on, shorter than a day's wander."""

LEAST_WEIGHT: Final = 2.0
"""Of a memory that can be compared with, in windows of ten probes about: a fresh link has none."""

ALONE: Final = sqrt(2.0) - 1.0
"""Share of one end's fall that the other is credited with while its report is missing: one end alone is as
sure as both where its fall is deeper by the root of two."""

PRUNE_EVERY: Final = 10_000


class _Level(NamedTuple):
    """Signal strength remembered: weighted sum in dBm, weight, and the time of the last window in it."""

    total: float = 0.0
    weight: float = 0.0
    t: float = float("-inf")

    def joined(self, window: LinkWindow) -> _Level:
        """With a window more; what was there fades by the time between."""
        kept = exp(-max(0.0, window.t - self.t) / MEMORY_S) if self.weight else 0.0
        weight = _weight(window)
        read = weight * (window.rssi_dbm or 0.0)
        return _Level(self.total * kept + read, self.weight * kept + weight, window.t)


class _Fall(NamedTuple):
    """A fall in weighed decibels, which began after the time `after`."""

    db: float
    after: float


class Falls:
    """Follows the signal strength of every link of a book."""

    def __init__(self) -> None:
        self._levels: dict[LinkKey, _Level] = {}
        self._falls: dict[LinkKey, _Fall] = {}
        self._seen = 0
        self._pruned = 0

    def follow(self, links: LinkBook) -> None:
        """Look at the links with new windows."""
        for key in links.updated_since(self._seen):
            fall = self._fall(key, links.history(key))
            if fall is not None and fall.db > 0:
                self._falls[key] = fall
            else:
                self._falls.pop(key, None)
        self._seen = links.windows
        if self._seen - self._pruned > PRUNE_EVERY:
            self._levels = {key: level for key, level in self._levels.items() if key in links}
            self._falls = {key: fall for key, fall in self._falls.items() if key in links}
            self._pruned = self._seen

    @property
    def falling_db(self) -> dict[LinkKey, float]:
        """The links that fell, each by what its own receiver read."""
        return {key: fall.db for key, fall in self._falls.items()}

    def alone(self, links: LinkBook) -> list[LinkKey]:
        """The falls of which the other end can know nothing: its last report came before they began."""
        return [
            key
            for key, fall in self._falls.items()
            if key[::-1] in links and links[key[::-1]].reported_at <= fall.after
        ]

    def _fall(self, key: LinkKey, windows: Sequence[LinkWindow]) -> _Fall | None:
        """By how much the newest windows lie below what is remembered; None where either is unknown."""
        count = _newest(windows)
        level = self._levels.get(key, _Level())
        for window in windows[:-count]:
            if window.t > level.t:
                level = level.joined(window)
        self._levels[key] = level
        if level.weight < LEAST_WEIGHT or not _weight(windows[-1]):
            return None
        weights = [_weight(window) for window in windows[-count:]]
        now = sum(w * (window.rssi_dbm or 0.0) for w, window in zip(weights, windows[-count:], strict=True))
        fall = level.total / level.weight - now / sum(weights)
        # The policy takes the mean of both ends, each about as sure as this one.
        scatter = sqrt((1.0 / level.weight + 1.0 / sum(weights)) / 2.0 + WANDER_DB**2)
        return _Fall(fall * SEEN_FALL_DB / (SURE * scatter), level.t)


def _newest(windows: Sequence[LinkWindow]) -> int:
    """How many of the newest windows hold `PROBES`; at most `MOST_NEW`."""
    probes = 0
    for count, window in enumerate(reversed(windows), 1):
        probes += window.expected
        if probes >= PROBES or count == MOST_NEW:
            return count
    return len(windows)


def _weight(window: LinkWindow) -> float:
    """One over the variance of a window's signal strength; 0 where it was not read."""
    if window.rssi_dbm is None or window.heard < 1:
        return 0.0
    return 1.0 / (PACKET_SPREAD_DB**2 / window.heard + _ROUNDING)
