"""Which proxy to connect to: pure decisions from what was heard and what earlier connections came to.

Knows nothing of radios and libraries; time is a parameter.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from firmware_bridge.stack.service_data import ProxyOffer

STABLE_S: Final = 60.0
"""A connection that lasted this long was a good one."""

FIRST_REST_S: Final = 5.0
LONGEST_REST_S: Final = 300.0
HALF_LIFE_S: Final = 600.0
"""What happened so long ago counts half."""

TRUST_DB: Final = 30.0
"""How much signal the best history is worth over the worst."""

MOST_REMEMBERED: Final = 256
"""Proxies remembered. Private addresses change every quarter of an hour, and anybody can make them up."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A proxy of our network, as last heard: `rssi` in dBm, `seen` on the monotonic clock."""

    device: str
    rssi: int
    offer: ProxyOffer
    seen: float

    @property
    def who(self) -> str:
        """What history knows it by: the node where it said which one it is, as its own address may change."""
        return self.device if self.offer.address is None else f"node 0x{self.offer.address:04x}"


@dataclass(slots=True)
class _Record:
    """Counts fade with time; `updated` is when they were right. `in_a_row` are the ends since
    the last good connection began."""

    successes: float = 0.0
    failures: float = 0.0
    updated: float = 0.0
    in_a_row: int = 0
    rests_until: float = float("-inf")

    def share_left(self, now: float) -> float:
        return math.pow(0.5, max(0.0, now - self.updated) / HALF_LIFE_S)

    def fade(self, now: float) -> None:
        share = self.share_left(now)
        self.successes, self.failures, self.updated = self.successes * share, self.failures * share, now

    def rest(self, now: float) -> None:
        """Twice as long as after the end before, if no good connection was between."""
        # The exponent has a limit of its own: a float has, too.
        length = math.ldexp(FIRST_REST_S, min(self.in_a_row, 16))
        self.rests_until = now + min(length, LONGEST_REST_S)
        self.in_a_row += 1


class ProxyHistory:
    """What connections to each proxy came to; the one that was used longest ago is forgotten first."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def failed(self, who: str, now: float) -> None:
        """A connection was not made, or ended early."""
        record = self._record(who, now)
        record.failures += 1
        record.rest(now)

    def ended(self, who: str, lasted_s: float, now: float) -> None:
        """A connection that carried PDUs for `lasted_s` was lost. After a good one, too, the proxy rests a
        little: more likely than not it is switched off."""
        if lasted_s < STABLE_S:
            self.failed(who, now)
            return
        record = self._record(who, now)
        record.successes += 1
        record.in_a_row = 0
        record.rest(now)

    def resting(self, who: str, now: float) -> bool:
        """Whether it failed so recently that others are tried first."""
        record = self._records.get(who)
        return record is not None and now < record.rests_until

    def trust(self, who: str, now: float) -> float:
        """The share of connections that were good, 0 to 1, faded with time; 0.5 for a stranger."""
        record = self._records.get(who)
        if record is None:
            return 0.5
        share = record.share_left(now)
        return (record.successes * share + 1) / ((record.successes + record.failures) * share + 2)

    def _record(self, who: str, now: float) -> _Record:
        record = self._records.setdefault(who, _Record(updated=now))
        self._records.move_to_end(who)
        while len(self._records) > self._most:
            self._records.popitem(last=False)
        record.fade(now)
        return record


def choose(sightings: Iterable[Sighting], history: ProxyHistory, now: float) -> Sighting | None:
    """The proxy to try: the best by signal and history among those that do not rest, else among all.

    Equals are told apart by name, so that the same facts lead to the same choice. None without sightings.
    """

    def merit(sighting: Sighting) -> tuple[bool, float, str]:
        value = sighting.rssi + TRUST_DB * history.trust(sighting.who, now)
        return not history.resting(sighting.who, now), value, sighting.who

    return max(sightings, key=merit, default=None)


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long to wait before the next attempt, in seconds: twice as long each time, up to `last`."""

    first: float = 0.5
    last: float = 30.0

    def after(self, attempts: int, draw: float) -> float:
        """The pause after so many failed attempts in a row; `draw`, in [0, 1), spreads it from half to whole,
        so that gateways that lost the same proxy do not come back in step."""
        whole = min(self.last, math.ldexp(self.first, min(max(0, attempts - 1), 16)))
        return whole * (0.5 + draw / 2)
