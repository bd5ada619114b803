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


@dataclass(frozen=True, slots=True)
class IvState:
    """`index` is the network's, `updating` whether its update is in progress, `since` when that began
    (3.11.5, 3.11.6).

    `recovered_at` is when the last recovery happened, if ever.
    """

    index: int
    updating: bool = False
    since: float = 0.0
    recovered_at: float | None = None

    @property
    def transmit(self) -> int:
        """The index to send with: during an update still the one before (3.11.5)."""
        return self.index - 1 if self.updating and self.index > 0 else self.index

    def heard(self, index: int, updating: bool, now: float) -> tuple[IvState, Change]:
        """The state after an authentic beacon (3.11.5, 3.11.6). Beacons that lie behind, jump too far, or
        come too early are ignored: an old beacon can be replayed by anybody."""
        ahead = index - self.index
        if ahead == 0 and self.updating and not updating and self._is_old_enough(now):
            return replace(self, updating=False, since=now), Change.UPDATE_ENDED
        if ahead == 1 and not self.updating and updating:
            # An update that begins is never a recovery: that would be a way around the 96 hours.
            began = replace(self, index=index, updating=True, since=now)
            return (began, Change.UPDATE_BEGAN) if self._is_old_enough(now) else (self, Change.NONE)
        # One ahead in normal operation as well: the update was missed altogether (3.11.6).
        if 1 <= ahead <= RECOVERY_REACH and self._may_recover(now):
            # Nobody knows how long the network has been in this state: no 96 hours for its next change.
            return IvState(index, updating, now - LEAST_STATE_S, now), Change.RECOVERED
        return self, Change.NONE

    def begin_update(self, now: float) -> IvState | None:
        """The state after this node began an update; None while it may not (3.11.5)."""
        if self.updating or self.index == MAX_IV_INDEX or not self._is_old_enough(now):
            return None
        return replace(self, index=self.index + 1, updating=True, since=now)

    def end_update(self, now: float) -> IvState | None:
        """The state after this node ended an update; None while it may not. The caller waits for the end of
        segmented messages under way (3.11.5)."""
        if not self.updating or not self._is_old_enough(now):
            return None
        return replace(self, updating=False, since=now)

    def _is_old_enough(self, now: float) -> bool:
        return now - self.since >= LEAST_STATE_S

    def _may_recover(self, now: float) -> bool:
        # A recovery in the future says that the clock was wrong then: it must not hold for years.
        return self.recovered_at is None or not 0 <= now - self.recovered_at < LEAST_RECOVERY_S
