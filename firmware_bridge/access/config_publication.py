"""Config messages of a model's publication (Mesh Protocol 1.1, sections 4.3.2.15 to 4.3.2.18)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from common.errors import Rejected, RejectReason
from common.mesh.addresses import TTL_MAX, is_virtual
from firmware_bridge.access.fields import KEY_INDEX_MAX, ModelId, check_range
from firmware_bridge.access.layout import ADDRESS, LABEL, MODEL, STATUS, UNICAST, Kind, octet, word
from firmware_bridge.access.record import Record

# Publish TTL 0xFF means "the node's default TTL" (section 4.2.3.5).
PUBLISH_TTL_DEFAULT: Final = 0xFF
_CREDENTIAL_FLAG: Final = 0x1000

# Application key, TTL, period and retransmit, as both ways of setting a publication end.
_SETTINGS: Final[tuple[Kind, ...]] = (
    word("AppKey index and credential flag"),
    octet("publish TTL", 0, TTL_MAX, also=(PUBLISH_TTL_DEFAULT,)),
    octet("publish period"),
    octet("publish retransmit"),
)
_PUBLICATION: Final[tuple[Kind, ...]] = (ADDRESS, ADDRESS, *_SETTINGS, MODEL)


def _key_and_flag(app_key_index: int, friend_credentials: bool) -> int:
    check_range(app_key_index, 0, KEY_INDEX_MAX, "AppKey index")
    return app_key_index | (_CREDENTIAL_FLAG if friend_credentials else 0)


def _from_key_and_flag(word: int) -> tuple[int, bool]:
    # Bits 13 to 15 are reserved and ignored, as the specification asks of receivers.
    return word & KEY_INDEX_MAX, bool(word & _CREDENTIAL_FLAG)


@dataclass(frozen=True, slots=True)
class Publication:
    """Where and how a model publishes (section 4.2.3); `address` 0 is nowhere.

    `period` is six bits of steps and two of their length, see `intervals`. `retransmit` is the state's octet
    as it goes on air: three bits of retransmissions, five bits of 50 ms steps - 1. The specification adds one
    first transmission; BlueZ 5.66 takes the count as the number of transmissions and 0 for "for ever", so
    never send it 0.
    """

    element: int
    address: int
    model: ModelId
    app_key_index: int = 0
    friend_credentials: bool = False
    ttl: int = PUBLISH_TTL_DEFAULT
    period: int = 0
    retransmit: int = 1

    def __post_init__(self) -> None:
        for kind, value in zip(_PUBLICATION, self.values(), strict=True):
            kind.check(value)

    def values(self) -> tuple[Any, ...]:
        """The fields in the order of the messages."""
        key = _key_and_flag(self.app_key_index, self.friend_credentials)
        return self.element, self.address, key, self.ttl, self.period, self.retransmit, self.model

    @classmethod
    def from_values(cls, *values: Any) -> Publication:
        """The inverse of `values`."""
        element, address, key, ttl, period, retransmit, model = values
        return cls(element, address, model, *_from_key_and_flag(key), ttl, period, retransmit)


@dataclass(frozen=True, slots=True)
class ModelPublicationGet(Record):
    """Model Publication Get (4.3.2.15)."""

    element: int
    model: ModelId
    OPCODE: ClassVar = 0x8018
    FIELDS: ClassVar = (UNICAST, MODEL)


@dataclass(frozen=True, slots=True)
class ModelPublicationSet(Record):
    """Model Publication Set (4.3.2.16)."""

    publication: Publication
    OPCODE: ClassVar = 0x03
    FIELDS: ClassVar = (UNICAST, ADDRESS, *_SETTINGS, MODEL)

    def check(self) -> None:
        if is_virtual(self.publication.address):
            raise Rejected(RejectReason.INVALID, "a virtual address is set by its label")

    def values(self) -> tuple[Any, ...]:
        return self.publication.values()

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        return cls(Publication.from_values(*values))


@dataclass(frozen=True, slots=True)
class ModelPublicationVirtualSet(Record):
    """The same with the label of a virtual address (4.3.2.17); see `Publication` for the other fields."""

    element: int
    label: bytes
    model: ModelId
    app_key_index: int = 0
    friend_credentials: bool = False
    ttl: int = PUBLISH_TTL_DEFAULT
    period: int = 0
    retransmit: int = 1
    OPCODE: ClassVar = 0x801A
    FIELDS: ClassVar = (UNICAST, LABEL, *_SETTINGS, MODEL)

    def values(self) -> tuple[Any, ...]:
        key = _key_and_flag(self.app_key_index, self.friend_credentials)
        return self.element, self.label, key, self.ttl, self.period, self.retransmit, self.model

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        element, label, key, ttl, period, retransmit, model = values
        return cls(element, label, model, *_from_key_and_flag(key), ttl, period, retransmit)


@dataclass(frozen=True, slots=True)
class ModelPublicationStatus(Record):
    """What a model publishes now (4.3.2.18); the address is a virtual one after a label was set."""

    status: int
    publication: Publication
    OPCODE: ClassVar = 0x8019
    FIELDS: ClassVar = (STATUS, *_PUBLICATION)

    def values(self) -> tuple[Any, ...]:
        return self.status, *self.publication.values()

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        status, *fields = values
        return cls(status, Publication.from_values(*fields))


MESSAGES: tuple[type[Record], ...] = (
    ModelPublicationGet,
    ModelPublicationSet,
    ModelPublicationVirtualSet,
    ModelPublicationStatus,
)
