"""How generic states change over time: the fields that their messages end with, and the default time.

Mesh Model 1.1, sections 3.1.3 (Generic Default Transition Time) and 3.2.3 (its messages).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from common.errors import Rejected, RejectReason
from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.intervals import UNKNOWN_STEPS
from firmware_bridge.access.layout import Number, octet
from firmware_bridge.access.record import Question, Record

SERVER: Final = ModelId(0x1004)
CLIENT: Final = ModelId(0x1005)

DELAY_UNIT_MS: Final = 5


@dataclass(frozen=True, slots=True)
class TransitionTime(Number):
    """A transition time that can be asked for: see `intervals`; an unknown duration is prohibited."""

    def check(self, value: int) -> None:
        Number.check(self, value)
        if value & 0x3F == UNKNOWN_STEPS:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"{self.what} 0x{value:02x} is prohibited")


TRANSACTION: Final = octet("transaction id")
# What a Set ends with, together or not at all: transition time and delay in units of 5 ms.
TRANSITION: Final = (TransitionTime("transition time", 1, 0, 0xFF), octet("delay"))
# What a Status ends with after the target, during a transition.
REMAINING: Final = octet("remaining time")


@dataclass(frozen=True, slots=True)
class _DefaultTransition(Record):
    """The transition time that is used when a message names none."""

    transition: int
    FIELDS: ClassVar = (TRANSITION[0],)


class DefaultTransitionGet(Question):
    """Generic Default Transition Time Get (3.2.3.1)."""

    OPCODE = 0x820D


class DefaultTransitionSet(_DefaultTransition):
    """Generic Default Transition Time Set (3.2.3.2)."""

    OPCODE = 0x820E


class DefaultTransitionSetUnacknowledged(_DefaultTransition):
    """Generic Default Transition Time Set Unacknowledged (3.2.3.3)."""

    OPCODE = 0x820F


class DefaultTransitionStatus(_DefaultTransition):
    """Generic Default Transition Time Status (3.2.3.4)."""

    OPCODE = 0x8210


MESSAGES: tuple[type[Record], ...] = (
    DefaultTransitionGet,
    DefaultTransitionSet,
    DefaultTransitionSetUnacknowledged,
    DefaultTransitionStatus,
)
