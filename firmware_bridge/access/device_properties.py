"""The common device properties: what a property id means and how its bytes become numbers with units.

Mesh Device Properties 2, section 4, gives the ids and the characteristic of each; the fields of the
characteristics are in the GATT Specification Supplement. A property that is not here stays bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from common.errors import Rejected, RejectReason
from firmware_bridge.access import characteristics as form
from firmware_bridge.access.characteristics import Format


@dataclass(frozen=True, slots=True)
class Reading:
    """One number of a property; `field` is empty where there is one only, `value` None when not known."""

    field: str
    value: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class Property:
    """A property's fields in the order in which they go on air."""

    number: int
    name: str
    fields: tuple[tuple[str, Format], ...]

    @property
    def size(self) -> int:
        """Bytes of a value."""
        return sum(format.size for _, format in self.fields)

    def decode(self, data: bytes) -> tuple[Reading, ...]:
        """The numbers in a value. Raises Rejected: MALFORMED, OUT_OF_RANGE."""
        if len(data) != self.size:
            detail = f"{self.name} has {self.size} bytes, not {len(data)}"
            raise Rejected(RejectReason.MALFORMED, detail)
        readings, at = [], 0
        for field, format in self.fields:
            readings.append(Reading(field, format.decode(data[at : at + format.size]), format.unit))
            at += format.size
        return tuple(readings)

    def encode(self, *values: float | None) -> bytes:
        """The bytes of the numbers, one for each field. Raises Rejected: MALFORMED, OUT_OF_RANGE."""
        if len(values) != len(self.fields):
            raise Rejected(RejectReason.MALFORMED, f"{self.name} has {len(self.fields)} numbers")
        pairs = zip(self.fields, values, strict=True)
        return b"".join(format.encode(value) for (_, format), value in pairs)


def _statistics(format: Format) -> tuple[tuple[str, Format], ...]:
    names = ("average", "standard deviation", "minimum", "maximum")
    return (*((name, format) for name in names), ("duration", form.EXPONENTIAL_8))


def _average(format: Format) -> tuple[tuple[str, Format], ...]:
    return ("average", format), ("duration", form.EXPONENTIAL_8)


def _range(format: Format) -> tuple[tuple[str, Format], ...]:
    return ("minimum", format), ("maximum", format)


def _specification(format: Format) -> tuple[tuple[str, Format], ...]:
    return ("minimum", format), ("typical", format), ("maximum", format)


def _share_in(format: Format) -> tuple[tuple[str, Format], ...]:
    return ("share", form.PERCENTAGE_8), ("minimum", format), ("maximum", format)


def _of_day(name: str, format: Format) -> tuple[tuple[str, Format], ...]:
    return (name, format), ("from", form.DECIHOURS_8), ("to", form.DECIHOURS_8)


_Row = tuple[int, str, Format | tuple[tuple[str, Format], ...]]

_OCCUPANCY: Final[Sequence[_Row]] = (
    (0x0042, "motion sensed", form.PERCENTAGE_8),
    (0x0043, "motion threshold", form.PERCENTAGE_8),
    (0x004C, "people count", form.COUNT_16),
    (0x004D, "presence detected", form.BOOLEAN),
    (0x0068, "time since motion sensed", form.SECONDS_16),
    (0x0069, "time since presence detected", form.SECONDS_16),
)
_CLIMATE: Final[Sequence[_Row]] = (
    (0x0001, "average ambient temperature in a period of day", _of_day("temperature", form.TEMPERATURE_8)),
    (0x001C, "indoor ambient temperature statistics", _statistics(form.TEMPERATURE_8)),
    (0x0045, "outdoor temperature statistics", _statistics(form.TEMPERATURE_8)),
    (0x004F, "present ambient temperature", form.TEMPERATURE_8),
    (0x0056, "present indoor ambient temperature", form.TEMPERATURE_8),
    (0x005B, "present outdoor ambient temperature", form.TEMPERATURE_8),
    (0x0071, "desired ambient temperature", form.TEMPERATURE_8),
    (0x0075, "precise present ambient temperature", form.TEMPERATURE),
    (0x0076, "present ambient relative humidity", form.HUMIDITY),
    (0x0077, "present ambient carbon dioxide", form.CARBON_DIOXIDE),
    (0x0078, "present ambient volatile organic compounds", form.VOLATILE_ORGANICS),
    (0x0079, "present ambient noise", form.NOISE),
    (0x0082, "air pressure", form.PRESSURE),
    (0x0085, "apparent wind direction", form.DIRECTION),
    (0x0086, "apparent wind speed", form.SPEED),
    (0x0087, "dew point", form.WHOLE_DEGREES),
    (0x008A, "gust factor", form.GUST_FACTOR),
    (0x008B, "heat index", form.WHOLE_DEGREES),
    (0x00A1, "magnetic declination", form.DIRECTION),
    (0x00A2, "magnetic flux density", (("x", form.FLUX_DENSITY), ("y", form.FLUX_DENSITY))),
    (
        0x00A3,
        "magnetic flux density in space",
        (("x", form.FLUX_DENSITY), ("y", form.FLUX_DENSITY), ("z", form.FLUX_DENSITY)),
    ),
    (0x00A6, "pollen concentration", form.POLLEN),
    (0x00A7, "present indoor relative humidity", form.HUMIDITY),
    (0x00A8, "present outdoor relative humidity", form.HUMIDITY),
    (0x00A9, "pressure", form.PRESSURE),
    (0x00AA, "rainfall", form.RAINFALL),
    (0x00AF, "true wind direction", form.DIRECTION),
    (0x00B0, "true wind speed", form.SPEED),
    (0x00B1, "UV index", form.UV_INDEX),
    (0x00B2, "wind chill", form.WHOLE_DEGREES),
)
_DEVICE: Final[Sequence[_Row]] = (
    (0x0013, "device operating temperature range", _range(form.TEMPERATURE)),
    (0x0014, "device operating temperature statistics", _statistics(form.TEMPERATURE)),
    (0x0054, "present device operating temperature", form.TEMPERATURE),
    (0x0064, "relative runtime in a device operating temperature range", _share_in(form.TEMPERATURE)),
    (0x006B, "total device off-on cycles", form.COUNT_24),
    (0x006C, "total device power-on cycles", form.COUNT_24),
    (0x006D, "total device power-on time", form.HOURS_24),
    (0x006E, "total device runtime", form.HOURS_24),
    (0x0074, "sensor gain", form.COEFFICIENT),
)
_ELECTRICITY: Final[Sequence[_Row]] = (
    (0x0002, "average input current", _average(form.CURRENT)),
    (0x0003, "average input voltage", _average(form.VOLTAGE)),
    (0x0004, "average output current", _average(form.CURRENT)),
    (0x0005, "average output voltage", _average(form.VOLTAGE)),
    (0x000D, "device energy use since turn on", form.ENERGY),
    (0x0016, "device power range", _specification(form.POWER)),
    (0x0021, "input current range", _specification(form.CURRENT)),
    (0x0022, "input current statistics", _statistics(form.CURRENT)),
    (0x0028, "input voltage range", _specification(form.VOLTAGE)),
    (0x002A, "input voltage statistics", _statistics(form.VOLTAGE)),
    (0x0046, "output current range", _range(form.CURRENT)),
    (0x0047, "output current statistics", _statistics(form.CURRENT)),
    (0x0048, "output ripple voltage", form.PERCENTAGE_8),
    (0x0049, "output voltage range", _specification(form.VOLTAGE)),
    (0x004A, "output voltage statistics", _statistics(form.VOLTAGE)),
    (0x0052, "present device input power", form.POWER),
    (0x0053, "present device operating efficiency", form.PERCENTAGE_8),
    (0x0057, "present input current", form.CURRENT),
    (0x0058, "present input ripple voltage", form.PERCENTAGE_8),
    (0x0059, "present input voltage", form.VOLTAGE),
    (0x005C, "present output current", form.CURRENT),
    (0x005D, "present output voltage", form.VOLTAGE),
    (0x005F, "present relative output ripple voltage", form.PERCENTAGE_8),
    (0x0060, "relative device energy use in a period of day", _of_day("energy", form.ENERGY)),
    (0x0065, "relative runtime in an input current range", _share_in(form.CURRENT)),
    (0x0066, "relative runtime in an input voltage range", _share_in(form.VOLTAGE)),
    (0x006A, "total device energy use", form.ENERGY),
    (0x0072, "precise total device energy use", form.ENERGY_32),
    (0x0073, "power factor", form.COSINE),
    (0x0080, "active energy loadside", form.ENERGY_32),
    (0x0081, "active power loadside", form.POWER),
    (0x0083, "apparent energy", form.APPARENT_ENERGY_32),
    (0x0084, "apparent power", form.APPARENT_POWER),
)
_LIGHT: Final[Sequence[_Row]] = (
    (0x001D, "initial chromaticity", (("x", form.CHROMATICITY), ("y", form.CHROMATICITY))),
    (0x001E, "initial colour temperature", form.COLOUR_TEMPERATURE),
    (0x001F, "initial luminous flux", form.LUMINOUS_FLUX),
    (0x0020, "initial planckian distance", form.CHROMATIC_DISTANCE),
    (0x002B, "light control: ambient light while on", form.ILLUMINANCE),
    (0x002C, "light control: ambient light while prolonged", form.ILLUMINANCE),
    (0x002D, "light control: ambient light in standby", form.ILLUMINANCE),
    (0x002E, "light control: lightness while on", form.LIGHTNESS),
    (0x002F, "light control: lightness while prolonged", form.LIGHTNESS),
    (0x0030, "light control: lightness in standby", form.LIGHTNESS),
    (0x0031, "light control: regulator accuracy", form.PERCENTAGE_8),
    (0x0032, "light control: regulator Kid", form.COEFFICIENT),
    (0x0033, "light control: regulator Kiu", form.COEFFICIENT),
    (0x0034, "light control: regulator Kpd", form.COEFFICIENT),
    (0x0035, "light control: regulator Kpu", form.COEFFICIENT),
    (0x0036, "light control: time to fade", form.MILLISECONDS_24),
    (0x0037, "light control: time to fade on", form.MILLISECONDS_24),
    (0x0038, "light control: time to fade to standby by itself", form.MILLISECONDS_24),
    (0x0039, "light control: time to fade to standby by hand", form.MILLISECONDS_24),
    (0x003A, "light control: occupancy delay", form.MILLISECONDS_24),
    (0x003B, "light control: time prolonged", form.MILLISECONDS_24),
    (0x003C, "light control: time on", form.MILLISECONDS_24),
    (0x003D, "lumen maintenance factor", form.PERCENTAGE_8),
    (0x003E, "luminous efficacy", form.LUMINOUS_EFFICACY),
    (0x003F, "luminous energy since turn on", form.LUMINOUS_ENERGY),
    (0x0040, "luminous exposure", form.LUMINOUS_EXPOSURE),
    (0x0041, "luminous flux range", _range(form.LUMINOUS_FLUX)),
    (0x004E, "present ambient light level", form.ILLUMINANCE),
    (0x0050, "present chromaticity", (("x", form.CHROMATICITY), ("y", form.CHROMATICITY))),
    (0x0051, "present colour temperature", form.COLOUR_TEMPERATURE),
    (0x0055, "present illuminance", form.ILLUMINANCE),
    (0x005A, "present luminous flux", form.LUMINOUS_FLUX),
    (0x005E, "present planckian distance", form.CHROMATIC_DISTANCE),
    (0x0062, "relative exposure time in an illuminance range", _share_in(form.ILLUMINANCE)),
    (0x006F, "total light exposure time", form.HOURS_24),
    (0x0070, "total luminous energy", form.LUMINOUS_ENERGY),
)


def _property(row: _Row) -> Property:
    number, name, fields = row
    return Property(number, name, fields if isinstance(fields, tuple) else (("", fields),))


_ROWS = (*_OCCUPANCY, *_CLIMATE, *_DEVICE, *_ELECTRICITY, *_LIGHT)
PROPERTIES: Final = MappingProxyType({row[0]: _property(row) for row in _ROWS})


def readings(number: int, data: bytes) -> tuple[Reading, ...] | None:
    """The numbers in a marshalled value; None for an unknown property, and where the value is missing.

    Raises Rejected: MALFORMED, OUT_OF_RANGE.
    """
    known = PROPERTIES.get(number)
    return None if known is None or not data else known.decode(data)
