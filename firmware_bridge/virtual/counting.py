"""What one simulated receiver counts of its neighbours' probes: tables for reports, and who went silent.

The behaviour is the link monitor's of PROTOCOL.md. A real node infers misses from silence; here the site
tells both what was heard and what was missed, which is the same at less cost.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.access.link_monitor import EXPECTED_MAX, ReportEntry

MAX_NEIGHBOURS = 64
USUALLY_GOOD_SHARE = 0.7
MIN_COUNTED = 5
"""A neighbour is not "usually" anything before that many probes."""

LOST_AFTER = 2
"""Probes in a row that must be missed; more from a neighbour that is not heard so well."""

FALSE_ALARM = 0.001
"""Chance of that many misses by mere loss. At a share of 0.9 two in a row happen every hundred probes."""

FORGOTTEN_AFTER = 30
SMOOTHING = 0.04


@dataclass(slots=True)
class Neighbour:
    """The counts of one transmitter. `share` is the usual share heard, from before the present silence."""

    heard: int = 0
    expected: int = 0
    missed_in_a_row: int = 0
    counted: int = 0
    share: float = 1.0
    share_before: float = 1.0


class NeighbourCounts:
    """One receiver's neighbour table."""

    def __init__(self) -> None:
        self._table: dict[int, Neighbour] = {}

    def __len__(self) -> int:
        return len(self._table)

    def heard(self, transmitter: int) -> None:
        """A probe came. Neighbours beyond the table's size are not taken in."""
        neighbour = self._table.get(transmitter)
        if neighbour is None:
            if len(self._table) >= MAX_NEIGHBOURS:
                return
            neighbour = self._table[transmitter] = Neighbour()
        neighbour.missed_in_a_row = 0
        _count(neighbour, 1)

    def missed(self, transmitter: int) -> bool:
        """A probe was due and did not come. Whether this is the moment to tell that the neighbour is lost."""
        neighbour = self._table.get(transmitter)
        if neighbour is None:
            return False
        if neighbour.missed_in_a_row == 0:
            neighbour.share_before = neighbour.share
        neighbour.missed_in_a_row += 1
        _count(neighbour, 0)
        if neighbour.missed_in_a_row >= FORGOTTEN_AFTER:
            del self._table[transmitter]
        if neighbour.share_before < USUALLY_GOOD_SHARE or neighbour.counted < MIN_COUNTED:
            return False
        return neighbour.missed_in_a_row == misses_needed(neighbour.share_before)

    def silence(self, transmitter: int) -> tuple[int, float] | None:
        """Probes missed in a row and the share heard before, while a neighbour is lost; else None."""
        neighbour = self._table.get(transmitter)
        if neighbour is None or neighbour.missed_in_a_row < LOST_AFTER:
            return None
        return neighbour.missed_in_a_row, neighbour.share_before

    def forget(self, transmitter: int) -> None:
        """The transmitter stopped probing on purpose."""
        self._table.pop(transmitter, None)

    def take_report(self, limit: int, transmissions: int) -> list[ReportEntry]:
        """At most `limit` entries, those first that wait longest; their counts begin anew."""
        table = self._table
        chosen = [t for t, neighbour in table.items() if neighbour.expected][:limit]
        entries = []
        for transmitter in chosen:
            # To the end of the queue.
            neighbour = table[transmitter] = table.pop(transmitter)
            entries.append(ReportEntry(transmitter, neighbour.heard, neighbour.expected, transmissions))
            neighbour.heard = neighbour.expected = 0
        return entries


def misses_needed(share: float) -> int:
    """How many misses in a row are evidence, for a neighbour of which `share` is usually heard."""
    needed, chance = LOST_AFTER, (1.0 - share) ** LOST_AFTER
    while chance > FALSE_ALARM:
        needed, chance = needed + 1, chance * (1.0 - share)
    return needed


def _count(neighbour: Neighbour, heard: int) -> None:
    if neighbour.expected == EXPECTED_MAX:
        neighbour.heard //= 2
        neighbour.expected //= 2
    neighbour.heard += heard
    neighbour.expected += 1
    neighbour.counted += 1
    weight = SMOOTHING if neighbour.counted > 25 else 1.0 / neighbour.counted
    neighbour.share += weight * (heard - neighbour.share)
