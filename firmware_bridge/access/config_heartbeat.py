"""Config messages of heartbeats (Mesh Protocol 1.1, sections 4.3.2.61 to 4.3.2.66).

Counts and periods stay the logarithms that go on air (section 4.1.2): 0 is none, n is 2^(n-1), and 0xFF
means "for ever" in a publication's count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from common.errors import Rejected, RejectReason
from common.mesh.addresses import TTL_MAX, is_unicast, is_virtual
from firmware_bridge.access.layout import ADDRESS, NET_KEY_INDEX, STATUS, octet, word
from firmware_bridge.access.record import Question, Record

FOR_EVER: Final = 0xFF
LOG_MAX: Final = 0x11

_PUBLICATION = (
    word("heartbeat destination"),
    octet("heartbeat count log", 0, LOG_MAX, also=(FOR_EVER,)),
    octet("heartbeat period log", 0, LOG_MAX),
    octet("heartbeat TTL", 0, TTL_MAX),
    word("heartbeat features"),
    NET_KEY_INDEX,
)


def logarithm(value: int) -> int:
    """The smallest log code whose value covers `value` (section 4.1.2)."""
    return 0 if value <= 0 else min(LOG_MAX, (value - 1).bit_length() + 1)


def _refuse_virtual(address: int) -> None:
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
        for kind, value in zip(_PUBLICATION, self.values(), strict=True):
            kind.check(value)
        _refuse_virtual(self.destination)

    def values(self) -> tuple[int, ...]:
        """The fields in the order of the messages."""
        return tuple(getattr(self, name) for name in self.__match_args__)


class HeartbeatPublicationGet(Question):
    """Heartbeat Publication Get (4.3.2.61)."""

    OPCODE = 0x8038


@dataclass(frozen=True, slots=True)
class HeartbeatPublicationSet(Record):
    """Heartbeat Publication Set (4.3.2.62)."""

    publication: HeartbeatPublication
    OPCODE: ClassVar = 0x8039
    FIELDS: ClassVar = _PUBLICATION

    def values(self) -> tuple[Any, ...]:
        return self.publication.values()

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        return cls(HeartbeatPublication(*values))


@dataclass(frozen=True, slots=True)
class HeartbeatPublicationStatus(Record):
    """Heartbeat Publication Status (4.3.2.63)."""

    status: int
    publication: HeartbeatPublication
    OPCODE: ClassVar = 0x06
    FIELDS: ClassVar = (STATUS, *_PUBLICATION)

    def values(self) -> tuple[Any, ...]:
        return self.status, *self.publication.values()

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        status, *fields = values
        return cls(status, HeartbeatPublication(*fields))


class HeartbeatSubscriptionGet(Question):
    """Heartbeat Subscription Get (4.3.2.64)."""

    OPCODE = 0x803A


@dataclass(frozen=True, slots=True)
class HeartbeatSubscriptionSet(Record):
    """Count heartbeats from `source` to `destination` for a while; zeros stop it (section 4.2.19)."""

    source: int
    destination: int
    period_log: int
    OPCODE: ClassVar = 0x803B
    FIELDS: ClassVar = (ADDRESS, ADDRESS, octet("heartbeat period log", 0, LOG_MAX))

    def check(self) -> None:
        if self.source and not is_unicast(self.source):
            raise Rejected(RejectReason.OUT_OF_RANGE, "heartbeats come from a unicast address")
        _refuse_virtual(self.destination)


@dataclass(frozen=True, slots=True)
class HeartbeatSubscriptionStatus(Record):
    """What a node has counted; hops are 0x7F and 0 while it heard none.

    The counts are taken as they come: BlueZ 5.66 says 0xFF hops while it heard none.
    """

    status: int
    source: int
    destination: int
    period_log: int
    count_log: int
    min_hops: int
    max_hops: int
    OPCODE: ClassVar = 0x803C
    FIELDS: ClassVar = (STATUS, ADDRESS, ADDRESS, *(octet("heartbeats counted"),) * 4)


MESSAGES: tuple[type[Record], ...] = (
    HeartbeatPublicationGet,
    HeartbeatPublicationSet,
    HeartbeatPublicationStatus,
    HeartbeatSubscriptionGet,
    HeartbeatSubscriptionSet,
    HeartbeatSubscriptionStatus,
)
