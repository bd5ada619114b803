"""Link estimates from neighbour reports, pure.

The share of probes heard is a beta posterior whose past fades with every report, so that an estimate
follows drift and still knows how sure it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import sqrt

from common.averages import median
from common.mesh.graph import LinkKey, SiteGraph, link_pdr
from common.models.link_forecast import LinkWindow
from edge_agent.observe import history
from firmware_bridge.link import NeighbourCount, NeighbourReport

FADE_PER_PROBE = 0.96
"""Weight left of the past after one more expected probe: about 25 probes count."""

# A light prior: half a probe at 0.8. A flat one (half a probe each way) would take two percent off every
# good link, and a sixth off a path of eight.
PRIOR_HEARD = 0.4
PRIOR_MISSED = 0.1
CONFIDENCE = 1.64
"""One-sided 95 % of a normal."""

FORGET_S = 900.0
"""A link nobody reported for so long is forgotten. Long: a cut-off node cannot report."""

MAX_LINKS = 200_000

SPACING_LINKS = 200
"""So many links, those with the newest windows, tell how far windows lie apart."""


@dataclass(slots=True)
class LinkEstimate:
    """One directed link: faded counts, and raw counts since they were last taken for telemetry."""

    heard: float = 0.0
    missed: float = 0.0
    transmissions: int = 1
    rssi_dbm: int | None = None
    reported_at: float = 0.0
    new_heard: int = 0
    new_expected: int = 0
    packed: bytes = history.EMPTY

    def window(self, t: float, row: NeighbourCount) -> None:
        """Take in one row of a report, of which the expected probes are known to be some."""
        self.transmissions = max(1, row.transmissions)
        self.rssi_dbm = row.rssi_dbm
        self.reported_at = t
        self.count(row.heard, row.expected)
        told = LinkWindow(t, row.heard, row.expected, self.transmissions, row.rssi_dbm)
        self.packed = history.add(self.packed, told)

    def count(self, heard: int, expected: int) -> None:
        """Add a window of probes."""
        heard = min(heard, expected)
        fade = FADE_PER_PROBE**expected
        self.heard = self.heard * fade + heard
        self.missed = self.missed * fade + (expected - heard)
        self.new_heard += heard
        self.new_expected += expected

    @property
    def share(self) -> float:
        """Expected share of probes heard, 0 to 1."""
        return (self.heard + PRIOR_HEARD) / (self.heard + self.missed + PRIOR_HEARD + PRIOR_MISSED)

    @property
    def best_share(self) -> float:
        """The highest share that is still plausible."""
        total = self.heard + self.missed + PRIOR_HEARD + PRIOR_MISSED
        return min(1.0, self.share + CONFIDENCE * sqrt(self.share * (1 - self.share) / (total + 1)))

    @property
    def pdr(self) -> float:
        """Chance that one transmission is received."""
        return link_pdr(self.share, self.transmissions)

    @property
    def best_pdr(self) -> float:
        """The highest chance that is still plausible."""
        return link_pdr(self.best_share, self.transmissions)


class LinkBook:
    """Every link of a site that reports speak of."""

    def __init__(self) -> None:
        self._links: dict[LinkKey, LinkEstimate] = {}
        # The number of each link's last window, the newest last.
        self._updated: dict[LinkKey, int] = {}
        self.windows = 0
        """Windows counted so far, over all links."""
        self.refused = 0

    def __len__(self) -> int:
        return len(self._links)

    def __getitem__(self, key: LinkKey) -> LinkEstimate:
        return self._links[key]

    def __contains__(self, key: LinkKey) -> bool:
        return key in self._links

    def items(self) -> Iterable[tuple[LinkKey, LinkEstimate]]:
        """(transmitter, receiver) and estimate of each link."""
        return self._links.items()

    def report(self, report: NeighbourReport, good_share: float) -> bool:
        """Count a receiver's table; true when it told of a new link of at least `good_share`.

        Links beyond the limit are refused and counted.
        """
        grew = False
        for row in report.neighbours:
            if row.expected <= 0 or row.transmitter == report.receiver:
                continue
            key = (row.transmitter, report.receiver)
            estimate = self._links.get(key)
            if estimate is None:
                if len(self._links) >= MAX_LINKS:
                    self.refused += 1
                    continue
                estimate = self._links[key] = LinkEstimate()
                grew = grew or row.heard >= good_share * row.expected
            estimate.window(report.t, row)
            self.windows += 1
            self._updated.pop(key, None)
            self._updated[key] = self.windows
        return grew

    def history(self, key: LinkKey) -> Sequence[LinkWindow]:
        """A link's last windows, at most `link_forecast.WINDOWS`, oldest first; none for an unknown link."""
        link = self._links.get(key)
        return [] if link is None else history.windows(link.packed)

    def updated_since(self, windows: int) -> list[LinkKey]:
        """The links with a new window since `self.windows` was `windows`, the newest first."""
        found = []
        for key in reversed(self._updated):
            if self._updated[key] <= windows:
                break
            found.append(key)
        return found

    def window_s(self) -> float | None:
        """Seconds that a window usually covers on this site; None before a link was told of twice."""
        newest = islice(reversed(self._updated), SPACING_LINKS)
        spacings = [history.spacing(self._links[key].packed) for key in newest]
        known = [spacing for spacing in spacings if spacing is not None]
        return median(known) if known else None

    def share(self, transmitter: int, receiver: int) -> float | None:
        """Share of probes heard on a link; None when nobody ever reported it."""
        link = self._links.get((transmitter, receiver))
        return None if link is None else link.share

    def shares_of(self, transmitter: int) -> dict[int, float]:
        """Receiver to share heard, of one transmitter's links."""
        return {key[1]: link.share for key, link in self._links.items() if key[0] == transmitter}

    def graph(self) -> SiteGraph:
        """Expected PDR of every link."""
        return SiteGraph({key: link.pdr for key, link in self._links.items()})

    def best_case(self) -> SiteGraph:
        """Highest plausible PDR of every link."""
        return SiteGraph({key: link.best_pdr for key, link in self._links.items()})

    def forget(self, now: float) -> None:
        """Drop links that nobody reported for long."""
        old = [key for key, link in self._links.items() if now - link.reported_at > FORGET_S]
        for key in old:
            del self._links[key], self._updated[key]

    def drop(self, address: int) -> None:
        """Forget every link from and to a node that left the site."""
        for key in [key for key in self._links if address in key]:
            del self._links[key]
            self._updated.pop(key, None)

    def take_new(self) -> list[tuple[LinkKey, LinkEstimate, int, int]]:
        """(link, estimate, heard, expected) of links reported since the last call."""
        rows = []
        for key, link in self._links.items():
            if link.new_expected:
                rows.append((key, link, link.new_heard, link.new_expected))
                link.new_heard = link.new_expected = 0
        return rows
