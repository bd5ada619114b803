"""Replacing a network key while everybody goes on talking (3.11.4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from firmware_bridge.stack.keys import NetworkKey


class Phase(IntEnum):
    """Where a subnet's key refresh stands (3.11.4)."""

    NORMAL = 0
    DISTRIBUTION = 1
    """Both keys receive, the old one transmits."""
    SWITCHED = 2
    """Both keys receive, the new one transmits."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A network key in its phase (3.11.4); `new` is the one that will replace it."""

    old: NetworkKey
    new: NetworkKey | None = None
    phase: Phase = Phase.NORMAL

    @property
    def transmit(self) -> NetworkKey:
        """The key to send with (3.11.4)."""
        return self.new if self.new is not None and self.phase is Phase.SWITCHED else self.old

    @property
    def receive(self) -> tuple[NetworkKey, ...]:
        """The keys to try on what comes in, the likelier first (3.11.4)."""
        if self.new is None:
            return (self.old,)
        return (self.new, self.old) if self.phase is Phase.SWITCHED else (self.old, self.new)

    @property
    def beacon_keys(self) -> tuple[NetworkKey, ...]:
        """The keys whose beacons count: in phase 2 those of the new one alone (3.11.4.2)."""
        return (self.transmit,) if self.phase is Phase.SWITCHED else self.receive

    def distribute(self, new: NetworkKey) -> Subnet:
        """Phase 1: the new key is handed out (3.11.4.1). Harmless when it is the same again."""
        if self.phase is Phase.SWITCHED or (self.new is not None and self.new.key != new.key):
            return self
        return Subnet(self.old, new, Phase.DISTRIBUTION)

    def switch(self) -> Subnet:
        """Phase 2: everybody has the new key (3.11.4.2)."""
        return self if self.new is None else replace(self, phase=Phase.SWITCHED)

    def revoke(self) -> Subnet:
        """Phase 3: the old key is no longer good (3.11.4.3)."""
        return self if self.new is None else Subnet(self.new)

    def heard(self, key: NetworkKey, key_refresh: bool) -> Subnet:
        """After a beacon that was authentic with `key`: one with the new key and the flag set means phase 2,
        with the flag clear that the old key is revoked (3.11.4)."""
        if self.new is None or key.key != self.new.key:
            return self
        return self.switch() if key_refresh else self.revoke()
