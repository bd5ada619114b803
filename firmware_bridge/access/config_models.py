"""Config messages that give a model its application key, its subscriptions and its publication.

Mesh Protocol 1.1, sections 4.3.2.37 to 4.3.2.40 (AppKey), 4.3.2.46 to 4.3.2.48 (Model App),
4.3.2.19, 4.3.2.26 (subscription) and 4.3.2.16, 4.3.2.18 (publication). Virtual addresses are refused:
nobody here knows labels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import ClassVar, Self

from common.errors import Rejected, RejectReason
from common.mesh.addresses import TTL_MAX, check_unicast, is_virtual
from firmware_bridge.access.fields import KEY_INDEX_MAX, ModelId, check_range, take_with_model

_APPKEY_ADD = struct.Struct("<3s16s")
_APPKEY_STATUS = struct.Struct("<B3s")
_TWO_WORDS = struct.Struct("<HH")
_STATUS_TWO_WORDS = struct.Struct("<BHH")
_PUBLICATION = struct.Struct("<HHHBBB")
_STATUS_PUBLICATION = struct.Struct("<BHHHBBB")

# Publish TTL 0xFF means "the node's default TTL" (section 4.2.3.5).
PUBLISH_TTL_DEFAULT = 0xFF
_CREDENTIAL_FLAG = 0x1000


def _key_indexes(net_key: int, app_key: int) -> bytes:
    """Two 12-bit indexes in three bytes, the NetKey's in the low bits (section 4.3.1.1)."""
    return (net_key | app_key << 12).to_bytes(3, "little")


def _from_key_indexes(packed: bytes) -> tuple[int, int]:
    number = int.from_bytes(packed, "little")
    return number & KEY_INDEX_MAX, number >> 12


def _check_address(address: int, what: str) -> None:
    check_range(address, 0, 0xFFFF, what)
    if is_virtual(address):
        raise Rejected(RejectReason.INVALID, f"{what} 0x{address:04x} is virtual; its label is needed")


@dataclass(frozen=True, slots=True)
class AppKeyAdd:
    """Give a node an application key. Adding the same key again succeeds."""

    net_key_index: int
    app_key_index: int
    key: bytes = field(repr=False)
    OPCODE: ClassVar[int] = 0x00

    def __post_init__(self) -> None:
        check_range(self.net_key_index, 0, KEY_INDEX_MAX, "NetKey index")
        check_range(self.app_key_index, 0, KEY_INDEX_MAX, "AppKey index")
        if len(self.key) != 16:
            raise Rejected(RejectReason.MALFORMED, "an application key has 16 bytes")

    def parameters(self) -> bytes:
        return _APPKEY_ADD.pack(_key_indexes(self.net_key_index, self.app_key_index), self.key)

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        if len(parameters) != _APPKEY_ADD.size:
            raise Rejected(RejectReason.MALFORMED, f"AppKeyAdd: {len(parameters)} bytes of parameters")
        return cls(*_from_key_indexes(parameters[:3]), parameters[3:])


@dataclass(frozen=True, slots=True)
class AppKeyStatus:
    status: int
    net_key_index: int
    app_key_index: int
    OPCODE: ClassVar[int] = 0x8003

    def __post_init__(self) -> None:
        check_range(self.status, 0, 0xFF, "status")
        check_range(self.net_key_index, 0, KEY_INDEX_MAX, "NetKey index")
        check_range(self.app_key_index, 0, KEY_INDEX_MAX, "AppKey index")

    def parameters(self) -> bytes:
        return _APPKEY_STATUS.pack(self.status, _key_indexes(self.net_key_index, self.app_key_index))

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        if len(parameters) != _APPKEY_STATUS.size:
            raise Rejected(RejectReason.MALFORMED, f"AppKeyStatus: {len(parameters)} bytes of parameters")
        return cls(parameters[0], *_from_key_indexes(parameters[1:]))


@dataclass(frozen=True, slots=True)
class ModelAppBind:
    """Let a model of an element use an application key. Binding again succeeds."""

    element: int
    app_key_index: int
    model: ModelId
    OPCODE: ClassVar[int] = 0x803D

    def __post_init__(self) -> None:
        check_unicast(self.element)
        check_range(self.app_key_index, 0, KEY_INDEX_MAX, "AppKey index")

    def parameters(self) -> bytes:
        return _TWO_WORDS.pack(self.element, self.app_key_index) + self.model.to_wire()

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        (element, index), model = take_with_model(_TWO_WORDS, parameters, cls.__name__)
        return cls(element, index, model)


@dataclass(frozen=True, slots=True)
class ModelAppStatus:
    status: int
    element: int
    app_key_index: int
    model: ModelId
    OPCODE: ClassVar[int] = 0x803E

    def __post_init__(self) -> None:
        check_range(self.status, 0, 0xFF, "status")
        check_range(self.element, 0, 0xFFFF, "element address")
        check_range(self.app_key_index, 0, KEY_INDEX_MAX, "AppKey index")

    def parameters(self) -> bytes:
        fields = _STATUS_TWO_WORDS.pack(self.status, self.element, self.app_key_index)
        return fields + self.model.to_wire()

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        (status, element, index), model = take_with_model(_STATUS_TWO_WORDS, parameters, cls.__name__)
        return cls(status, element, index, model)


@dataclass(frozen=True, slots=True)
class ModelSubscriptionAdd:
    """Make a model listen to a group. Adding again succeeds."""

    element: int
    group: int
    model: ModelId
    OPCODE: ClassVar[int] = 0x801B

    def __post_init__(self) -> None:
        check_unicast(self.element)
        _check_address(self.group, "group")

    def parameters(self) -> bytes:
        return _TWO_WORDS.pack(self.element, self.group) + self.model.to_wire()

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        (element, group), model = take_with_model(_TWO_WORDS, parameters, cls.__name__)
        return cls(element, group, model)


@dataclass(frozen=True, slots=True)
class ModelSubscriptionStatus:
    status: int
    element: int
    group: int
    model: ModelId
    OPCODE: ClassVar[int] = 0x801F

    def __post_init__(self) -> None:
        check_range(self.status, 0, 0xFF, "status")
        check_range(self.element, 0, 0xFFFF, "element address")
        check_range(self.group, 0, 0xFFFF, "group")

    def parameters(self) -> bytes:
        return _STATUS_TWO_WORDS.pack(self.status, self.element, self.group) + self.model.to_wire()

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        (status, element, group), model = take_with_model(_STATUS_TWO_WORDS, parameters, cls.__name__)
        return cls(status, element, group, model)


@dataclass(frozen=True, slots=True)
class Publication:
    """Where and how a model publishes (section 4.2.3).

    `retransmit` is the state's octet as it goes on air: three bits of retransmissions, five bits of
    50 ms steps - 1. The specification adds one first transmission; BlueZ 5.66 takes the count as the
    number of transmissions and 0 for "for ever", so never send it 0.
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
        check_range(self.element, 0, 0xFFFF, "element address")
        _check_address(self.address, "publish address")
        check_range(self.app_key_index, 0, KEY_INDEX_MAX, "AppKey index")
        if self.ttl != PUBLISH_TTL_DEFAULT:
            check_range(self.ttl, 0, TTL_MAX, "publish TTL")
        check_range(self.period, 0, 0xFF, "publish period")
        check_range(self.retransmit, 0, 0xFF, "publish retransmit")

    def fields(self) -> tuple[int, ...]:
        key = self.app_key_index | (_CREDENTIAL_FLAG if self.friend_credentials else 0)
        return (self.element, self.address, key, self.ttl, self.period, self.retransmit)

    @classmethod
    def from_fields(cls, fields: tuple[int, ...], model: ModelId) -> Publication:
        element, address, key, ttl, period, retransmit = fields
        # Bits 13 to 15 are reserved and ignored, as the specification asks of receivers.
        return cls(
            element=element,
            address=address,
            model=model,
            app_key_index=key & KEY_INDEX_MAX,
            friend_credentials=bool(key & _CREDENTIAL_FLAG),
            ttl=ttl,
            period=period,
            retransmit=retransmit,
        )


@dataclass(frozen=True, slots=True)
class ModelPublicationSet:
    publication: Publication
    OPCODE: ClassVar[int] = 0x03

    def __post_init__(self) -> None:
        check_unicast(self.publication.element)

    def parameters(self) -> bytes:
        return _PUBLICATION.pack(*self.publication.fields()) + self.publication.model.to_wire()

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        fields, model = take_with_model(_PUBLICATION, parameters, cls.__name__)
        return cls(Publication.from_fields(fields, model))


@dataclass(frozen=True, slots=True)
class ModelPublicationStatus:
    status: int
    publication: Publication
    OPCODE: ClassVar[int] = 0x8019

    def __post_init__(self) -> None:
        check_range(self.status, 0, 0xFF, "status")

    def parameters(self) -> bytes:
        fields = _STATUS_PUBLICATION.pack(self.status, *self.publication.fields())
        return fields + self.publication.model.to_wire()

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        (status, *fields), model = take_with_model(_STATUS_PUBLICATION, parameters, cls.__name__)
        return cls(status, Publication.from_fields(tuple(fields), model))
