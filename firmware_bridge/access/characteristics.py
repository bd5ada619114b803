"""Formats of single values: from bytes to a number with its unit, and back.

GATT Specification Supplement, section 3. A value that a device says it does not know, or that is not valid,
is None. Which property has which format is told in `device_properties`.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final, Protocol

from common.errors import Rejected, RejectReason

_FLOAT = struct.Struct("<f")
_LIFETIME_OCTET: Final = 0xFE


class Format(Protocol):
    """How one value goes on air."""

    @property
    def size(self) -> int:
        """Bytes of a value."""

    @property
    def unit(self) -> str:
        """As people write it; empty for a plain number."""

    def decode(self, data: bytes) -> float | None:
        """The value of `size` bytes, None when it is not known. Raises Rejected(OUT_OF_RANGE)."""

    def encode(self, value: float | None) -> bytes:
        """The bytes nearest to a value. Raises Rejected(OUT_OF_RANGE)."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A whole number of steps: value = raw · `times` / `per`, with raw from `low` to `high`.

    `unknown` are the raw numbers that mean "not known" or "not valid", the first is the one that is sent.
    `more` is the raw number that means "the highest, or more".
    """

    unit: str
    size: int
    high: int
    per: int = 1
    times: int = 1
    low: int = 0
    unknown: tuple[int, ...] = ()
    more: int | None = None

    def decode(self, data: bytes) -> float | None:
        raw = int.from_bytes(data, "little", signed=self.low < 0)
        if raw in self.unknown:
            return None
        if raw == self.more:
            raw = self.high
        return self._checked(raw) * self.times / self.per

    def encode(self, value: float | None) -> bytes:
        raw = self._steps(value)
        return raw.to_bytes(self.size, "little", signed=self.low < 0)

    def _steps(self, value: float | None) -> int:
        if value is not None and math.isfinite(value):
            return self._checked(round(value * self.per / self.times))
        if value is None and self.unknown:
            return self.unknown[0]
        raise Rejected(RejectReason.OUT_OF_RANGE, f"{value} has no bytes in {self.unit or 'numbers'}")

    def _checked(self, raw: int) -> int:
        if not self.low <= raw <= self.high:
            raise Rejected(
                RejectReason.OUT_OF_RANGE, f"raw value {raw}; {self.low} to {self.high} are possible"
            )
        return raw


@dataclass(frozen=True, slots=True)
class Exponential:
    """Time Exponential 8: 1.1^(n - 64) seconds, 0 for none; the device's lifetime is infinite."""

    unit: str = "s"
    size: int = 1

    def decode(self, data: bytes) -> float | None:
        match data[0]:
            case 0:
                return 0.0
            case 0xFF:
                return None
            case 0xFE:
                return math.inf
        return float(1.1 ** (data[0] - 64))

    def encode(self, value: float | None) -> bytes:
        if value is None:
            return b"\xff"
        if value == math.inf:
            return bytes((_LIFETIME_OCTET,))
        octet = round(math.log(value, 1.1)) + 64 if value > 0 else 0
        if value != value or value < 0 or not 0 <= octet < _LIFETIME_OCTET:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"{value} s is no exponential time")
        return bytes((octet,))


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A floating point number of 32 bits; no number at all is refused."""

    unit: str = ""
    size: int = 4

    def decode(self, data: bytes) -> float | None:
        (value,) = _FLOAT.unpack(data)
        if not math.isfinite(value):
            raise Rejected(RejectReason.OUT_OF_RANGE, "a coefficient that is no number")
        return float(value)

    def encode(self, value: float | None) -> bytes:
        try:
            packed = _FLOAT.pack(math.nan if value is None else value)
        except OverflowError as error:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"coefficient {value}") from error
        self.decode(packed)
        return packed


def _unsigned(unit: str, size: int, per: int = 1, times: int = 1) -> Scalar:
    """A number of which the highest value means "not known"."""
    top = (1 << 8 * size) - 1
    return Scalar(unit, size, top - 1, per, times, unknown=(top,))


BOOLEAN: Final = Scalar("", 1, 1)
PERCENTAGE_8: Final = Scalar("%", 1, 200, per=2, unknown=(0xFF,))
HUMIDITY: Final = Scalar("%", 2, 10_000, per=100, unknown=(0xFFFF,))
TEMPERATURE_8: Final = Scalar("°C", 1, 126, per=2, low=-128, unknown=(127,))
TEMPERATURE: Final = Scalar("°C", 2, 0x7FFF, per=100, low=-27_315, unknown=(-0x8000,))
WHOLE_DEGREES: Final = Scalar("°C", 1, 127, low=-128)
ILLUMINANCE: Final = _unsigned("lx", 3, per=100)
COUNT_16: Final = _unsigned("", 2)
COUNT_24: Final = _unsigned("", 3)
SECONDS_16: Final = _unsigned("s", 2)
MILLISECONDS_24: Final = _unsigned("s", 3, per=1000)
DECIHOURS_8: Final = Scalar("h", 1, 240, per=10, unknown=(0xFF,))
HOURS_24: Final = _unsigned("h", 3)
EXPONENTIAL_8: Final = Exponential()
CURRENT: Final = _unsigned("A", 2, per=100)
VOLTAGE: Final = Scalar("V", 2, 65_408, per=64, unknown=(0xFFFF,), more=0xFFFE)
POWER: Final = _unsigned("W", 3, per=10)
APPARENT_POWER: Final = Scalar("VA", 3, 0xFF_FFFD, per=10, unknown=(0xFF_FFFF, 0xFF_FFFE))
ENERGY: Final = _unsigned("kWh", 3)
ENERGY_32: Final = Scalar("kWh", 4, 0xFFFF_FFFD, per=1000, unknown=(0xFFFF_FFFF, 0xFFFF_FFFE))
APPARENT_ENERGY_32: Final = Scalar("kVAh", 4, 0xFFFF_FFFD, per=1000, unknown=(0xFFFF_FFFF, 0xFFFF_FFFE))
COSINE: Final = Scalar("", 1, 100, per=100, low=-100, unknown=(127,))
PRESSURE: Final = Scalar("Pa", 4, 0xFFFF_FFFF, per=10)
CARBON_DIOXIDE: Final = _unsigned("ppm", 2)
VOLATILE_ORGANICS: Final = _unsigned("ppb", 2)
NOISE: Final = _unsigned("dB", 1)
LUMINOUS_FLUX: Final = _unsigned("lm", 2)
LUMINOUS_EFFICACY: Final = Scalar("lm/W", 2, 18_000, per=10, unknown=(0xFFFF,))
LUMINOUS_ENERGY: Final = _unsigned("lm·h", 3, times=1000)
LUMINOUS_EXPOSURE: Final = _unsigned("lx·h", 3, times=1000)
COLOUR_TEMPERATURE: Final = Scalar("K", 2, 65_534, low=0, unknown=(0xFFFF,))
CHROMATICITY: Final = Scalar("", 2, 0xFFFF, per=1 << 16)
CHROMATIC_DISTANCE: Final = Scalar("", 2, 5_000, per=100_000, low=-5_000, unknown=(0x7FFE, 0x7FFF))
LIGHTNESS: Final = Scalar("", 2, 0xFFFF)
DIRECTION: Final = Scalar("°", 2, 35_999, per=100)
SPEED: Final = Scalar("m/s", 2, 0xFFFF, per=100)
GUST_FACTOR: Final = Scalar("", 1, 0xFF, per=10)
FLUX_DENSITY: Final = Scalar("µT", 2, 0x7FFF, per=10, low=-0x8000)
POLLEN: Final = Scalar("1/m³", 3, 0xFF_FFFF)
RAINFALL: Final = Scalar("m", 2, 0xFFFF, per=1000)
UV_INDEX: Final = Scalar("", 1, 0xFF)
COEFFICIENT: Final = Coefficient()
