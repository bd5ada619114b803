"""Generic Level messages (Mesh Model 1.1, section 3.2.2): a signed number that is set, shifted or moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.layout import Number
from firmware_bridge.access.record import Question, Record
from firmware_bridge.access.transition import REMAINING, TRANSACTION, TRANSITION

SERVER: Final = ModelId(0x1002)
CLIENT: Final = ModelId(0x1003)

LEVEL_MIN: Final = -0x8000
LEVEL_MAX: Final = 0x7FFF

_LEVEL = Number("level", 2, LEVEL_MIN, LEVEL_MAX)
_DELTA = Number("level difference", 4, -0x8000_0000, 0x7FFF_FFFF)


class LevelGet(Question):
    """Generic Level Get (3.2.2.1)."""

    OPCODE = 0x8205


@dataclass(frozen=True, slots=True)
class _Set(Record):
    """`tid` tells a repeated message from a new one. `transition` and `delay` (5 ms) come together or not."""

    level: int
    tid: int
    transition: int | None = None
    delay: int = 0
    FIELDS: ClassVar = (_LEVEL, TRANSACTION)
    TAIL: ClassVar = TRANSITION


@dataclass(frozen=True, slots=True)
class _Delta(Record):
    """A change from where the level was when the transaction began: the last one of a `tid` counts."""

    delta: int
    tid: int
    transition: int | None = None
    delay: int = 0
    FIELDS: ClassVar = (_DELTA, TRANSACTION)
    TAIL: ClassVar = TRANSITION


@dataclass(frozen=True, slots=True)
class _Move(Record):
    """Start to change by `delta` in each transition time, until the end of the range; 0 stops it."""

    delta: int
    tid: int
    transition: int | None = None
    delay: int = 0
    FIELDS: ClassVar = (_LEVEL, TRANSACTION)
    TAIL: ClassVar = TRANSITION


class LevelSet(_Set):
    """Generic Level Set (3.2.2.2)."""

    OPCODE = 0x8206


class LevelSetUnacknowledged(_Set):
    """Generic Level Set Unacknowledged (3.2.2.3)."""

    OPCODE = 0x8207


@dataclass(frozen=True, slots=True)
class LevelStatus(Record):
    """The present level (3.2.2.8); `target` and `remaining` come together, during a transition only."""

    present: int
    target: int | None = None
    remaining: int = 0
    OPCODE: ClassVar = 0x8208
    FIELDS: ClassVar = (_LEVEL,)
    TAIL: ClassVar = (_LEVEL, REMAINING)


class LevelDeltaSet(_Delta):
    """Generic Level Delta Set (3.2.2.4)."""

    OPCODE = 0x8209


class LevelDeltaSetUnacknowledged(_Delta):
    """Generic Level Delta Set Unacknowledged (3.2.2.5)."""

    OPCODE = 0x820A


class LevelMoveSet(_Move):
    """Generic Level Move Set (3.2.2.6)."""

    OPCODE = 0x820B


class LevelMoveSetUnacknowledged(_Move):
    """Generic Level Move Set Unacknowledged (3.2.2.7)."""

    OPCODE = 0x820C


MESSAGES: tuple[type[Record], ...] = (
    LevelGet,
    LevelSet,
    LevelSetUnacknowledged,
    LevelStatus,
    LevelDeltaSet,
    LevelDeltaSetUnacknowledged,
    LevelMoveSet,
    LevelMoveSetUnacknowledged,
)
