"""Config messages of a node's states: beacon, TTL, relay, proxy, friend, network transmit.

Mesh Protocol 1.1, sections 4.3.2.1 to 4.3.2.3 (beacon), 4.3.2.6 to 4.3.2.14 (default TTL, GATT proxy, relay),
4.3.2.54 to 4.3.2.57 (reset, friend) and 4.3.2.67 to 4.3.2.71 (Low Power node, network transmit). The message
that expels a node is not here but in `expulsion`; its answer is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from common.errors import Rejected, RejectReason
from common.mesh.configuration import Transmit
from firmware_bridge.access.layout import TRANSMIT, TTL, UNICAST, Choice, Flag, Number
from firmware_bridge.access.record import Question, Record


class FeatureState(IntEnum):
    """The state of relay, proxy and friend (sections 4.2.9, 4.2.12, 4.2.14). Other values are prohibited."""

    OFF = 0
    ON = 1
    UNSUPPORTED = 2


RelayState = FeatureState
_UNSUPPORTED = frozenset({FeatureState.UNSUPPORTED})
# 24 bits in units of 100 ms; 0 says that there is no friendship (section 4.3.2.68).
_POLL_TIMEOUT = Number("poll timeout", 3, 0x0A, 0x34BBFF, also=frozenset({0}))


@dataclass(frozen=True, slots=True)
class _Beacon(Record):
    on: bool
    FIELDS: ClassVar = (Flag("beacon"),)


@dataclass(frozen=True, slots=True)
class _DefaultTtl(Record):
    ttl: int
    FIELDS: ClassVar = (TTL,)

    def check(self) -> None:
        # 1 is prohibited: nobody may relay it (section 4.2.8).
        if self.ttl == 1:
            raise Rejected(RejectReason.OUT_OF_RANGE, "default TTL 1 is prohibited")


@dataclass(frozen=True, slots=True)
class _NetworkTransmit(Record):
    transmit: Transmit
    FIELDS: ClassVar = (TRANSMIT,)


@dataclass(frozen=True, slots=True)
class _FeatureSet(Record):
    state: FeatureState
    FIELDS: ClassVar = (Choice("feature state", FeatureState, _UNSUPPORTED),)


@dataclass(frozen=True, slots=True)
class _FeatureStatus(Record):
    state: FeatureState
    FIELDS: ClassVar = (Choice("feature state", FeatureState),)


class BeaconGet(Question):
    """Beacon Get (4.3.2.1)."""

    OPCODE = 0x8009


class BeaconSet(_Beacon):
    """Whether the node sends secure network beacons (4.3.2.2)."""

    OPCODE = 0x800A


class BeaconStatus(_Beacon):
    """Beacon Status (4.3.2.3)."""

    OPCODE = 0x800B


class DefaultTtlGet(Question):
    """Default TTL Get (4.3.2.6)."""

    OPCODE = 0x800C


class DefaultTtlSet(_DefaultTtl):
    """Default TTL Set (4.3.2.7)."""

    OPCODE = 0x800D


class DefaultTtlStatus(_DefaultTtl):
    """Default TTL Status (4.3.2.8)."""

    OPCODE = 0x800E


class FriendGet(Question):
    """Friend Get (4.3.2.55)."""

    OPCODE = 0x800F


class FriendSet(_FeatureSet):
    """Friend Set (4.3.2.56)."""

    OPCODE = 0x8010


class FriendStatus(_FeatureStatus):
    """Friend Status (4.3.2.57)."""

    OPCODE = 0x8011


class GattProxyGet(Question):
    """GATT Proxy Get (4.3.2.9)."""

    OPCODE = 0x8012


class GattProxySet(_FeatureSet):
    """Switching a proxy off drops its clients (4.3.2.10): never the one that the question came through."""

    OPCODE = 0x8013


class GattProxyStatus(_FeatureStatus):
    """GATT Proxy Status (4.3.2.11)."""

    OPCODE = 0x8014


class NetworkTransmitGet(Question):
    """Network Transmit Get (4.3.2.69)."""

    OPCODE = 0x8023


class NetworkTransmitSet(_NetworkTransmit):
    """Network Transmit Set (4.3.2.70)."""

    OPCODE = 0x8024


class NetworkTransmitStatus(_NetworkTransmit):
    """Network Transmit Status (4.3.2.71)."""

    OPCODE = 0x8025


class RelayGet(Question):
    """Relay Get (4.3.2.12)."""

    OPCODE = 0x8026


@dataclass(frozen=True, slots=True)
class RelaySet(Record):
    """Relay and relay retransmit always go together (4.3.2.13); `state` is OFF or ON."""

    state: FeatureState
    retransmit: Transmit
    OPCODE: ClassVar = 0x8027
    FIELDS: ClassVar = (Choice("relay state", FeatureState, _UNSUPPORTED), TRANSMIT)


@dataclass(frozen=True, slots=True)
class RelayStatus(Record):
    """Relay Status (4.3.2.14)."""

    state: FeatureState
    retransmit: Transmit
    OPCODE: ClassVar = 0x8028
    FIELDS: ClassVar = (Choice("relay state", FeatureState), TRANSMIT)


@dataclass(frozen=True, slots=True)
class LowPowerPollTimeoutGet(Record):
    """Ask a Friend how long a Low Power node may stay silent (4.3.2.67)."""

    low_power_node: int
    OPCODE: ClassVar = 0x802D
    FIELDS: ClassVar = (UNICAST,)


@dataclass(frozen=True, slots=True)
class LowPowerPollTimeoutStatus(Record):
    """`poll_timeout` is in units of 100 ms (4.3.2.68); 0 says that the node asked is not its Friend."""

    low_power_node: int
    poll_timeout: int
    OPCODE: ClassVar = 0x802E
    FIELDS: ClassVar = (UNICAST, _POLL_TIMEOUT)


class NodeResetStatus(Question):
    """The last word of a node that leaves its network (4.3.2.54)."""

    OPCODE = 0x804A


MESSAGES: tuple[type[Record], ...] = (
    BeaconGet,
    BeaconSet,
    BeaconStatus,
    DefaultTtlGet,
    DefaultTtlSet,
    DefaultTtlStatus,
    FriendGet,
    FriendSet,
    FriendStatus,
    GattProxyGet,
    GattProxySet,
    GattProxyStatus,
    NetworkTransmitGet,
    NetworkTransmitSet,
    NetworkTransmitStatus,
    RelayGet,
    RelaySet,
    RelayStatus,
    LowPowerPollTimeoutGet,
    LowPowerPollTimeoutStatus,
    NodeResetStatus,
)
