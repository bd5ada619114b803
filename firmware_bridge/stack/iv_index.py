"""The IV index and its update and recovery procedures as a state machine (3.11.5, 3.11.6).

Time is in seconds of a clock that goes on while the gateway is off: the wall clock. It may jump, so that a
negative age counts as no time at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from firmware_bridge.stack.network import MAX_IV_INDEX

HOUR_S: Final = 3600.0
LEAST_STATE_S: Final = 96 * HOUR_S
"""A state of the update procedure lasts at least this long (3.11.5)."""

LEAST_RECOVERY_S: Final = 192 * HOUR_S
RECOVERY_REACH: Final = 42
"""How far behind a node may be that was away (3.11.6)."""


class Change(Enum):
    """What a beacon, or time, did to the state (3.11.5, 3.11.6)."""

    NONE = auto()
    UPDATE_BEGAN = auto()
    """Receive with the new index as well; go on to transmit with the old one."""
    UPDATE_ENDED = auto()
    """Transmit with the new index, sequence numbers from 0 on."""
    RECOVERED = auto()
    """The network is far ahead: transmit as it does, sequence numbers from 0 on."""
    LEARNED = auto()
    """The first that we heard of it: transmit as the network does, sequence numbers as they go on."""


@dataclass(frozen=True, slots=True)
class IvState:
    """`index` is the network's, `updating` whether its update is in progress, `since` when that began
    (3.11.5, 3.11.6).

    `recovered_at` is when the last recovery happened, if ever. `came_later` says that the network was in this
    state before we came to it: `since` is when we did. `known` is False until anybody has told us the index.
    """

    index: int
    updating: bool = False
    since: float = 0.0
    recovered_at: float | None = None
    came_later: bool = False
    known: bool = True

    @classmethod
    def unknown(cls) -> IvState:
        """Before the first beacon: index 0 is assumed, and the first that is told is taken (3.10.3)."""
        return cls(0, known=False)

    @property
    def transmit(self) -> int:
        """The index to send with: during an update still the one before (3.11.5)."""
        return self.index - 1 if self.updating and self.index > 0 else self.index

    def heard(self, index: int, updating: bool, now: float) -> tuple[IvState, Change]:
        """The state after an authentic beacon (3.11.5, 3.11.6). Beacons that lie behind, jump too far, or
        come too early are ignored: an old beacon can be replayed by anybody."""
        if not self.known:
            return IvState(index, updating, now, came_later=True), Change.LEARNED
        ahead = index - self.index
        if ahead == 0 and self.updating and not updating and self._may_follow(now):
            return self._turned(index, False, now), Change.UPDATE_ENDED
        if ahead == 1 and not self.updating and updating:
            # An update that begins is never a recovery: that would be a way around the 96 hours.
            began = self._turned(index, True, now)
            return (began, Change.UPDATE_BEGAN) if self._may_follow(now) else (self, Change.NONE)
        # One ahead in normal operation as well: the update was missed altogether (3.11.6).
        if 1 <= ahead <= RECOVERY_REACH and self._may_recover(now):
            return IvState(index, updating, now, now, came_later=True), Change.RECOVERED
        return self, Change.NONE

    def begin_update(self, now: float) -> IvState | None:
        """The state after this node began an update; None while it may not (3.11.5)."""
        if self.updating or self.index == MAX_IV_INDEX or not self._may_lead(now):
            return None
        return self._turned(self.index + 1, True, now)

    def end_update(self, now: float) -> IvState | None:
        """The state after this node ended an update; None while it may not. The caller waits for the end of
        segmented messages under way (3.11.5)."""
        if not self.updating or not self._may_lead(now):
            return None
        return self._turned(self.index, False, now)

    def _turned(self, index: int, updating: bool, now: float) -> IvState:
        return replace(self, index=index, updating=updating, since=now, came_later=False)

    def _may_lead(self, now: float) -> bool:
        """Whether the 96 hours are over for certain; a network that nobody told us of is left alone."""
        return self.known and now - self.since >= LEAST_STATE_S

    def _may_follow(self, now: float) -> bool:
        # Nobody knows how long the network was in a state before we came: others may end it at any time.
        return self.came_later or self._may_lead(now)

    def _may_recover(self, now: float) -> bool:
        # A recovery in the future says that the clock was wrong then: it must not hold for years.
        return self.recovered_at is None or not 0 <= now - self.recovered_at < LEAST_RECOVERY_S
