"""Health messages: what is wrong with a node, and how it draws attention (Mesh Protocol 1.1, 4.3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.layout import Octets, octet, word
from firmware_bridge.access.record import Question, Record

SERVER: Final = ModelId(0x0002)
CLIENT: Final = ModelId(0x0003)

# Publishing is 2^n times faster while there are faults (section 4.2.17).
DIVISOR_MAX: Final = 15

_TEST = octet("test id")
_COMPANY = word("company id")
_FAULTS = Octets("faults")


@dataclass(frozen=True, slots=True)
class _Faults(Record):
    """Faults a byte each, numbered by `company` and by test; none is the healthy answer."""

    test: int
    company: int
    faults: bytes = b""
    FIELDS: ClassVar = (_TEST, _COMPANY, _FAULTS)


@dataclass(frozen=True, slots=True)
class _OfCompany(Record):
    company: int
    FIELDS: ClassVar = (_COMPANY,)


@dataclass(frozen=True, slots=True)
class _Test(Record):
    test: int
    company: int
    FIELDS: ClassVar = (_TEST, _COMPANY)


@dataclass(frozen=True, slots=True)
class _Period(Record):
    """The publish period is divided by 2^`divisor` while there are faults."""

    divisor: int
    FIELDS: ClassVar = (octet("fast period divisor", 0, DIVISOR_MAX),)


@dataclass(frozen=True, slots=True)
class _Attention(Record):
    """Seconds that the node draws attention to itself."""

    seconds: int
    FIELDS: ClassVar = (octet("attention"),)


class CurrentStatus(_Faults):
    """Published by a node: the faults that it has now."""

    OPCODE = 0x04


class FaultStatus(_Faults):
    """The faults registered since they were cleared last."""

    OPCODE = 0x05


class FaultClear(_OfCompany):
    OPCODE = 0x802F


class FaultClearUnacknowledged(_OfCompany):
    OPCODE = 0x8030


class FaultGet(_OfCompany):
    OPCODE = 0x8031


class FaultTest(_Test):
    """Run a self-test; answered with FaultStatus."""

    OPCODE = 0x8032


class FaultTestUnacknowledged(_Test):
    OPCODE = 0x8033


class PeriodGet(Question):
    OPCODE = 0x8034


class PeriodSet(_Period):
    OPCODE = 0x8035


class PeriodSetUnacknowledged(_Period):
    OPCODE = 0x8036


class PeriodStatus(_Period):
    OPCODE = 0x8037


class AttentionGet(Question):
    OPCODE = 0x8004


class AttentionSet(_Attention):
    OPCODE = 0x8005


class AttentionSetUnacknowledged(_Attention):
    OPCODE = 0x8006


class AttentionStatus(_Attention):
    OPCODE = 0x8007


MESSAGES: tuple[type[Record], ...] = (
    CurrentStatus,
    FaultStatus,
    FaultClear,
    FaultClearUnacknowledged,
    FaultGet,
    FaultTest,
    FaultTestUnacknowledged,
    PeriodGet,
    PeriodSet,
    PeriodSetUnacknowledged,
    PeriodStatus,
    AttentionGet,
    AttentionSet,
    AttentionSetUnacknowledged,
    AttentionStatus,
)
