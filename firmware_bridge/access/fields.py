"""Values that fields of several messages hold. All is little endian."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from common.errors import Rejected, RejectReason
from common.mesh.configuration import Transmit

KEY_INDEX_MAX: Final = 0x0FFF


class Status(IntEnum):
    """Answer codes of the Config server (Mesh Protocol 1.1, section 4.3.14); others stay plain numbers."""

    SUCCESS = 0x00
    INVALID_ADDRESS = 0x01
    INVALID_MODEL = 0x02
    INVALID_APPKEY_INDEX = 0x03
    INVALID_NETKEY_INDEX = 0x04
    INSUFFICIENT_RESOURCES = 0x05
    KEY_INDEX_ALREADY_STORED = 0x06
    INVALID_PUBLISH_PARAMETERS = 0x07
    NOT_A_SUBSCRIBE_MODEL = 0x08
    STORAGE_FAILURE = 0x09
    FEATURE_NOT_SUPPORTED = 0x0A
    CANNOT_UPDATE = 0x0B
    CANNOT_REMOVE = 0x0C
    CANNOT_BIND = 0x0D
    TEMPORARILY_UNABLE = 0x0E
    CANNOT_SET = 0x0F
    UNSPECIFIED_ERROR = 0x10
    INVALID_BINDING = 0x11


def status_name(code: int) -> str:
    """A status code as people read it."""
    try:
        return Status(code).name.lower().replace("_", " ")
    except ValueError:
        return f"status 0x{code:02x}"


def check_range(value: int, low: int, high: int, what: str) -> int:
    """Return a value within its range. Raises Rejected(OUT_OF_RANGE)."""
    if not low <= value <= high:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"{what} {value}; {low} to {high} are possible")
    return value


def transmit_to_wire(transmit: Transmit) -> int:
    """Sections 4.2.20 and 4.2.21: three bits of transmissions - 1, five bits of 10 ms steps - 1."""
    return (transmit.count - 1) | (transmit.interval_ms // 10 - 1) << 3


def transmit_from_wire(octet: int) -> Transmit:
    """The inverse of `transmit_to_wire`; every octet has a meaning."""
    return Transmit(count=(octet & 0x07) + 1, interval_ms=((octet >> 3) + 1) * 10)


@dataclass(frozen=True, slots=True)
class ModelId:
    """A model: the SIG's by a 16-bit id, a vendor's by company and 16-bit id (section 4.3.1.3)."""

    model: int
    company: int | None = None

    def __post_init__(self) -> None:
        check_range(self.model, 0, 0xFFFF, "model id")
        if self.company is not None:
            check_range(self.company, 0, 0xFFFF, "company id")

    def to_wire(self) -> bytes:
        """Two bytes, or four with the company first."""
        model = self.model.to_bytes(2, "little")
        return model if self.company is None else self.company.to_bytes(2, "little") + model

    @classmethod
    def from_wire(cls, data: bytes) -> ModelId:
        """The inverse of `to_wire`. Raises Rejected(MALFORMED)."""
        if len(data) == 2:
            return cls(int.from_bytes(data, "little"))
        if len(data) == 4:
            return cls(int.from_bytes(data[2:], "little"), int.from_bytes(data[:2], "little"))
        raise Rejected(RejectReason.MALFORMED, f"a model id has 2 or 4 bytes, not {len(data)}")

    @classmethod
    def from_site_file(cls, text: str) -> ModelId:
        """From four hexadecimal digits, or eight with the company first."""
        number = int(text, 16)
        return cls(number & 0xFFFF, number >> 16) if len(text) == 8 else cls(number)
