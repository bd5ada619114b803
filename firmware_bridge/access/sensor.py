"""Sensor messages (Mesh Model 1.1, sections 4.1 and 4.2). Columns and series are not taken apart here.

A value is bytes of a device property; `device_properties` turns them into numbers with units.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

from common.errors import Rejected, RejectReason
from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.layout import Choice, Many, Octets, Own, word
from firmware_bridge.access.record import Record
from firmware_bridge.access.sensor_states import Cadence, Descriptions, Marshalled

SERVER: Final = ModelId(0x1100)
SETUP_SERVER: Final = ModelId(0x1101)
CLIENT: Final = ModelId(0x1102)

# Property 0 is prohibited.
_PROPERTY = word("property id", 1)
_SETTING = word("setting's property id", 1)
_CADENCE = Own(Cadence)


class SettingAccess(IntEnum):
    """Section 4.1.2.3. Other values are prohibited."""

    READ = 1
    READ_WRITE = 3


@dataclass(frozen=True, slots=True)
class _Get(Record):
    """About one property, or about all of them."""

    property: int | None = None
    TAIL: ClassVar = (_PROPERTY,)


@dataclass(frozen=True, slots=True)
class _OfProperty(Record):
    property: int
    FIELDS: ClassVar = (_PROPERTY,)


@dataclass(frozen=True, slots=True)
class _CadenceSet(Record):
    property: int
    cadence: Cadence
    FIELDS: ClassVar = (_PROPERTY, _CADENCE)


@dataclass(frozen=True, slots=True)
class _SettingSet(Record):
    """`value` has the format of the setting's property."""

    property: int
    setting: int
    value: bytes
    FIELDS: ClassVar = (_PROPERTY, _SETTING, Octets("setting"))

    def check(self) -> None:
        if not self.value:
            raise Rejected(RejectReason.TRUNCATED, "a setting without its value")


class SensorDescriptorGet(_Get):
    OPCODE = 0x8230


@dataclass(frozen=True, slots=True)
class SensorDescriptorStatus(Record):
    """What sensors a node has; or the property asked for, when the node has no sensor of it."""

    described: Descriptions
    OPCODE: ClassVar = 0x51
    FIELDS: ClassVar = (Own(Descriptions),)


class SensorGet(_Get):
    OPCODE = 0x8231


@dataclass(frozen=True, slots=True)
class SensorStatus(Record):
    """Values by property; an empty value says that the node has no sensor of that property."""

    marshalled: Marshalled
    OPCODE: ClassVar = 0x52
    FIELDS: ClassVar = (Own(Marshalled),)


class SensorCadenceGet(_OfProperty):
    OPCODE = 0x8234


class SensorCadenceSet(_CadenceSet):
    OPCODE = 0x55


class SensorCadenceSetUnacknowledged(_CadenceSet):
    OPCODE = 0x56


@dataclass(frozen=True, slots=True)
class SensorCadenceStatus(Record):
    """`cadence` is None when the node has no sensor of the property, or the sensor no cadence."""

    property: int
    cadence: Cadence | None = None
    OPCODE: ClassVar = 0x57
    FIELDS: ClassVar = (_PROPERTY,)
    TAIL: ClassVar = (_CADENCE,)


class SensorSettingsGet(_OfProperty):
    OPCODE = 0x8235


@dataclass(frozen=True, slots=True)
class SensorSettingsStatus(Record):
    """The properties that are settings of a sensor."""

    property: int
    settings: tuple[int, ...]
    OPCODE: ClassVar = 0x58
    FIELDS: ClassVar = (_PROPERTY, Many(_SETTING))


@dataclass(frozen=True, slots=True)
class SensorSettingGet(Record):
    property: int
    setting: int
    OPCODE: ClassVar = 0x8236
    FIELDS: ClassVar = (_PROPERTY, _SETTING)


class SensorSettingSet(_SettingSet):
    OPCODE = 0x59


class SensorSettingSetUnacknowledged(_SettingSet):
    OPCODE = 0x5A


@dataclass(frozen=True, slots=True)
class SensorSettingStatus(Record):
    """`access` is None when the node does not know the setting; `value` is empty if it cannot be written."""

    property: int
    setting: int
    access: SettingAccess | None = None
    value: bytes = b""
    OPCODE: ClassVar = 0x5B
    FIELDS: ClassVar = (_PROPERTY, _SETTING)
    TAIL: ClassVar = (Choice("setting access", SettingAccess), Octets("setting"))


MESSAGES: tuple[type[Record], ...] = (
    SensorDescriptorGet,
    SensorDescriptorStatus,
    SensorGet,
    SensorStatus,
    SensorCadenceGet,
    SensorCadenceSet,
    SensorCadenceSetUnacknowledged,
    SensorCadenceStatus,
    SensorSettingsGet,
    SensorSettingsStatus,
    SensorSettingGet,
    SensorSettingSet,
    SensorSettingSetUnacknowledged,
    SensorSettingStatus,
)
