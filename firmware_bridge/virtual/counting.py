"""What one simulated receiver counts of its neighbours' probes: tables for reports, and who went silent.

The behaviour is the link monitor's of PROTOCOL.md, and its numbers are those of `neighbours.Detection`. A
real node infers misses from silence; here the site tells both what was heard and what was missed, which is
the same at less cost: `neighbours.NeighbourTable` looks at all neighbours at every deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from firmware_bridge.access.link_monitor import EXPECTED_MAX, ReportEntry
from firmware_bridge.neighbours import Detection, Doubt, Loss

DETECTION: Final = Detection()
_HISTORY_BITS: Final = 32
_HISTORY_MASK: Final = (1 << _HISTORY_BITS) - 1


@dataclass(slots=True)
class Neighbour:
    """The counts of one transmitter, the last outcomes as bits, and the doubt about it.

    `missed` counts probes in a row, `asked` the questions since; `ask_at` is when the next one is due.
    `level_dbm` is the sum of the signal levels of the probes heard.
    """

    heard: int = 0
    level_dbm: float = 0.0
    expected: int = 0
    missed: int = 0
    history: int = 0
    outcomes: int = 0
    asked: int = 0
    ask_at: float | None = None
    lost: bool = False

    def share(self) -> float:
        """Share heard before the present silence."""
        seen = min(self.outcomes, _HISTORY_BITS) - self.missed
        return (self.history >> self.missed).bit_count() / seen if seen > 0 else 0.0

    def reassure(self) -> None:
        """It lives: neither in doubt nor lost. What it missed stays missed."""
        self.asked, self.ask_at, self.lost = 0, None, False

    def is_usually_good(self) -> bool:
        enough = self.outcomes - self.missed >= DETECTION.least_outcomes
        return enough and self.share() >= DETECTION.good_share

    def loss(self, transmitter: int) -> Loss:
        return Loss(transmitter, self.missed + self.asked, self.share())


def _no_rssi(_level_dbm: float, _heard: int) -> None:
    return None


class NeighbourCounts:
    """One receiver's neighbour table."""

    def __init__(self) -> None:
        self._table: dict[int, Neighbour] = {}

    def __len__(self) -> int:
        return len(self._table)

    def heard(self, transmitter: int, level_dbm: float = 0.0) -> None:
        """A probe came with this signal. Neighbours beyond the table's size are not taken in."""
        neighbour = self._table.get(transmitter)
        if neighbour is None:
            if len(self._table) >= DETECTION.limit:
                return
            neighbour = self._table[transmitter] = Neighbour()
        if neighbour.missed:
            neighbour.missed = 0
            neighbour.reassure()
        _count(neighbour, 1, level_dbm)

    def heard_late(self, transmitter: int, level_dbm: float) -> None:
        """A probe came that was counted as missed before: it is not, then."""
        neighbour = self._table.get(transmitter)
        if neighbour is None or not neighbour.missed:
            return
        neighbour.missed = 0
        neighbour.reassure()
        neighbour.history |= 1
        neighbour.heard = min(neighbour.heard + 1, neighbour.expected)
        neighbour.level_dbm += level_dbm

    def missed(self, transmitter: int) -> bool:
        """A probe was due and did not come. Whether to `suspect` the transmitter when its grace is over."""
        neighbour = self._table.get(transmitter)
        if neighbour is None:
            return False
        neighbour.missed += 1
        _count(neighbour, 0)
        if neighbour.missed >= DETECTION.forget_after:
            del self._table[transmitter]
        return _is_suspicious(neighbour)

    def suspect(self, transmitter: int, now: float) -> Doubt | None:
        """The grace of a missed probe is over: whether to ask for a sign of life, and again to
        `unanswered` when an answer would have come."""
        neighbour = self._table.get(transmitter)
        if neighbour is None or not neighbour.missed or not _is_suspicious(neighbour):
            return None
        return _ask(neighbour, transmitter, now)

    def unanswered(self, transmitter: int, now: float) -> Doubt | Loss | None:
        """The time to answer is over: whether to ask again, or to tell a loss. None when a sign of life
        came, or a later question is still open."""
        neighbour = self._table.get(transmitter)
        if neighbour is None or neighbour.ask_at is None or now < neighbour.ask_at:
            return None
        others = sum(other.ask_at is not None for other in self._table.values()) - 1
        if neighbour.asked < DETECTION.questions(neighbour.share(), others):
            return _ask(neighbour, transmitter, now)
        neighbour.ask_at, neighbour.lost = None, True
        return neighbour.loss(transmitter)

    def loss(self, transmitter: int) -> Loss | None:
        """What to tell of a neighbour while it is lost."""
        neighbour = self._table.get(transmitter)
        return neighbour.loss(transmitter) if neighbour is not None and neighbour.lost else None

    def doubts(self, transmitter: int) -> bool:
        """Whether a sign of life would make a difference."""
        neighbour = self._table.get(transmitter)
        return neighbour is not None and (neighbour.lost or neighbour.ask_at is not None)

    def alive(self, transmitter: int) -> None:
        """A sign of life came that is no probe."""
        neighbour = self._table.get(transmitter)
        if neighbour is not None:
            neighbour.reassure()

    def forget(self, transmitter: int) -> None:
        """The transmitter stopped probing on purpose."""
        self._table.pop(transmitter, None)

    def take_report(
        self, limit: int, transmissions: int, rssi_dbm: Callable[[float, int], int | None] = _no_rssi
    ) -> list[ReportEntry]:
        """At most `limit` entries, those first that wait longest; their counts begin anew.

        `rssi_dbm` tells what was read from the mean level and the count of the probes heard.
        """
        table = self._table
        chosen = [t for t, neighbour in table.items() if neighbour.expected][:limit]
        entries = []
        for transmitter in chosen:
            # To the end of the queue.
            neighbour = table[transmitter] = table.pop(transmitter)
            heard = neighbour.heard
            rssi = rssi_dbm(neighbour.level_dbm / max(1, heard), heard)
            entries.append(ReportEntry(transmitter, heard, neighbour.expected, transmissions, rssi))
            neighbour.heard = neighbour.expected = 0
            neighbour.level_dbm = 0.0
        return entries


def _is_suspicious(neighbour: Neighbour) -> bool:
    return not neighbour.lost and neighbour.ask_at is None and neighbour.is_usually_good()


def _ask(neighbour: Neighbour, transmitter: int, now: float) -> Doubt:
    neighbour.asked += 1
    neighbour.ask_at = now + DETECTION.answer_s
    return Doubt(transmitter)


def _count(neighbour: Neighbour, heard: int, level_dbm: float = 0.0) -> None:
    if neighbour.expected == EXPECTED_MAX:
        neighbour.level_dbm *= (neighbour.heard // 2) / max(1, neighbour.heard)
        neighbour.heard //= 2
        neighbour.expected //= 2
    neighbour.heard += heard
    neighbour.level_dbm += level_dbm
    neighbour.expected += 1
    neighbour.outcomes += 1
    neighbour.history = (neighbour.history << 1 | heard) & _HISTORY_MASK
