"""Page 2 of a composition: the mesh profiles that a node conforms to (section 4.2.1.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final, Self

from firmware_bridge.access.fields import check_range
from firmware_bridge.access.pieces import Pieces

_HEAD: Final = struct.Struct("<HBBBB")


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile: its assigned number, its version x.y.z, and the elements that implement it."""

    number: int
    version: tuple[int, int, int]
    element_offsets: tuple[int, ...] = ()
    additional: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        check_range(self.number, 0, 0xFFFF, "profile number")
        check_range(len(self.version), 3, 3, "version parts")
        check_range(len(self.element_offsets), 0, 0xFF, "elements of a profile")
        check_range(len(self.additional), 0, 0xFFFF, "additional data of a profile")
        for value in self.version + self.element_offsets:
            check_range(value, 0, 0xFF, "profile field")

    def to_wire(self) -> bytes:
        head = _HEAD.pack(self.number, *self.version, len(self.element_offsets))
        length = len(self.additional).to_bytes(2, "little")
        return head + bytes(self.element_offsets) + length + self.additional

    @classmethod
    def take(cls, pieces: Pieces) -> Profile:
        """The next one. Raises Rejected(TRUNCATED)."""
        number, x, y, z, elements = pieces.unpack(_HEAD)
        offsets = tuple(pieces.take(elements))
        return cls(number, (x, y, z), offsets, pieces.take(pieces.number(2)))


@dataclass(frozen=True, slots=True)
class Profiles:
    """The whole page."""

    profiles: tuple[Profile, ...]

    def to_wire(self) -> bytes:
        return b"".join(profile.to_wire() for profile in self.profiles)

    @classmethod
    def from_wire(cls, data: bytes) -> Self:
        """The inverse of `to_wire`. Raises Rejected."""
        pieces = Pieces(data, "composition page 2")
        profiles = []
        while pieces:
            profiles.append(Profile.take(pieces))
        return cls(tuple(profiles))
