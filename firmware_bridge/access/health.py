"""The few Health messages that every node has to answer (Mesh Protocol 1.1, section 4.3.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from common.errors import Rejected, RejectReason
from firmware_bridge.access.fields import ModelId, check_range, nothing, take

SERVER: Final = ModelId(0x0002)
CLIENT: Final = ModelId(0x0003)

_OCTET = struct.Struct("<B")
_COMPANY = struct.Struct("<H")
_FAULTS = struct.Struct("<BH")


@dataclass(frozen=True, slots=True)
class FaultGet:
    company: int
    OPCODE: ClassVar[int] = 0x8031

    def __post_init__(self) -> None:
        check_range(self.company, 0, 0xFFFF, "company id")

    def parameters(self) -> bytes:
        return _COMPANY.pack(self.company)

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        return cls(*take(_COMPANY, parameters, cls.__name__))


@dataclass(frozen=True, slots=True)
class FaultStatus:
    """The faults registered since they were cleared last, a byte each; none is the healthy answer."""

    test: int
    company: int
    faults: bytes = b""
    OPCODE: ClassVar[int] = 0x05

    def __post_init__(self) -> None:
        check_range(self.test, 0, 0xFF, "test id")
        check_range(self.company, 0, 0xFFFF, "company id")

    def parameters(self) -> bytes:
        return _FAULTS.pack(self.test, self.company) + self.faults

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        if len(parameters) < _FAULTS.size:
            raise Rejected(RejectReason.TRUNCATED, f"FaultStatus: {len(parameters)} bytes of parameters")
        test, company = _FAULTS.unpack(parameters[: _FAULTS.size])
        return cls(test, company, parameters[_FAULTS.size :])


@dataclass(frozen=True, slots=True)
class AttentionGet:
    OPCODE: ClassVar[int] = 0x8004

    def parameters(self) -> bytes:
        return b""

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        nothing(parameters, cls.__name__)
        return cls()


@dataclass(frozen=True, slots=True)
class _Attention:
    """Seconds that the node draws attention to itself."""

    seconds: int
    OPCODE: ClassVar[int]

    def __post_init__(self) -> None:
        check_range(self.seconds, 0, 0xFF, "attention")

    def parameters(self) -> bytes:
        return _OCTET.pack(self.seconds)

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        return cls(*take(_OCTET, parameters, cls.__name__))


class AttentionSet(_Attention):
    OPCODE = 0x8005


class AttentionStatus(_Attention):
    OPCODE = 0x8007
