"""Config messages of heartbeats (Mesh Protocol 1.1, sections 4.3.2.60 to 4.3.2.66).

Counts and periods stay the logarithms that go on air (section 4.1.2): 0 is none, n is 2^(n-1), and 0xFF
means "for ever" in a publication's count.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from typing import ClassVar, Self

from common.errors import Rejected, RejectReason
from common.mesh.addresses import TTL_MAX, is_unicast, is_virtual
from firmware_bridge.access.fields import KEY_INDEX_MAX, check_range, nothing, take

FOR_EVER = 0xFF
LOG_MAX = 0x11

_PUBLICATION = struct.Struct("<HBBBHH")
_STATUS_PUBLICATION = struct.Struct("<BHBBBHH")
_SUBSCRIPTION = struct.Struct("<HHB")
_STATUS_SUBSCRIPTION = struct.Struct("<BHHBBBB")


def logarithm(value: int) -> int:
    """The smallest log code whose value covers `value` (section 4.1.2)."""
    return 0 if value <= 0 else min(LOG_MAX, (value - 1).bit_length() + 1)


def _check_destination(address: int) -> None:
    check_range(address, 0, 0xFFFF, "heartbeat destination")
    if is_virtual(address):
        raise Rejected(RejectReason.INVALID, "a heartbeat never goes to a virtual address")


@dataclass(frozen=True, slots=True)
class HeartbeatPublication:
    """Where a node sends heartbeats (section 4.2.18). `features` has a bit per feature that triggers one."""

    destination: int
    count_log: int = FOR_EVER
    period_log: int = 1
    ttl: int = 10
    features: int = 0
    net_key_index: int = 0

    def __post_init__(self) -> None:
        _check_destination(self.destination)
        if self.count_log != FOR_EVER:
            check_range(self.count_log, 0, LOG_MAX, "heartbeat count log")
        check_range(self.period_log, 0, LOG_MAX, "heartbeat period log")
        check_range(self.ttl, 0, TTL_MAX, "heartbeat TTL")
        check_range(self.features, 0, 0xFFFF, "heartbeat features")
        check_range(self.net_key_index, 0, KEY_INDEX_MAX, "NetKey index")

    def fields(self) -> tuple[int, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True)
class HeartbeatPublicationSet:
    publication: HeartbeatPublication
    OPCODE: ClassVar[int] = 0x8039

    def parameters(self) -> bytes:
        return _PUBLICATION.pack(*self.publication.fields())

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        return cls(HeartbeatPublication(*take(_PUBLICATION, parameters, cls.__name__)))


@dataclass(frozen=True, slots=True)
class HeartbeatPublicationStatus:
    status: int
    publication: HeartbeatPublication
    OPCODE: ClassVar[int] = 0x06

    def __post_init__(self) -> None:
        check_range(self.status, 0, 0xFF, "status")

    def parameters(self) -> bytes:
        return _STATUS_PUBLICATION.pack(self.status, *self.publication.fields())

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        status, *rest = take(_STATUS_PUBLICATION, parameters, cls.__name__)
        return cls(status, HeartbeatPublication(*rest))


@dataclass(frozen=True, slots=True)
class HeartbeatSubscriptionGet:
    OPCODE: ClassVar[int] = 0x803A

    def parameters(self) -> bytes:
        return b""

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        nothing(parameters, cls.__name__)
        return cls()


@dataclass(frozen=True, slots=True)
class HeartbeatSubscriptionSet:
    """Count heartbeats from `source` to `destination` for a while; zeros stop it (section 4.2.19)."""

    source: int
    destination: int
    period_log: int
    OPCODE: ClassVar[int] = 0x803B

    def __post_init__(self) -> None:
        if self.source and not is_unicast(self.source):
            raise Rejected(RejectReason.OUT_OF_RANGE, "heartbeats come from a unicast address")
        _check_destination(self.destination)
        check_range(self.period_log, 0, LOG_MAX, "heartbeat period log")

    def parameters(self) -> bytes:
        return _SUBSCRIPTION.pack(self.source, self.destination, self.period_log)

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        return cls(*take(_SUBSCRIPTION, parameters, cls.__name__))


@dataclass(frozen=True, slots=True)
class HeartbeatSubscriptionStatus:
    """What a node has counted; hops are 0x7F and 0 while it heard none."""

    status: int
    source: int
    destination: int
    period_log: int
    count_log: int
    min_hops: int
    max_hops: int
    OPCODE: ClassVar[int] = 0x803C

    def __post_init__(self) -> None:
        check_range(self.source, 0, 0xFFFF, "heartbeat source")
        check_range(self.destination, 0, 0xFFFF, "heartbeat destination")
        for value in (self.status, self.period_log, self.count_log, self.min_hops, self.max_hops):
            check_range(value, 0, 0xFF, "heartbeat subscription status")

    def parameters(self) -> bytes:
        return _STATUS_SUBSCRIPTION.pack(*(getattr(self, field.name) for field in fields(self)))

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        return cls(*take(_STATUS_SUBSCRIPTION, parameters, cls.__name__))
