"""Config messages that say which application keys a model uses and what it listens to.

Mesh Protocol 1.1, sections 4.3.2.19 to 4.3.2.30 (subscription) and 4.3.2.46 to 4.3.2.52 (Model App).
A group goes in the plain messages, a virtual address by its label in the virtual ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.layout import (
    ADDRESS,
    APP_KEY_INDEX,
    LABEL,
    MODEL,
    SIG_MODEL,
    STATUS,
    UNICAST,
    VENDOR_MODEL,
    KeyList,
    Many,
    word,
)
from firmware_bridge.access.record import Record

_GROUP = word("group", 0xC000, 0xFFFF)
_APP_KEYS = KeyList("AppKey indexes")


@dataclass(frozen=True, slots=True)
class _Binding(Record):
    element: int
    app_key_index: int
    model: ModelId
    FIELDS: ClassVar = (UNICAST, APP_KEY_INDEX, MODEL)


class ModelAppBind(_Binding):
    """Let a model of an element use an application key (4.3.2.46). Binding again succeeds."""

    OPCODE = 0x803D


class ModelAppUnbind(_Binding):
    """Take an application key from a model (4.3.2.47); its publication with that key ends."""

    OPCODE = 0x803F


@dataclass(frozen=True, slots=True)
class ModelAppStatus(Record):
    """Model App Status (4.3.2.48)."""

    status: int
    element: int
    app_key_index: int
    model: ModelId
    OPCODE: ClassVar = 0x803E
    FIELDS: ClassVar = (STATUS, ADDRESS, APP_KEY_INDEX, MODEL)


@dataclass(frozen=True, slots=True)
class _OfSigModel(Record):
    element: int
    model: ModelId
    FIELDS: ClassVar = (UNICAST, SIG_MODEL)


@dataclass(frozen=True, slots=True)
class _OfVendorModel(Record):
    element: int
    model: ModelId
    FIELDS: ClassVar = (UNICAST, VENDOR_MODEL)


class SigModelAppGet(_OfSigModel):
    """SIG Model App Get (4.3.2.49)."""

    OPCODE = 0x804B


@dataclass(frozen=True, slots=True)
class SigModelAppList(Record):
    """SIG Model App List (4.3.2.50)."""

    status: int
    element: int
    model: ModelId
    app_key_indexes: tuple[int, ...]
    OPCODE: ClassVar = 0x804C
    FIELDS: ClassVar = (STATUS, ADDRESS, SIG_MODEL, _APP_KEYS)


class VendorModelAppGet(_OfVendorModel):
    """Vendor Model App Get (4.3.2.51)."""

    OPCODE = 0x804D


@dataclass(frozen=True, slots=True)
class VendorModelAppList(Record):
    """Vendor Model App List (4.3.2.52)."""

    status: int
    element: int
    model: ModelId
    app_key_indexes: tuple[int, ...]
    OPCODE: ClassVar = 0x804E
    FIELDS: ClassVar = (STATUS, ADDRESS, VENDOR_MODEL, _APP_KEYS)


@dataclass(frozen=True, slots=True)
class _Subscription(Record):
    element: int
    group: int
    model: ModelId
    FIELDS: ClassVar = (UNICAST, _GROUP, MODEL)


@dataclass(frozen=True, slots=True)
class _VirtualSubscription(Record):
    element: int
    label: bytes
    model: ModelId
    FIELDS: ClassVar = (UNICAST, LABEL, MODEL)


class ModelSubscriptionAdd(_Subscription):
    """Make a model listen to a group (4.3.2.19). Adding again succeeds."""

    OPCODE = 0x801B


class ModelSubscriptionDelete(_Subscription):
    """Model Subscription Delete (4.3.2.21)."""

    OPCODE = 0x801C


class ModelSubscriptionOverwrite(_Subscription):
    """Make a model listen to this group and to nothing else (4.3.2.23)."""

    OPCODE = 0x801E


class ModelSubscriptionVirtualAdd(_VirtualSubscription):
    """Model Subscription Virtual Address Add (4.3.2.20)."""

    OPCODE = 0x8020


class ModelSubscriptionVirtualDelete(_VirtualSubscription):
    """Model Subscription Virtual Address Delete (4.3.2.22)."""

    OPCODE = 0x8021


class ModelSubscriptionVirtualOverwrite(_VirtualSubscription):
    """Model Subscription Virtual Address Overwrite (4.3.2.24)."""

    OPCODE = 0x8022


@dataclass(frozen=True, slots=True)
class ModelSubscriptionDeleteAll(Record):
    """Model Subscription Delete All (4.3.2.25)."""

    element: int
    model: ModelId
    OPCODE: ClassVar = 0x801D
    FIELDS: ClassVar = (UNICAST, MODEL)


@dataclass(frozen=True, slots=True)
class ModelSubscriptionStatus(Record):
    """`group` is the address asked for (4.3.2.26); a virtual one after a message with a label."""

    status: int
    element: int
    group: int
    model: ModelId
    OPCODE: ClassVar = 0x801F
    FIELDS: ClassVar = (STATUS, ADDRESS, ADDRESS, MODEL)


class SigModelSubscriptionGet(_OfSigModel):
    """SIG Model Subscription Get (4.3.2.27)."""

    OPCODE = 0x8029


@dataclass(frozen=True, slots=True)
class SigModelSubscriptionList(Record):
    """SIG Model Subscription List (4.3.2.28)."""

    status: int
    element: int
    model: ModelId
    addresses: tuple[int, ...]
    OPCODE: ClassVar = 0x802A
    FIELDS: ClassVar = (STATUS, ADDRESS, SIG_MODEL, Many(ADDRESS))


class VendorModelSubscriptionGet(_OfVendorModel):
    """Vendor Model Subscription Get (4.3.2.29)."""

    OPCODE = 0x802B


@dataclass(frozen=True, slots=True)
class VendorModelSubscriptionList(Record):
    """Vendor Model Subscription List (4.3.2.30)."""

    status: int
    element: int
    model: ModelId
    addresses: tuple[int, ...]
    OPCODE: ClassVar = 0x802C
    FIELDS: ClassVar = (STATUS, ADDRESS, VENDOR_MODEL, Many(ADDRESS))


MESSAGES: tuple[type[Record], ...] = (
    ModelAppBind,
    ModelAppUnbind,
    ModelAppStatus,
    SigModelAppGet,
    SigModelAppList,
    VendorModelAppGet,
    VendorModelAppList,
    ModelSubscriptionAdd,
    ModelSubscriptionDelete,
    ModelSubscriptionOverwrite,
    ModelSubscriptionVirtualAdd,
    ModelSubscriptionVirtualDelete,
    ModelSubscriptionVirtualOverwrite,
    ModelSubscriptionDeleteAll,
    ModelSubscriptionStatus,
    SigModelSubscriptionGet,
    SigModelSubscriptionList,
    VendorModelSubscriptionGet,
    VendorModelSubscriptionList,
)
