"""Light Lightness messages (Mesh Model 1.1, sections 6.1.2 and 6.3.1).

`actual` is what people see, `linear` is the light: linear = actual² / 65535. 0 is off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

from common.errors import Rejected, RejectReason
from firmware_bridge.access.fields import ModelId, check_range
from firmware_bridge.access.layout import octet, word
from firmware_bridge.access.record import Question, Record
from firmware_bridge.access.transition import REMAINING, TRANSACTION, TRANSITION

SERVER: Final = ModelId(0x1300)
SETUP_SERVER: Final = ModelId(0x1301)
CLIENT: Final = ModelId(0x1302)

LIGHTNESS_MAX: Final = 0xFFFF

_LIGHTNESS = word("lightness")
_LIT = word("lightness", 1, LIGHTNESS_MAX)
_RANGE_STATUS = octet("range status")


class RangeStatus(IntEnum):
    """What became of a LightnessRangeSet (section 7.2); other codes are reserved and stay numbers."""

    SUCCESS = 0
    CANNOT_SET_MIN = 1
    CANNOT_SET_MAX = 2


def linear_of(actual: int) -> int:
    """Light linear of a light actual (section 6.1.2.1.1), rounded up so that a light that is on stays on."""
    check_range(actual, 0, LIGHTNESS_MAX, "lightness")
    return -(-actual * actual // LIGHTNESS_MAX)


def actual_of(linear: int) -> int:
    """Light actual of a light linear (section 6.1.2.1.1)."""
    check_range(linear, 0, LIGHTNESS_MAX, "lightness")
    return math.isqrt(linear * LIGHTNESS_MAX)


@dataclass(frozen=True, slots=True)
class _Set(Record):
    """`tid` tells a repeated message from a new one. `transition` and `delay` (5 ms) come together or not."""

    lightness: int
    tid: int
    transition: int | None = None
    delay: int = 0
    FIELDS: ClassVar = (_LIGHTNESS, TRANSACTION)
    TAIL: ClassVar = TRANSITION


@dataclass(frozen=True, slots=True)
class _Status(Record):
    """The present state; `target` and `remaining` come together, during a transition only."""

    present: int
    target: int | None = None
    remaining: int = 0
    FIELDS: ClassVar = (_LIGHTNESS,)
    TAIL: ClassVar = (_LIGHTNESS, REMAINING)


@dataclass(frozen=True, slots=True)
class _Default(Record):
    """The lightness when switched on; 0 is the last one."""

    lightness: int
    FIELDS: ClassVar = (_LIGHTNESS,)


def _check_range(low: int, high: int) -> None:
    if low > high:
        raise Rejected(RejectReason.INVALID, f"lightness range {low} to {high}")


@dataclass(frozen=True, slots=True)
class _Range(Record):
    """The range of lightness while on."""

    low: int
    high: int
    FIELDS: ClassVar = (_LIT, _LIT)

    def check(self) -> None:
        _check_range(self.low, self.high)


class LightnessGet(Question):
    OPCODE = 0x824B


class LightnessSet(_Set):
    OPCODE = 0x824C


class LightnessSetUnacknowledged(_Set):
    OPCODE = 0x824D


class LightnessStatus(_Status):
    OPCODE = 0x824E


class LightnessLinearGet(Question):
    OPCODE = 0x824F


class LightnessLinearSet(_Set):
    OPCODE = 0x8250


class LightnessLinearSetUnacknowledged(_Set):
    OPCODE = 0x8251


class LightnessLinearStatus(_Status):
    OPCODE = 0x8252


class LightnessLastGet(Question):
    OPCODE = 0x8253


@dataclass(frozen=True, slots=True)
class LightnessLastStatus(Record):
    """The last lightness that was not 0."""

    lightness: int
    OPCODE: ClassVar = 0x8254
    FIELDS: ClassVar = (_LIT,)


class LightnessDefaultGet(Question):
    OPCODE = 0x8255


class LightnessDefaultStatus(_Default):
    OPCODE = 0x8256


class LightnessDefaultSet(_Default):
    OPCODE = 0x8259


class LightnessDefaultSetUnacknowledged(_Default):
    OPCODE = 0x825A


class LightnessRangeGet(Question):
    OPCODE = 0x8257


@dataclass(frozen=True, slots=True)
class LightnessRangeStatus(Record):
    """`status` is one of `RangeStatus`."""

    status: int
    low: int
    high: int
    OPCODE: ClassVar = 0x8258
    FIELDS: ClassVar = (_RANGE_STATUS, _LIT, _LIT)

    def check(self) -> None:
        _check_range(self.low, self.high)


class LightnessRangeSet(_Range):
    OPCODE = 0x825B


class LightnessRangeSetUnacknowledged(_Range):
    OPCODE = 0x825C


MESSAGES: tuple[type[Record], ...] = (
    LightnessGet,
    LightnessSet,
    LightnessSetUnacknowledged,
    LightnessStatus,
    LightnessLinearGet,
    LightnessLinearSet,
    LightnessLinearSetUnacknowledged,
    LightnessLinearStatus,
    LightnessLastGet,
    LightnessLastStatus,
    LightnessDefaultGet,
    LightnessDefaultStatus,
    LightnessDefaultSet,
    LightnessDefaultSetUnacknowledged,
    LightnessRangeGet,
    LightnessRangeStatus,
    LightnessRangeSet,
    LightnessRangeSetUnacknowledged,
)
