"""Config messages of a node's keys: network keys, application keys, their refresh, node identity.

Mesh Protocol 1.1, sections 4.3.2.31 to 4.3.2.45 and 4.3.2.58 to 4.3.2.60. Keys never show in a repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar, Self

from firmware_bridge.access.layout import (
    KEY,
    KEY_PAIR,
    NET_KEY_INDEX,
    STATUS,
    Choice,
    KeyList,
)
from firmware_bridge.access.record import Question, Record


class IdentityState(IntEnum):
    """Whether a node advertises who it is on a subnet (section 4.2.13)."""

    STOPPED = 0
    RUNNING = 1
    UNSUPPORTED = 2


class Transition(IntEnum):
    """The steps of a key refresh that can be asked for (section 4.2.15)."""

    USE_NEW_KEYS = 2
    REVOKE_OLD_KEYS = 3


class Phase(IntEnum):
    """Where a subnet is in its key refresh (section 4.2.15)."""

    NORMAL = 0
    DISTRIBUTING = 1
    SWITCHED = 2


@dataclass(frozen=True, slots=True)
class _NetKey(Record):
    net_key_index: int
    key: bytes = field(repr=False)
    FIELDS: ClassVar = (NET_KEY_INDEX, KEY)


@dataclass(frozen=True, slots=True)
class _OfNetKey(Record):
    net_key_index: int
    FIELDS: ClassVar = (NET_KEY_INDEX,)


class NetKeyAdd(_NetKey):
    """Give a node a network key (4.3.2.31). Adding the same key again succeeds."""

    OPCODE = 0x8040


class NetKeyUpdate(_NetKey):
    """Give a node the new key of a subnet (4.3.2.32): its key refresh begins."""

    OPCODE = 0x8045


class NetKeyDelete(_OfNetKey):
    """Take a subnet from a node, which keeps at least one (4.3.2.33)."""

    OPCODE = 0x8041


class NetKeyGet(Question):
    """NetKey Get (4.3.2.35)."""

    OPCODE = 0x8042


@dataclass(frozen=True, slots=True)
class NetKeyList(Record):
    """The subnets a node knows (4.3.2.36)."""

    net_key_indexes: tuple[int, ...]
    OPCODE: ClassVar = 0x8043
    FIELDS: ClassVar = (KeyList("NetKey indexes"),)


@dataclass(frozen=True, slots=True)
class NetKeyStatus(Record):
    """NetKey Status (4.3.2.34)."""

    status: int
    net_key_index: int
    OPCODE: ClassVar = 0x8044
    FIELDS: ClassVar = (STATUS, NET_KEY_INDEX)


@dataclass(frozen=True, slots=True)
class _AppKey(Record):
    net_key_index: int
    app_key_index: int
    key: bytes = field(repr=False)
    FIELDS: ClassVar = (KEY_PAIR, KEY)

    def values(self) -> tuple[Any, ...]:
        return (self.net_key_index, self.app_key_index), self.key

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        (net_key_index, app_key_index), key = values
        return cls(net_key_index, app_key_index, key)


class AppKeyAdd(_AppKey):
    """Give a node an application key (4.3.2.37). Adding the same key again succeeds."""

    OPCODE = 0x00


class AppKeyUpdate(_AppKey):
    """Give a node the new application key, while its subnet's key refresh distributes keys (4.3.2.38)."""

    OPCODE = 0x01


@dataclass(frozen=True, slots=True)
class AppKeyDelete(Record):
    """AppKey Delete (4.3.2.39)."""

    net_key_index: int
    app_key_index: int
    OPCODE: ClassVar = 0x8000
    FIELDS: ClassVar = (KEY_PAIR,)

    def values(self) -> tuple[Any, ...]:
        return ((self.net_key_index, self.app_key_index),)

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        return cls(*values[0])


class AppKeyGet(_OfNetKey):
    """Ask for the application keys of a subnet (4.3.2.41)."""

    OPCODE = 0x8001


@dataclass(frozen=True, slots=True)
class AppKeyList(Record):
    """AppKey List (4.3.2.42)."""

    status: int
    net_key_index: int
    app_key_indexes: tuple[int, ...]
    OPCODE: ClassVar = 0x8002
    FIELDS: ClassVar = (STATUS, NET_KEY_INDEX, KeyList("AppKey indexes"))


@dataclass(frozen=True, slots=True)
class AppKeyStatus(Record):
    """AppKey Status (4.3.2.40)."""

    status: int
    net_key_index: int
    app_key_index: int
    OPCODE: ClassVar = 0x8003
    FIELDS: ClassVar = (STATUS, KEY_PAIR)

    def values(self) -> tuple[Any, ...]:
        return self.status, (self.net_key_index, self.app_key_index)

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        status, pair = values
        return cls(status, *pair)


class KeyRefreshPhaseGet(_OfNetKey):
    """Key Refresh Phase Get (4.3.2.58)."""

    OPCODE = 0x8015


@dataclass(frozen=True, slots=True)
class KeyRefreshPhaseSet(Record):
    """Key Refresh Phase Set (4.3.2.59)."""

    net_key_index: int
    transition: Transition
    OPCODE: ClassVar = 0x8016
    FIELDS: ClassVar = (NET_KEY_INDEX, Choice("key refresh transition", Transition))


@dataclass(frozen=True, slots=True)
class KeyRefreshPhaseStatus(Record):
    """Key Refresh Phase Status (4.3.2.60)."""

    status: int
    net_key_index: int
    phase: Phase
    OPCODE: ClassVar = 0x8017
    FIELDS: ClassVar = (STATUS, NET_KEY_INDEX, Choice("key refresh phase", Phase))


class NodeIdentityGet(_OfNetKey):
    """Node Identity Get (4.3.2.43)."""

    OPCODE = 0x8046


@dataclass(frozen=True, slots=True)
class NodeIdentitySet(Record):
    """Node Identity Set (4.3.2.44)."""

    net_key_index: int
    identity: IdentityState
    OPCODE: ClassVar = 0x8047
    FIELDS: ClassVar = (
        NET_KEY_INDEX,
        Choice("node identity", IdentityState, frozenset({IdentityState.UNSUPPORTED})),
    )


@dataclass(frozen=True, slots=True)
class NodeIdentityStatus(Record):
    """Node Identity Status (4.3.2.45)."""

    status: int
    net_key_index: int
    identity: IdentityState
    OPCODE: ClassVar = 0x8048
    FIELDS: ClassVar = (STATUS, NET_KEY_INDEX, Choice("node identity", IdentityState))


MESSAGES: tuple[type[Record], ...] = (
    NetKeyAdd,
    NetKeyUpdate,
    NetKeyDelete,
    NetKeyGet,
    NetKeyList,
    NetKeyStatus,
    AppKeyAdd,
    AppKeyUpdate,
    AppKeyDelete,
    AppKeyGet,
    AppKeyList,
    AppKeyStatus,
    KeyRefreshPhaseGet,
    KeyRefreshPhaseSet,
    KeyRefreshPhaseStatus,
    NodeIdentityGet,
    NodeIdentitySet,
    NodeIdentityStatus,
)
