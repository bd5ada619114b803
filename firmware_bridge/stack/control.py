"""Transport control messages: heartbeats and friendship (3.6.5)."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from enum import IntFlag
from struct import Struct, error
from typing import Any, ClassVar, Final, Self, TypeAlias

from common.errors import Rejected, RejectReason
from firmware_bridge.stack.lower import Control


class Features(IntFlag):
    """What a node has switched on, as heartbeats and composition data tell it (3.6.5.10)."""

    RELAY = 1
    PROXY = 2
    FRIEND = 4
    LOW_POWER = 8


class Fixed:
    """A message whose parameters are its fields, one after the other (3.6.5)."""

    __slots__ = ()
    OPCODE: ClassVar[int]
    LAYOUT: ClassVar[Struct]

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        """The message of unpacked parameters."""
        return cls(*values)

    def values(self) -> tuple[Any, ...]:
        """What is packed."""
        return astuple(self)  # type: ignore[call-overload, no-any-return]  # every subclass is a dataclass


@dataclass(frozen=True, slots=True)
class FriendPoll(Fixed):
    """A Low Power node asks its Friend for what it stored (3.6.5.1); `fsn` is the Friend Sequence Number
    bit."""

    OPCODE: ClassVar = 0x01
    LAYOUT: ClassVar = Struct(">B")
    fsn: int


@dataclass(frozen=True, slots=True)
class FriendUpdate(Fixed):
    """A Friend's answer when it holds nothing else (3.6.5.2): security state and whether more follows."""

    OPCODE: ClassVar = 0x02
    LAYOUT: ClassVar = Struct(">BIB")
    flags: int
    iv_index: int
    more_data: int


@dataclass(frozen=True, slots=True)
class FriendRequest(Fixed):
    """A Low Power node looks for a Friend (3.6.5.3). `poll_timeout` is in units of 100 ms, 24 bits."""

    OPCODE: ClassVar = 0x03
    LAYOUT: ClassVar = Struct(">BBBHHBH")
    criteria: int
    receive_delay_ms: int
    poll_timeout: int
    previous: int
    elements: int
    lpn_counter: int

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        criteria, delay, high, low, *rest = values
        return cls(criteria, delay, high << 16 | low, *rest)

    def values(self) -> tuple[Any, ...]:
        criteria, delay, timeout, *rest = astuple(self)
        return criteria, delay, timeout >> 16, timeout & 0xFFFF, *rest


@dataclass(frozen=True, slots=True)
class FriendOffer(Fixed):
    """A node offers to be a Friend (3.6.5.4)."""

    OPCODE: ClassVar = 0x04
    LAYOUT: ClassVar = Struct(">BBBbH")
    receive_window_ms: int
    queue_size: int
    subscription_list_size: int
    rssi_dbm: int
    friend_counter: int


@dataclass(frozen=True, slots=True)
class FriendClear(Fixed):
    """A new Friend tells the previous one (3.6.5.5)."""

    OPCODE: ClassVar = 0x05
    LAYOUT: ClassVar = Struct(">HH")
    lpn: int
    lpn_counter: int


@dataclass(frozen=True, slots=True)
class FriendClearConfirm(Fixed):
    """The previous Friend has ended the friendship (3.6.5.6)."""

    OPCODE: ClassVar = 0x06
    LAYOUT: ClassVar = Struct(">HH")
    lpn: int
    lpn_counter: int


@dataclass(frozen=True, slots=True)
class Heartbeat(Fixed):
    """A sign of life with the TTL it was first sent with, from which the hops follow (3.6.5.10)."""

    OPCODE: ClassVar = 0x0A
    LAYOUT: ClassVar = Struct(">BH")
    initial_ttl: int
    features: int

    def hops(self, received_ttl: int) -> int:
        """Hops it took, 1 for a neighbour's (3.6.5.10)."""
        return (self.initial_ttl & 0x7F) - received_ttl + 1


Message: TypeAlias = (
    "FriendPoll | FriendUpdate | FriendRequest | FriendOffer | FriendClear | FriendClearConfirm | Heartbeat"
)
_KINDS: Final[dict[int, type[Message]]] = {
    kind.OPCODE: kind
    for kind in (
        FriendPoll,
        FriendUpdate,
        FriendRequest,
        FriendOffer,
        FriendClear,
        FriendClearConfirm,
        Heartbeat,
    )
}


def parse(pdu: Control) -> Message | None:
    """The message in a control PDU (3.6.5); None for an opcode that is not understood here.

    Raises Rejected(MALFORMED) and nothing else, whatever the bytes.
    """
    kind = _KINDS.get(pdu.opcode)
    if kind is None:
        return None
    try:
        return kind.from_values(*kind.LAYOUT.unpack(pdu.parameters))
    except error as wrong:
        detail = f"{kind.__name__} of {len(pdu.parameters)} bytes"
        raise Rejected(RejectReason.MALFORMED, detail) from wrong


def build(message: Message) -> Control:
    """The control PDU of a message (3.6.5). Raises Rejected(OUT_OF_RANGE)."""
    try:
        return Control(message.OPCODE, message.LAYOUT.pack(*message.values()))
    except error as wrong:
        raise Rejected(RejectReason.OUT_OF_RANGE, repr(message)) from wrong
