"""Generic OnOff messages (Mesh Model 1.1, section 3.2.1): the lamp of every demonstration."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from common.errors import Rejected, RejectReason
from firmware_bridge.access.fields import ModelId, check_range, nothing

SERVER: Final = ModelId(0x1000)
CLIENT: Final = ModelId(0x1001)

_PAIR = struct.Struct("<BB")


def _on_off(octet: int) -> bool:
    if octet > 1:
        raise Rejected(RejectReason.INVALID, f"OnOff value {octet} is prohibited")
    return octet == 1


@dataclass(frozen=True, slots=True)
class OnOffGet:
    OPCODE: ClassVar[int] = 0x8201

    def parameters(self) -> bytes:
        return b""

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        nothing(parameters, cls.__name__)
        return cls()


@dataclass(frozen=True, slots=True)
class _Set:
    """`tid` tells a repeated message from a new one. `transition` and `delay` (5 ms) come together or not."""

    on: bool
    tid: int
    transition: int | None = None
    delay: int = 0
    OPCODE: ClassVar[int]

    def __post_init__(self) -> None:
        for octet in (self.tid, self.delay, self.transition or 0):
            check_range(octet, 0, 0xFF, "OnOff field")

    def parameters(self) -> bytes:
        tail = b"" if self.transition is None else _PAIR.pack(self.transition, self.delay)
        return _PAIR.pack(self.on, self.tid) + tail

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        if len(parameters) not in (2, 4):
            raise Rejected(RejectReason.MALFORMED, f"{cls.__name__}: {len(parameters)} bytes of parameters")
        on = _on_off(parameters[0])
        if len(parameters) == 2:
            return cls(on, parameters[1])
        return cls(on, parameters[1], parameters[2], parameters[3])


class OnOffSet(_Set):
    """Acknowledged: the server answers with OnOffStatus."""

    OPCODE = 0x8202


class OnOffSetUnacknowledged(_Set):
    OPCODE = 0x8203


@dataclass(frozen=True, slots=True)
class OnOffStatus:
    """The present state; `target` and `remaining` come together, during a transition only."""

    present: bool
    target: bool | None = None
    remaining: int = 0
    OPCODE: ClassVar[int] = 0x8204

    def __post_init__(self) -> None:
        check_range(self.remaining, 0, 0xFF, "remaining time")

    def parameters(self) -> bytes:
        tail = b"" if self.target is None else _PAIR.pack(self.target, self.remaining)
        return bytes((self.present,)) + tail

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        if len(parameters) == 1:
            return cls(_on_off(parameters[0]))
        if len(parameters) == 3:
            return cls(_on_off(parameters[0]), _on_off(parameters[1]), parameters[2])
        raise Rejected(RejectReason.MALFORMED, f"OnOffStatus: {len(parameters)} bytes of parameters")
