"""Generic OnOff messages (Mesh Model 1.1, section 3.2.1): the lamp of every demonstration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.layout import Flag
from firmware_bridge.access.record import Question, Record
from firmware_bridge.access.transition import REMAINING, TRANSACTION, TRANSITION

SERVER: Final = ModelId(0x1000)
CLIENT: Final = ModelId(0x1001)

_ON_OFF = Flag("OnOff")


class OnOffGet(Question):
    """Generic OnOff Get (3.2.1.1)."""

    OPCODE = 0x8201


@dataclass(frozen=True, slots=True)
class _Set(Record):
    """`tid` tells a repeated message from a new one. `transition` and `delay` (5 ms) come together or not."""

    on: bool
    tid: int
    transition: int | None = None
    delay: int = 0
    FIELDS: ClassVar = (_ON_OFF, TRANSACTION)
    TAIL: ClassVar = TRANSITION


class OnOffSet(_Set):
    """Acknowledged (3.2.1.2): the server answers with OnOffStatus."""

    OPCODE = 0x8202


class OnOffSetUnacknowledged(_Set):
    """Generic OnOff Set Unacknowledged (3.2.1.3)."""

    OPCODE = 0x8203


@dataclass(frozen=True, slots=True)
class OnOffStatus(Record):
    """The present state (3.2.1.4); `target` and `remaining` come together, during a transition only."""

    present: bool
    target: bool | None = None
    remaining: int = 0
    OPCODE: ClassVar = 0x8204
    FIELDS: ClassVar = (_ON_OFF,)
    TAIL: ClassVar = (_ON_OFF, REMAINING)


MESSAGES: tuple[type[Record], ...] = (OnOffGet, OnOffSet, OnOffSetUnacknowledged, OnOffStatus)
