"""Mesh Private Beacon messages: presence without telling who (Mesh Protocol 1.1, section 4.3.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from firmware_bridge.access.config_keys import IdentityState
from firmware_bridge.access.config_state import FeatureState
from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.layout import NET_KEY_INDEX, STATUS, Choice, Flag, octet
from firmware_bridge.access.record import Question, Record

SERVER: Final = ModelId(0x000A)
CLIENT: Final = ModelId(0x000B)

# The random field of a private beacon changes every n times this; with 0 in every beacon.
UPDATE_STEP_S: Final = 10

_BEACON = Flag("private beacon")
_STEPS = octet("random update interval")


class PrivateBeaconGet(Question):
    OPCODE = 0x8060


@dataclass(frozen=True, slots=True)
class PrivateBeaconSet(Record):
    """`update_steps` is left as it is when None; see `UPDATE_STEP_S`."""

    on: bool
    update_steps: int | None = None
    OPCODE: ClassVar = 0x8061
    FIELDS: ClassVar = (_BEACON,)
    TAIL: ClassVar = (_STEPS,)


@dataclass(frozen=True, slots=True)
class PrivateBeaconStatus(Record):
    on: bool
    update_steps: int
    OPCODE: ClassVar = 0x8062
    FIELDS: ClassVar = (_BEACON, _STEPS)


class PrivateGattProxyGet(Question):
    OPCODE = 0x8063


@dataclass(frozen=True, slots=True)
class PrivateGattProxySet(Record):
    """Whether the proxy advertises with private network identities."""

    state: FeatureState
    OPCODE: ClassVar = 0x8064
    FIELDS: ClassVar = (Choice("private GATT proxy", FeatureState, frozenset({FeatureState.UNSUPPORTED})),)


@dataclass(frozen=True, slots=True)
class PrivateGattProxyStatus(Record):
    state: FeatureState
    OPCODE: ClassVar = 0x8065
    FIELDS: ClassVar = (Choice("private GATT proxy", FeatureState),)


@dataclass(frozen=True, slots=True)
class PrivateNodeIdentityGet(Record):
    net_key_index: int
    OPCODE: ClassVar = 0x8066
    FIELDS: ClassVar = (NET_KEY_INDEX,)


@dataclass(frozen=True, slots=True)
class PrivateNodeIdentitySet(Record):
    net_key_index: int
    identity: IdentityState
    OPCODE: ClassVar = 0x8067
    FIELDS: ClassVar = (
        NET_KEY_INDEX,
        Choice("private node identity", IdentityState, frozenset({IdentityState.UNSUPPORTED})),
    )


@dataclass(frozen=True, slots=True)
class PrivateNodeIdentityStatus(Record):
    status: int
    net_key_index: int
    identity: IdentityState
    OPCODE: ClassVar = 0x8068
    FIELDS: ClassVar = (STATUS, NET_KEY_INDEX, Choice("private node identity", IdentityState))


MESSAGES: tuple[type[Record], ...] = (
    PrivateBeaconGet,
    PrivateBeaconSet,
    PrivateBeaconStatus,
    PrivateGattProxyGet,
    PrivateGattProxySet,
    PrivateGattProxyStatus,
    PrivateNodeIdentityGet,
    PrivateNodeIdentitySet,
    PrivateNodeIdentityStatus,
)
