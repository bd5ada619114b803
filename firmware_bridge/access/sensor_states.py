"""What sensor messages carry: descriptors, cadences and marshalled values (Mesh Model 1.1, section 4.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from common.errors import Rejected, RejectReason
from firmware_bridge.access.fields import check_range
from firmware_bridge.access.pieces import Pieces

DIVISOR_MAX: Final = 15
MIN_INTERVAL_MAX: Final = 26
# A trigger in percent of the value is a number of 0.01 %.
PERCENT_STEP: Final = 0.01

_DESCRIPTOR = struct.Struct("<HBBBBBB")
_FORMAT_A_ID_MAX: Final = 0x7FF
_FORMAT_A_LENGTH_MAX: Final = 16
_FORMAT_B_LENGTH_MAX: Final = 127
_NO_VALUE: Final = 0x7F


class Sampling(IntEnum):
    """How a sensor comes to its values (section 4.1.1.4); other codes are reserved and stay numbers."""

    UNSPECIFIED = 0
    INSTANTANEOUS = 1
    ARITHMETIC_MEAN = 2
    RMS = 3
    MAXIMUM = 4
    MINIMUM = 5
    ACCUMULATED = 6
    COUNT = 7


def _check_property(number: int) -> None:
    check_range(number, 1, 0xFFFF, "property id")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A sensor's constant facts (section 4.1.1).

    A tolerance of n is n / 40.95 percent, 0 is not known. A period or interval of n is 1.1^(n - 64) seconds,
    0 does not apply. `sampling` is one of `Sampling`.
    """

    property: int
    positive_tolerance: int = 0
    negative_tolerance: int = 0
    sampling: int = 0
    measurement_period: int = 0
    update_interval: int = 0

    def __post_init__(self) -> None:
        _check_property(self.property)
        for tolerance in (self.positive_tolerance, self.negative_tolerance):
            check_range(tolerance, 0, 0xFFF, "tolerance")
        for octet in (self.sampling, self.measurement_period, self.update_interval):
            check_range(octet, 0, 0xFF, "descriptor field")

    def to_wire(self) -> bytes:
        tolerances = (self.positive_tolerance | self.negative_tolerance << 12).to_bytes(3, "little")
        rest = (self.sampling, self.measurement_period, self.update_interval)
        return _DESCRIPTOR.pack(self.property, *tolerances, *rest)

    @classmethod
    def from_wire(cls, data: bytes) -> Descriptor:
        """The inverse of `to_wire`, of 8 bytes. Raises Rejected."""
        number, low, middle, high, *rest = _DESCRIPTOR.unpack(data)
        tolerances = low | middle << 8 | high << 16
        return cls(number, tolerances & 0xFFF, tolerances >> 12, *rest)


@dataclass(frozen=True, slots=True)
class Descriptions:
    """The descriptors of a node, or the one `unknown` property that was asked for in vain."""

    descriptors: tuple[Descriptor, ...] = ()
    unknown: int | None = None

    def __post_init__(self) -> None:
        if self.unknown is not None:
            _check_property(self.unknown)
            if self.descriptors:
                raise Rejected(RejectReason.INVALID, "either descriptors or an unknown property")

    def to_wire(self) -> bytes:
        if self.unknown is not None:
            return self.unknown.to_bytes(2, "little")
        return b"".join(descriptor.to_wire() for descriptor in self.descriptors)

    @classmethod
    def from_wire(cls, data: bytes) -> Self:
        """The inverse of `to_wire`. Raises Rejected."""
        if len(data) == 2:
            return cls((), int.from_bytes(data, "little"))
        if len(data) % _DESCRIPTOR.size:
            raise Rejected(RejectReason.TRUNCATED, f"sensor descriptors of {len(data)} bytes")
        steps = range(0, len(data), _DESCRIPTOR.size)
        return cls(tuple(Descriptor.from_wire(data[at : at + _DESCRIPTOR.size]) for at in steps))


def _marshalled(number: int, value: bytes) -> bytes:
    if number <= _FORMAT_A_ID_MAX and 1 <= len(value) <= _FORMAT_A_LENGTH_MAX:
        return ((len(value) - 1) << 1 | number << 5).to_bytes(2, "little") + value
    length = len(value) - 1 if value else _NO_VALUE
    return bytes((1 | length << 1,)) + number.to_bytes(2, "little") + value


def _unmarshalled(pieces: Pieces) -> tuple[int, bytes]:
    first = pieces.number(1)
    if not first & 1:
        head = first | pieces.number(1) << 8
        return head >> 5, pieces.take((head >> 1 & 0x0F) + 1)
    length = first >> 1
    number = pieces.number(2)
    return number, pieces.take(0 if length == _NO_VALUE else length + 1)


@dataclass(frozen=True, slots=True)
class Marshalled:
    """Property ids with their raw values (section 4.2.14).

    Format A takes two bytes for property ids up to 0x7FF and values of 1 to 16 bytes; format B three, for all
    others and for a value that is missing. The shorter one is built, either is understood.
    """

    items: tuple[tuple[int, bytes], ...] = ()

    def __post_init__(self) -> None:
        for number, value in self.items:
            _check_property(number)
            check_range(len(value), 0, _FORMAT_B_LENGTH_MAX, "bytes of a sensor value")

    def to_wire(self) -> bytes:
        return b"".join(_marshalled(number, value) for number, value in self.items)

    @classmethod
    def from_wire(cls, data: bytes) -> Self:
        """The inverse of `to_wire`. Raises Rejected."""
        pieces = Pieces(data, "sensor data")
        items = []
        while pieces:
            items.append(_unmarshalled(pieces))
        return cls(tuple(items))


@dataclass(frozen=True, slots=True)
class Cadence:
    """When a sensor publishes (section 4.1.3).

    Its publish period is divided by 2^`divisor` between `fast_low` and `fast_high` (outside them, when low is
    above high). A change by `delta_down` or `delta_up` publishes at once, but not within 2^`min_interval` ms.
    All four have the format of the property, or the deltas 16 bits of 0.01 % when `in_percent`.
    """

    divisor: int
    in_percent: bool
    delta_down: bytes
    delta_up: bytes
    min_interval: int
    fast_low: bytes
    fast_high: bytes

    def __post_init__(self) -> None:
        check_range(self.divisor, 0, DIVISOR_MAX, "fast period divisor")
        check_range(self.min_interval, 0, MIN_INTERVAL_MAX, "minimum interval")
        size = len(self.fast_low)
        delta = 2 if self.in_percent else size
        sizes = [len(part) for part in (self.delta_down, self.delta_up, self.fast_low, self.fast_high)]
        if size == 0 or sizes != [delta, delta, size, size]:
            raise Rejected(RejectReason.MALFORMED, f"a cadence with values of {sizes} bytes")

    def to_wire(self) -> bytes:
        head = bytes((self.divisor | self.in_percent << 7,))
        deltas = self.delta_down + self.delta_up
        return head + deltas + bytes((self.min_interval,)) + self.fast_low + self.fast_high

    @classmethod
    def from_wire(cls, data: bytes) -> Self:
        """The inverse of `to_wire`; the length of the values follows from the whole. Raises Rejected."""
        pieces = Pieces(data, "a cadence")
        head = pieces.number(1)
        in_percent = bool(head >> 7)
        size, rest = divmod(len(data) - (6 if in_percent else 2), 2 if in_percent else 4)
        if rest or size < 1:
            raise Rejected(RejectReason.MALFORMED, f"a cadence of {len(data)} bytes")
        delta = 2 if in_percent else size
        down, up = pieces.take(delta), pieces.take(delta)
        return cls(head & 0x7F, in_percent, down, up, pieces.number(1), pieces.take(size), pieces.take(size))
