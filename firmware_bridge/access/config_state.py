"""Config messages of a node's states: default TTL, relay, network transmit, composition.

Mesh Protocol 1.1, sections 4.3.2.4, 4.3.2.7, 4.3.2.12 to 4.3.2.14 and 4.3.2.64 to 4.3.2.66.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Self

from common.errors import Rejected, RejectReason
from common.mesh.addresses import TTL_MAX
from common.mesh.configuration import Transmit
from firmware_bridge.access.fields import (
    check_range,
    nothing,
    take,
    transmit_from_wire,
    transmit_to_wire,
)

_ONE = struct.Struct("<B")
_TWO = struct.Struct("<BB")


class RelayState(IntEnum):
    """Section 4.2.8. Other values are prohibited."""

    OFF = 0
    ON = 1
    UNSUPPORTED = 2


@dataclass(frozen=True, slots=True)
class _Get:
    """A question without parameters."""

    OPCODE: ClassVar[int]

    def parameters(self) -> bytes:
        return b""

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        nothing(parameters, cls.__name__)
        return cls()


@dataclass(frozen=True, slots=True)
class _DefaultTtl:
    ttl: int
    OPCODE: ClassVar[int]

    def __post_init__(self) -> None:
        # 1 is prohibited: nobody may relay it (section 4.2.7).
        if self.ttl == 1:
            raise Rejected(RejectReason.OUT_OF_RANGE, "default TTL 1 is prohibited")
        check_range(self.ttl, 0, TTL_MAX, "default TTL")

    def parameters(self) -> bytes:
        return _ONE.pack(self.ttl)

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        return cls(*take(_ONE, parameters, cls.__name__))


@dataclass(frozen=True, slots=True)
class _NetworkTransmit:
    transmit: Transmit
    OPCODE: ClassVar[int]

    def parameters(self) -> bytes:
        return _ONE.pack(transmit_to_wire(self.transmit))

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        (octet,) = take(_ONE, parameters, cls.__name__)
        return cls(transmit_from_wire(octet))


@dataclass(frozen=True, slots=True)
class _Relay:
    state: RelayState
    retransmit: Transmit
    OPCODE: ClassVar[int]

    def parameters(self) -> bytes:
        return _TWO.pack(self.state, transmit_to_wire(self.retransmit))

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        state, octet = take(_TWO, parameters, cls.__name__)
        if state > RelayState.UNSUPPORTED:
            raise Rejected(RejectReason.INVALID, f"relay state {state} is prohibited")
        return cls(RelayState(state), transmit_from_wire(octet))


class DefaultTtlGet(_Get):
    OPCODE = 0x800C


class DefaultTtlSet(_DefaultTtl):
    OPCODE = 0x800D


class DefaultTtlStatus(_DefaultTtl):
    OPCODE = 0x800E


class NetworkTransmitGet(_Get):
    OPCODE = 0x8023


class NetworkTransmitSet(_NetworkTransmit):
    OPCODE = 0x8024


class NetworkTransmitStatus(_NetworkTransmit):
    OPCODE = 0x8025


class RelayGet(_Get):
    OPCODE = 0x8026


@dataclass(frozen=True, slots=True)
class RelaySet(_Relay):
    """Relay and relay retransmit always go together; `state` is OFF or ON."""

    OPCODE: ClassVar[int] = 0x8027

    def __post_init__(self) -> None:
        if self.state == RelayState.UNSUPPORTED:
            raise Rejected(RejectReason.INVALID, "relay can be set on or off")


class RelayStatus(_Relay):
    OPCODE = 0x8028


@dataclass(frozen=True, slots=True)
class CompositionGet:
    """Ask for a page of the node's composition; page 0 always exists."""

    page: int = 0
    OPCODE: ClassVar[int] = 0x8008

    def __post_init__(self) -> None:
        check_range(self.page, 0, 0xFF, "composition page")

    def parameters(self) -> bytes:
        return _ONE.pack(self.page)

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        return cls(*take(_ONE, parameters, cls.__name__))


@dataclass(frozen=True, slots=True)
class CompositionStatus:
    """A page of the node's composition, not taken apart."""

    page: int
    data: bytes = field(repr=False)
    OPCODE: ClassVar[int] = 0x02

    def __post_init__(self) -> None:
        check_range(self.page, 0, 0xFF, "composition page")

    def parameters(self) -> bytes:
        return _ONE.pack(self.page) + self.data

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        if not parameters:
            raise Rejected(RejectReason.TRUNCATED, "a composition status without its page")
        return cls(parameters[0], parameters[1:])
