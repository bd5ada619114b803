"""Generic Battery messages (Mesh Model 1.1, sections 3.1.6 and 3.2.6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Final, Self

from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.layout import Number, octet
from firmware_bridge.access.record import Question, Record

SERVER: Final = ModelId(0x100C)
CLIENT: Final = ModelId(0x100D)

_LEVEL_UNKNOWN: Final = 0xFF
_MINUTES_UNKNOWN: Final = 0xFFFFFF

_LEVEL = octet("battery level", 0, 100, also=(_LEVEL_UNKNOWN,))
_MINUTES = Number("minutes", 3, 0, _MINUTES_UNKNOWN)


class Presence(IntEnum):
    """Section 3.1.6.4.1."""

    ABSENT = 0
    REMOVABLE = 1
    FIXED = 2
    UNKNOWN = 3


class Indicator(IntEnum):
    """How full, in words (section 3.1.6.4.2)."""

    CRITICAL = 0
    LOW = 1
    GOOD = 2
    UNKNOWN = 3


class Charging(IntEnum):
    """Section 3.1.6.4.3."""

    NOT_CHARGEABLE = 0
    NOT_CHARGING = 1
    CHARGING = 2
    UNKNOWN = 3


class Service(IntEnum):
    """Whether somebody has to look at it (section 3.1.6.4.4). 0 is reserved, and read as it came."""

    RESERVED = 0
    NOT_REQUIRED = 1
    REQUIRED = 2
    UNKNOWN = 3


class BatteryGet(Question):
    """Generic Battery Get (3.2.6.1)."""

    OPCODE = 0x8223


def _known(value: int, unknown: int) -> int | None:
    return None if value == unknown else value


@dataclass(frozen=True, slots=True)
class BatteryStatus(Record):
    """Level in percent, minutes until it is empty and until it is full (3.2.6.2); None is not known."""

    level: int | None = None
    to_discharge_min: int | None = None
    to_charge_min: int | None = None
    presence: Presence = Presence.UNKNOWN
    indicator: Indicator = Indicator.UNKNOWN
    charging: Charging = Charging.UNKNOWN
    service: Service = Service.UNKNOWN
    OPCODE: ClassVar = 0x8224
    FIELDS: ClassVar = (_LEVEL, _MINUTES, _MINUTES, octet("battery flags"))

    def values(self) -> tuple[Any, ...]:
        times = (self.to_discharge_min, self.to_charge_min)
        return (
            _LEVEL_UNKNOWN if self.level is None else self.level,
            *(_MINUTES_UNKNOWN if minutes is None else minutes for minutes in times),
            self.presence | self.indicator << 2 | self.charging << 4 | self.service << 6,
        )

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        level, to_discharge, to_charge, flags = values
        return cls(
            _known(level, _LEVEL_UNKNOWN),
            _known(to_discharge, _MINUTES_UNKNOWN),
            _known(to_charge, _MINUTES_UNKNOWN),
            Presence(flags & 3),
            Indicator(flags >> 2 & 3),
            Charging(flags >> 4 & 3),
            Service(flags >> 6),
        )


MESSAGES: tuple[type[Record], ...] = (BatteryGet, BatteryStatus)
