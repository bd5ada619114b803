"""SAR Configuration messages: how a node cuts and reassembles messages (Mesh Protocol 1.1, section 4.3.9).

Fields stay as they go on air; the states they mean, in seconds, are properties (sections 4.2.47, 4.2.48).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from firmware_bridge.access.fields import ModelId, check_range
from firmware_bridge.access.layout import Number
from firmware_bridge.access.record import Question, Record

SERVER: Final = ModelId(0x000E)
CLIENT: Final = ModelId(0x000F)

_TRANSMITTER_BITS: Final = (4, 4, 4, 4, 4, 4, 4)
_RECEIVER_BITS: Final = (5, 3, 4, 4, 2)


def _pack(values: Iterable[int], widths: Sequence[int]) -> int:
    packed = shift = 0
    for value, width in zip(values, widths, strict=True):
        packed |= check_range(value, 0, (1 << width) - 1, "SAR state") << shift
        shift += width
    return packed


def _unpack(packed: int, widths: Sequence[int]) -> list[int]:
    values = []
    for width in widths:
        values.append(packed & (1 << width) - 1)
        packed >>= width
    return values


class _Bits(Record):
    """Fields of a few bits each, the first in the low bits; bits above them are reserved."""

    __slots__ = ()
    WIDTHS: ClassVar[tuple[int, ...]]

    def values(self) -> tuple[Any, ...]:
        return (_pack([getattr(self, name) for name in self.__match_args__], self.WIDTHS),)

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        return cls(*_unpack(values[0], cls.WIDTHS))


@dataclass(frozen=True, slots=True)
class _Transmitter(_Bits):
    segment_interval_step: int
    unicast_retransmissions: int
    unicast_retransmissions_without_progress: int
    unicast_interval_step: int
    unicast_interval_increment: int
    multicast_retransmissions: int
    multicast_interval_step: int
    WIDTHS: ClassVar = _TRANSMITTER_BITS
    FIELDS: ClassVar = (Number("SAR transmitter", 4, 0, 0xFFF_FFFF, mask=0xFFF_FFFF),)

    @property
    def segment_interval_s(self) -> float:
        """Between two segments."""
        return (self.segment_interval_step + 1) / 100

    @property
    def unicast_interval_s(self) -> float:
        """From the last segment to their repetition, for a neighbour."""
        return (self.unicast_interval_step + 1) / 40

    @property
    def unicast_interval_per_hop_s(self) -> float:
        """What each further hop adds to it."""
        return (self.unicast_interval_increment + 1) / 40

    @property
    def multicast_interval_s(self) -> float:
        """From the last segment to their repetition, for a group."""
        return (self.multicast_interval_step + 1) / 40


@dataclass(frozen=True, slots=True)
class _Receiver(_Bits):
    threshold: int
    delay_increment_step: int
    discard_step: int
    segment_interval_step: int
    acknowledgement_retransmissions: int
    WIDTHS: ClassVar = _RECEIVER_BITS
    FIELDS: ClassVar = (Number("SAR receiver", 3, 0, 0x3_FFFF, mask=0x3_FFFF),)

    @property
    def delay_increment(self) -> float:
        """The acknowledgement's delay in segment intervals."""
        return self.delay_increment_step + 1.5

    @property
    def discard_s(self) -> float:
        """How long an incomplete message is kept after its last segment."""
        return (self.discard_step + 1) * 5.0

    @property
    def segment_interval_s(self) -> float:
        """How far apart segments are expected."""
        return (self.segment_interval_step + 1) / 100


class SarTransmitterGet(Question):
    OPCODE = 0x806C


class SarTransmitterSet(_Transmitter):
    OPCODE = 0x806D


class SarTransmitterStatus(_Transmitter):
    OPCODE = 0x806E


class SarReceiverGet(Question):
    OPCODE = 0x806F


class SarReceiverSet(_Receiver):
    OPCODE = 0x8070


class SarReceiverStatus(_Receiver):
    OPCODE = 0x8071


MESSAGES: tuple[type[Record], ...] = (
    SarTransmitterGet,
    SarTransmitterSet,
    SarTransmitterStatus,
    SarReceiverGet,
    SarReceiverSet,
    SarReceiverStatus,
)
