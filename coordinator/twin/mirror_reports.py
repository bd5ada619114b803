"""How much of what nodes report reaches a gateway: delivery of each node's flow to it, observed for nothing.

A node reports how many probes it expected since its last report. A report that is lost takes its window with
it, so what a gateway was told of, over what there was to tell, is the share of reports that arrived. What
there was to tell is known from the gateway's own node, whose reports never cross the air.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf, isnan, log
from typing import Any, Final

from numpy.typing import NDArray

HALF_LIFE_S: Final = 240.0
LEAST_LINKS: Final = 2
LEAST_TRIALS: Final = 8.0
LEAST_TIME_S: Final = 90.0
"""Before, windows that began earlier blur the picture."""

LATE_S: Final = 30.0
"""Reports that are out for longer are lost: a node that nobody hears any more delivers less and less."""

ENTRIES_PER_MESSAGE: Final = 2
"""A report message tells of two links (now and then of one, or up to 64): reports that are
told together arrive together. Two is the careful count for the usual nodes."""

SYSTEMATIC: Final = 0.03
"""How far off a share may be whatever the number of reports: a node with many neighbours tells of each at its
own pace, and counts of a window that grew too long are halved (PROTOCOL.md, Counting)."""

TYPICAL: Final = 0.7
"""The quantile over a node's links that counts: pace and halving only ever take away."""

QUIET_SHARE: Final = 0.3
"""Links that are heard less are forgotten by nodes now and then, and tell nothing of reports."""


@dataclass(frozen=True, slots=True)
class Share:
    """Share of reports that arrived (0 to 1), out of so many, faded."""

    share: float
    trials: float


@dataclass(slots=True)
class _Count:
    seen_at: float
    expected: float = 0.0
    heard: float = 0.0
    rows: float = 0.0
    messages: float = 0.0

    def add(self, t: float, heard: float, expected: float, messages: float) -> None:
        fade = 2.0 ** (-max(0.0, t - self.seen_at) / HALF_LIFE_S)
        self.expected = self.expected * fade + expected
        self.heard = self.heard * fade + heard
        self.rows = self.rows * fade + 1.0
        self.messages = self.messages * fade + messages
        self.seen_at = max(self.seen_at, t)


@dataclass(slots=True)
class ReportLedger:
    """What gateways were told of, since `since`. Begin a new one when the configuration changed."""

    since: float
    first: float = inf
    """When the first of them was told: a site that is younger than what is read of it was silent before."""
    _told: dict[tuple[str, int], dict[int, _Count]] = field(default_factory=dict)

    def take(self, gateway: str, table: Mapping[str, NDArray[Any]]) -> None:
        """Count the rows of a links table."""
        if not {"heard", "expected"} <= table.keys():
            return
        names = ("t", "transmitter", "receiver", "heard", "expected")
        rssi = table["rssi_dbm"].tolist() if "rssi_dbm" in table else [float("nan")] * len(table["t"])
        for t, transmitter, receiver, heard, expected, strength in zip(
            *(table[n].tolist() for n in names), rssi, strict=True
        ):
            if t >= self.since and 0 < expected <= 0xFFFF and 0 <= heard <= expected:
                self.first = min(self.first, t)
                counts = self._told.setdefault((gateway, receiver), {})
                messages = 1.0 / ENTRIES_PER_MESSAGE if isnan(strength) else 1.0
                counts.setdefault(transmitter, _Count(t)).add(t, heard, expected, messages)

    def forget(self, addresses: Iterable[int]) -> None:
        """Begin anew with nodes that were away: they had nothing to tell."""
        for address in addresses:
            for (_, receiver), counts in self._told.items():
                if receiver == address:
                    counts.clear()
                counts.pop(address, None)

    def rates(self, gateway: str, t: float) -> dict[int, float]:
        """Messages with reports that came from each node, a second. Empty while it is too early to tell."""
        watched = t - max(self.since, self.first)
        if watched < LEAST_TIME_S:
            return {}
        life = HALF_LIFE_S / log(2.0) * (1.0 - 2.0 ** (-watched / HALF_LIFE_S))
        found = {}
        for (name, receiver), counts in self._told.items():
            if name == gateway:
                faded = (
                    c.messages * 2.0 ** (-max(0.0, t - c.seen_at) / HALF_LIFE_S) for c in counts.values()
                )
                found[receiver] = sum(faded) / life
        return found

    def shares(self, gateway: str, address: int, t: float) -> dict[int, Share]:
        """Per node, the share of its reports that reached the gateway at `address`; empty while it is too
        early to tell, or when that gateway's node hears nobody well."""
        own = self._told.get((gateway, address), {})
        whole = _typical(own)
        if whole is None or t - self.since < LEAST_TIME_S:
            return {}
        found = {}
        for (name, receiver), counts in self._told.items():
            told = _typical(counts) if name == gateway and receiver != address else None
            last = max((count.seen_at for count in counts.values()), default=0.0)
            if told is not None:
                told *= 2.0 ** (-max(0.0, t - last - LATE_S) / HALF_LIFE_S)
                share = min(1.0, told / whole)
                rows = sum(c.rows for c in counts.values() if _counts(c))
                trials = rows / ENTRIES_PER_MESSAGE / max(share, 0.05)
                if trials >= LEAST_TRIALS:
                    found[receiver] = Share(share, trials)
        return found


def _typical(counts: Mapping[int, _Count]) -> float | None:
    """The probes that were told of a typical link, at its last report; None when too few links say so."""
    expected = sorted(count.expected for count in counts.values() if _counts(count))
    return expected[round(TYPICAL * (len(expected) - 1))] if len(expected) >= LEAST_LINKS else None


def _counts(count: _Count) -> bool:
    return count.heard >= QUIET_SHARE * count.expected
