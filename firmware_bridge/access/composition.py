"""What a node is made of: its composition, asked for page by page (Mesh Protocol 1.1, 4.3.2.4 and 4.3.2.5).

Pages 0, 1 and 2 are taken apart here (section 4.2.1). Pages 128, 129 and 130 say the same of the firmware
that the node will run after an update, in the same layout. A page that is too long for one message is asked
for with `large_composition`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self, TypeAlias

from common.errors import Rejected, RejectReason
from firmware_bridge.access.composition_profiles import Profiles
from firmware_bridge.access.composition_relations import Relations
from firmware_bridge.access.fields import ModelId, check_range
from firmware_bridge.access.layout import Octets, octet
from firmware_bridge.access.pieces import Pieces
from firmware_bridge.access.record import Record

# From this page on it is about the firmware to come (section 4.2.1).
NEXT_FIRMWARE: Final = 128

_HEAD = struct.Struct("<HHHHH")
_ELEMENT = struct.Struct("<HBB")


@dataclass(frozen=True, slots=True)
class Element:
    """One addressable part of a node: where it is (a GATT namespace descriptor) and its models, in order."""

    location: int
    models: tuple[ModelId, ...]

    def __post_init__(self) -> None:
        check_range(self.location, 0, 0xFFFF, "element location")
        sig = [model.company is None for model in self.models]
        if sig != sorted(sig, reverse=True):
            raise Rejected(RejectReason.INVALID, "the SIG's models come before those of vendors")
        check_range(sum(sig), 0, 0xFF, "SIG models")
        check_range(len(sig) - sum(sig), 0, 0xFF, "vendor models")

    def to_wire(self) -> bytes:
        vendor = sum(model.company is not None for model in self.models)
        head = _ELEMENT.pack(self.location, len(self.models) - vendor, vendor)
        return head + b"".join(model.to_wire() for model in self.models)

    @classmethod
    def take(cls, pieces: Pieces) -> Element:
        """The next element. Raises Rejected(TRUNCATED)."""
        location, sig, vendor = pieces.unpack(_ELEMENT)
        models = [ModelId.from_wire(pieces.take(2)) for _ in range(sig)]
        models += [ModelId.from_wire(pieces.take(4)) for _ in range(vendor)]
        return cls(location, tuple(models))


@dataclass(frozen=True, slots=True)
class Composition:
    """Page 0 (section 4.2.1.1): who made the node, what it can do, its elements from the primary on.

    `replay_entries` is the least number of sources it protects itself of; `features` has the bits of
    `stack.control.Features` that the node supports.
    """

    company: int
    product: int
    version: int
    replay_entries: int
    features: int
    elements: tuple[Element, ...]

    def __post_init__(self) -> None:
        for value in (self.company, self.product, self.version, self.replay_entries, self.features):
            check_range(value, 0, 0xFFFF, "composition field")
        if not self.elements:
            raise Rejected(RejectReason.INVALID, "a node has at least one element")

    def models(self) -> Iterator[tuple[int, ModelId]]:
        """Every model with the offset of its element from the node's address."""
        for offset, element in enumerate(self.elements):
            for model in element.models:
                yield offset, model

    def to_wire(self) -> bytes:
        head = _HEAD.pack(self.company, self.product, self.version, self.replay_entries, self.features)
        return head + b"".join(element.to_wire() for element in self.elements)

    @classmethod
    def from_wire(cls, data: bytes) -> Self:
        """The inverse of `to_wire`. Raises Rejected."""
        pieces = Pieces(data, "composition page 0")
        company, product, version, replay_entries, features = pieces.unpack(_HEAD)
        elements = []
        while pieces:
            elements.append(Element.take(pieces))
        return cls(company, product, version, replay_entries, features, tuple(elements))


Page: TypeAlias = "Composition | Relations | Profiles"
_PAGES: Final[dict[int, type[Composition] | type[Relations] | type[Profiles]]] = {
    0: Composition,
    1: Relations,
    2: Profiles,
}


def parse_page(number: int, data: bytes) -> Page | None:
    """A page of a composition (4.2.1); None for a page whose layout is not known. Raises Rejected.

    `number` is what the status says, which may be a lower page than was asked for.
    """
    kind = _PAGES.get(number % NEXT_FIRMWARE)
    return None if kind is None else kind.from_wire(data)


@dataclass(frozen=True, slots=True)
class CompositionGet(Record):
    """Ask for a page of the node's composition (4.3.2.4); page 0 always exists."""

    page: int = 0
    OPCODE: ClassVar = 0x8008
    FIELDS: ClassVar = (octet("composition page"),)


@dataclass(frozen=True, slots=True)
class CompositionStatus(Record):
    """A page of the node's composition (4.3.2.5): the one asked for, or the highest there is below it."""

    page: int
    data: bytes = field(repr=False)
    OPCODE: ClassVar = 0x02
    FIELDS: ClassVar = (octet("composition page"), Octets("composition data"))

    def parsed(self) -> Page | None:
        """See `parse_page`."""
        return parse_page(self.page, self.data)


MESSAGES: tuple[type[Record], ...] = (CompositionGet, CompositionStatus)
