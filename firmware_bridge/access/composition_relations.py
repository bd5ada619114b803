"""Page 1 of a composition: which models extend which, and which belong together (section 4.2.1.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Self

from common.errors import Rejected, RejectReason
from firmware_bridge.access.fields import check_range
from firmware_bridge.access.pieces import Pieces

_COUNTS: Final = struct.Struct("<BB")
_CORRESPONDS: Final = 0x01
_LONG: Final = 0x02
_EXTENDED_MAX: Final = 0x3F


@dataclass(frozen=True, slots=True)
class Extended:
    """A model that is extended: the distance to its element, and its place among that element's models."""

    element_offset: int
    model_index: int

    def __post_init__(self) -> None:
        check_range(self.element_offset, -128, 127, "element offset")
        check_range(self.model_index, 0, 0xFF, "model index")

    @property
    def short(self) -> bool:
        """Whether one byte holds it."""
        return -4 <= self.element_offset <= 3 and self.model_index <= 0x1F

    def to_wire(self, long: bool) -> bytes:
        if long:
            return bytes((self.element_offset & 0xFF, self.model_index))
        return bytes((self.element_offset & 0x07 | self.model_index << 3,))

    @classmethod
    def take(cls, pieces: Pieces, long: bool) -> Extended:
        """The next one. Raises Rejected(TRUNCATED)."""
        if long:
            return cls(int.from_bytes(pieces.take(1), signed=True), pieces.number(1))
        octet = pieces.number(1)
        return cls((octet & 0x07 ^ 0x04) - 4, octet >> 3)


@dataclass(frozen=True, slots=True)
class ModelRelations:
    """What a model extends, and the number of the group of models it corresponds to, if any."""

    extends: tuple[Extended, ...] = ()
    corresponds: int | None = None

    def __post_init__(self) -> None:
        check_range(len(self.extends), 0, _EXTENDED_MAX, "extended models")
        if self.corresponds is not None:
            check_range(self.corresponds, 0, 0xFF, "correspondence group")

    def to_wire(self) -> bytes:
        long = not all(one.short for one in self.extends)
        flags = (_LONG if long else 0) | (0 if self.corresponds is None else _CORRESPONDS)
        group = b"" if self.corresponds is None else bytes((self.corresponds,))
        head = bytes((flags | len(self.extends) << 2,)) + group
        return head + b"".join(one.to_wire(long) for one in self.extends)

    @classmethod
    def take(cls, pieces: Pieces) -> ModelRelations:
        """The next model's. Raises Rejected(TRUNCATED)."""
        head = pieces.number(1)
        group = pieces.number(1) if head & _CORRESPONDS else None
        extends = tuple(Extended.take(pieces, bool(head & _LONG)) for _ in range(head >> 2))
        return cls(extends, group)


@dataclass(frozen=True, slots=True)
class ElementRelations:
    """The models of one element, in the order of page 0."""

    sig: tuple[ModelRelations, ...]
    vendor: tuple[ModelRelations, ...]

    def __post_init__(self) -> None:
        check_range(len(self.sig), 0, 0xFF, "SIG models")
        check_range(len(self.vendor), 0, 0xFF, "vendor models")

    def to_wire(self) -> bytes:
        head = _COUNTS.pack(len(self.sig), len(self.vendor))
        return head + b"".join(model.to_wire() for model in self.sig + self.vendor)

    @classmethod
    def take(cls, pieces: Pieces) -> ElementRelations:
        """The next element's. Raises Rejected(TRUNCATED)."""
        sig, vendor = pieces.unpack(_COUNTS)
        return cls(
            tuple(ModelRelations.take(pieces) for _ in range(sig)),
            tuple(ModelRelations.take(pieces) for _ in range(vendor)),
        )


@dataclass(frozen=True, slots=True)
class Relations:
    """The whole page, an entry for each element."""

    elements: tuple[ElementRelations, ...]

    def __post_init__(self) -> None:
        if not self.elements:
            raise Rejected(RejectReason.INVALID, "a node has at least one element")

    def to_wire(self) -> bytes:
        return b"".join(element.to_wire() for element in self.elements)

    @classmethod
    def from_wire(cls, data: bytes) -> Self:
        """The inverse of `to_wire`. Raises Rejected."""
        pieces = Pieces(data, "composition page 1")
        elements = []
        while pieces:
            elements.append(ElementRelations.take(pieces))
        return cls(tuple(elements))
