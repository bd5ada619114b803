"""Kinds of fields that parameters are made of: how each goes on air, comes back and is checked.

A kind has a size in bytes, or None when it takes all that remains, and then stands last. Numbers are little
endian. Which fields a message has is said by the message: see `record`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from common.errors import Rejected, RejectReason
from common.mesh.addresses import TTL_MAX
from common.mesh.configuration import Transmit
from firmware_bridge.access.fields import (
    KEY_INDEX_MAX,
    ModelId,
    check_range,
    transmit_from_wire,
    transmit_to_wire,
)

E = TypeVar("E", bound=IntEnum)


class Kind(Protocol):
    """One kind of field."""

    @property
    def size(self) -> int | None:
        """Bytes it takes; None for all that remains."""

    def check(self, value: Any) -> None:
        """Refuse what cannot go on air. Raises Rejected."""

    def to_wire(self, value: Any) -> bytes:
        """The bytes of a checked value."""

    def from_wire(self, data: bytes) -> Any:
        """The value of `size` bytes, not checked yet. Raises Rejected."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `low` to `high`, or one of `also`. Bits outside `mask` are reserved and ignored."""

    what: str
    size: int
    low: int
    high: int
    also: frozenset[int] = frozenset()
    mask: int = -1

    def check(self, value: int) -> None:
        if value not in self.also:
            check_range(value, self.low, self.high, self.what)

    def to_wire(self, value: int) -> bytes:
        return value.to_bytes(self.size, "little", signed=self.low < 0)

    def from_wire(self, data: bytes) -> int:
        return int.from_bytes(data, "little", signed=self.low < 0) & self.mask


def octet(what: str, low: int = 0, high: int = 0xFF, also: Sequence[int] = ()) -> Number:
    """A number of one byte."""
    return Number(what, 1, low, high, frozenset(also))


def word(what: str, low: int = 0, high: int = 0xFFFF) -> Number:
    """A number of two bytes."""
    return Number(what, 2, low, high)


def key_index(what: str) -> Number:
    """A key index alone: 12 bits in two bytes, the rest reserved (section 4.3.1.1)."""
    return Number(what, 2, 0, KEY_INDEX_MAX, mask=KEY_INDEX_MAX)


@dataclass(frozen=True, slots=True)
class Choice(Generic[E]):
    """One octet with named values; all others are prohibited. `refused` are states that nobody can set."""

    what: str
    names: type[E]
    refused: frozenset[E] = frozenset()
    size: int = 1

    def check(self, value: E) -> None:
        if value not in self.names.__members__.values() or value in self.refused:
            raise Rejected(RejectReason.INVALID, f"{self.what} {int(value)} is prohibited")

    def to_wire(self, value: E) -> bytes:
        return bytes((value,))

    def from_wire(self, data: bytes) -> E:
        try:
            return self.names(data[0])
        except ValueError as error:
            raise Rejected(RejectReason.INVALID, f"{self.what} {data[0]} is prohibited") from error


@dataclass(frozen=True, slots=True)
class Flag:
    """One octet that is 0 or 1; all others are prohibited."""

    what: str
    size: int = 1

    def check(self, value: bool) -> None:
        if value not in (False, True):
            raise Rejected(RejectReason.INVALID, f"{self.what} value {value} is prohibited")

    def to_wire(self, value: bool) -> bytes:
        return bytes((value,))

    def from_wire(self, data: bytes) -> bool:
        if data[0] > 1:
            raise Rejected(RejectReason.INVALID, f"{self.what} value {data[0]} is prohibited")
        return data[0] == 1


@dataclass(frozen=True, slots=True)
class Octets:
    """Bytes as they are: a key, a label, or all that remains."""

    what: str
    size: int | None = None

    def check(self, value: bytes) -> None:
        if self.size is not None and len(value) != self.size:
            raise Rejected(RejectReason.MALFORMED, f"{self.what} has {self.size} bytes, not {len(value)}")

    def to_wire(self, value: bytes) -> bytes:
        return value

    def from_wire(self, data: bytes) -> bytes:
        return data


class Wired(Protocol):
    """A value that knows its own bytes and refuses what is wrong when it is made."""

    def to_wire(self) -> bytes:
        """Its bytes."""

    @classmethod
    def from_wire(cls, data: bytes) -> Self:
        """The value of these bytes. Raises Rejected."""


@dataclass(frozen=True, slots=True)
class Own:
    """A value with its own layout, of `size` bytes or of all that remain."""

    of: type[Wired]
    size: int | None = None

    def check(self, value: Wired) -> None:
        """Nothing: it was checked when it was made."""

    def to_wire(self, value: Wired) -> bytes:
        return value.to_wire()

    def from_wire(self, data: bytes) -> Wired:
        return self.of.from_wire(data)


@dataclass(frozen=True, slots=True)
class Transmits:
    """A network transmit or relay retransmit state (4.2.20, 4.2.21)."""

    size: int = 1

    def check(self, value: Transmit) -> None:
        """Nothing: it was checked when it was made."""

    def to_wire(self, value: Transmit) -> bytes:
        return bytes((transmit_to_wire(value),))

    def from_wire(self, data: bytes) -> Transmit:
        return transmit_from_wire(data[0])


@dataclass(frozen=True, slots=True)
class Model:
    """A model id: 2 bytes for the SIG's, 4 for a vendor's, either when it stands last."""

    size: int | None = None

    def check(self, value: ModelId) -> None:
        if self.size is not None and len(value.to_wire()) != self.size:
            raise Rejected(RejectReason.INVALID, f"{value} has not {self.size} bytes")

    def to_wire(self, value: ModelId) -> bytes:
        return value.to_wire()

    def from_wire(self, data: bytes) -> ModelId:
        return ModelId.from_wire(data)


@dataclass(frozen=True, slots=True)
class Many:
    """All that remains, as fields of one kind with a fixed size."""

    kind: Kind
    size: None = field(default=None, init=False)

    def check(self, value: tuple[Any, ...]) -> None:
        for one in value:
            self.kind.check(one)

    def to_wire(self, value: tuple[Any, ...]) -> bytes:
        return b"".join(self.kind.to_wire(one) for one in value)

    def from_wire(self, data: bytes) -> tuple[Any, ...]:
        step = self.kind.size or 1
        if len(data) % step:
            raise Rejected(RejectReason.TRUNCATED, f"a list of {len(data)} bytes ends within an entry")
        return tuple(self.kind.from_wire(data[at : at + step]) for at in range(0, len(data), step))


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The indexes of a network key and an application key in three bytes (section 4.3.1.1)."""

    size: int = 3

    def check(self, value: tuple[int, int]) -> None:
        for index, what in zip(value, ("NetKey index", "AppKey index"), strict=True):
            check_range(index, 0, KEY_INDEX_MAX, what)

    def to_wire(self, value: tuple[int, int]) -> bytes:
        return (value[0] | value[1] << 12).to_bytes(3, "little")

    def from_wire(self, data: bytes) -> tuple[int, int]:
        number = int.from_bytes(data, "little")
        return number & KEY_INDEX_MAX, number >> 12


@dataclass(frozen=True, slots=True)
class KeyList:
    """All that remains as key indexes: two in three bytes, an odd last one in two (section 4.3.1.1)."""

    what: str
    size: None = field(default=None, init=False)

    def check(self, value: tuple[int, ...]) -> None:
        for index in value:
            check_range(index, 0, KEY_INDEX_MAX, self.what)

    def to_wire(self, value: tuple[int, ...]) -> bytes:
        pairs = zip(value[::2], value[1::2], strict=False)
        last = value[-1].to_bytes(2, "little") if len(value) % 2 else b""
        return b"".join(KEY_PAIR.to_wire(pair) for pair in pairs) + last

    def from_wire(self, data: bytes) -> tuple[int, ...]:
        if len(data) % 3 == 1:
            raise Rejected(RejectReason.TRUNCATED, f"{self.what}: a list of {len(data)} bytes")
        indexes: tuple[int, ...] = ()
        for at in range(0, len(data) - 2, 3):
            indexes += KEY_PAIR.from_wire(data[at : at + 3])
        if len(data) % 3:
            indexes += (int.from_bytes(data[-2:], "little") & KEY_INDEX_MAX,)
        return indexes


KEY_PAIR: Final = KeyPair()
KEY: Final = Octets("a key", 16)
LABEL: Final = Octets("a label UUID", 16)
MODEL: Final = Model()
SIG_MODEL: Final = Model(2)
VENDOR_MODEL: Final = Model(4)
TRANSMIT: Final = Transmits()
STATUS: Final = octet("status")
NET_KEY_INDEX: Final = key_index("NetKey index")
APP_KEY_INDEX: Final = key_index("AppKey index")
UNICAST: Final = word("unicast address", 0x0001, 0x7FFF)
# What a node reports back, which may be what it was wrongly asked for.
ADDRESS: Final = word("address")
TTL: Final = octet("TTL", 0, TTL_MAX)
