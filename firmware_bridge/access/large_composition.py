"""Long pages in parts: Large Composition Data and Models Metadata (Mesh Protocol 1.1, section 4.3.11).

Every part says the whole's size, so a client asks on from the end of what it has; `next_offset` says where.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from common.errors import Rejected, RejectReason
from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.layout import Octets, octet, word
from firmware_bridge.access.record import Record

SERVER: Final = ModelId(0x0012)
CLIENT: Final = ModelId(0x0013)

_PAGE = octet("page")
_OFFSET = word("offset")


@dataclass(frozen=True, slots=True)
class _Get(Record):
    page: int = 0
    offset: int = 0
    FIELDS: ClassVar = (_PAGE, _OFFSET)


@dataclass(frozen=True, slots=True)
class _Status(Record):
    """`data` is the part from `offset` on, as much as one message carries, of `total` bytes."""

    page: int
    offset: int
    total: int
    data: bytes = field(repr=False)
    FIELDS: ClassVar = (_PAGE, _OFFSET, word("total size"), Octets("part"))

    def check(self) -> None:
        if self.offset + len(self.data) > max(self.total, self.offset):
            raise Rejected(RejectReason.OUT_OF_RANGE, "a part reaches beyond the whole")

    @property
    def next_offset(self) -> int | None:
        """Where the next part starts; None when this is the last one, or has nothing in it."""
        end = self.offset + len(self.data)
        return end if self.data and end < self.total else None


class LargeCompositionGet(_Get):
    OPCODE = 0x8074


class LargeCompositionStatus(_Status):
    """A part of a composition page, for `composition.parse_page` when all are together."""

    OPCODE = 0x8075


class ModelsMetadataGet(_Get):
    OPCODE = 0x8076


class ModelsMetadataStatus(_Status):
    OPCODE = 0x8077


MESSAGES: tuple[type[Record], ...] = (
    LargeCompositionGet,
    LargeCompositionStatus,
    ModelsMetadataGet,
    ModelsMetadataStatus,
)
