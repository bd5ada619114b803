"""Provisioning PDUs (5.4.1): what provisioner and device say to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import Final, TypeAlias

from common.errors import Rejected, RejectReason

PUBLIC_KEY_BYTES: Final = 64
SEALED_DATA_BYTES: Final = 33
RANDOM_SIZES: Final = (16, 32)
"""Of confirmations and random values, by algorithm."""

_CAPABILITIES: Final = Struct(">BHBBBHBH")


class Kind(IntEnum):
    """The first byte (5.4.1, table 5.18)."""

    INVITE = 0
    CAPABILITIES = 1
    START = 2
    PUBLIC_KEY = 3
    INPUT_COMPLETE = 4
    CONFIRMATION = 5
    RANDOM = 6
    DATA = 7
    COMPLETE = 8
    FAILED = 9


class ErrorCode(IntEnum):
    """What a device says when it gives up (5.4.4, table 5.40)."""

    INVALID_PDU = 0x01
    INVALID_FORMAT = 0x02
    UNEXPECTED_PDU = 0x03
    CONFIRMATION_FAILED = 0x04
    OUT_OF_RESOURCES = 0x05
    DECRYPTION_FAILED = 0x06
    UNEXPECTED_ERROR = 0x07
    CANNOT_ASSIGN_ADDRESSES = 0x08
    INVALID_DATA = 0x09


def error_name(code: int) -> str:
    """An error code as people read it (5.4.4)."""
    try:
        return ErrorCode(code).name.lower().replace("_", " ")
    except ValueError:
        return f"error 0x{code:02x}"


class Algorithm(IntEnum):
    """Provisioning algorithms (5.4.1.3): the number in Start, and the bit in Capabilities."""

    CMAC_AES128 = 0
    """BTM_ECDH_P256_CMAC_AES128_AES_CCM."""
    HMAC_SHA256 = 1
    """BTM_ECDH_P256_HMAC_SHA256_AES_CCM."""


class Method(IntEnum):
    """How the two make sure of each other (5.4.1.3, table 5.32)."""

    NONE = 0
    STATIC = 1
    OUTPUT = 2
    INPUT = 3


class OutputAction(IntEnum):
    """What a device can do with a value that the operator then enters (5.4.1.2, table 5.22)."""

    BLINK = 0
    BEEP = 1
    VIBRATE = 2
    NUMBER = 3
    TEXT = 4


class InputAction(IntEnum):
    """How an operator can enter a value on a device (5.4.1.2, table 5.25)."""

    PUSH = 0
    TWIST = 1
    NUMBER = 2
    TEXT = 3


@dataclass(frozen=True, slots=True)
class Invite:
    """The provisioner asks what the device can do; it shall draw attention for so many seconds (5.4.1.1)."""

    attention_s: int = 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the device can do (5.4.1.2). Actions are bit fields by `OutputAction` and `InputAction`."""

    elements: int
    algorithms: int = 1 << Algorithm.CMAC_AES128
    public_key_oob: bool = False
    static_oob: bool = False
    oob_only: bool = False
    output_size: int = 0
    output_actions: int = 0
    input_size: int = 0
    input_actions: int = 0

    def can(self, algorithm: Algorithm) -> bool:
        """Whether the device knows an algorithm."""
        return bool(self.algorithms >> algorithm & 1)


@dataclass(frozen=True, slots=True)
class Choice:
    """Algorithm and authentication that the provisioner chose: the Start PDU (5.4.1.3)."""

    algorithm: Algorithm = Algorithm.CMAC_AES128
    public_key_oob: bool = False
    method: Method = Method.NONE
    action: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A point on the curve P-256: 32 bytes X, 32 bytes Y (5.4.1.4)."""

    key: bytes


@dataclass(frozen=True, slots=True)
class InputComplete:
    """The operator has entered the value on the device (5.4.1.5)."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What binds the sender to its random value before it shows it (5.4.1.6)."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Random:
    """The sender's random value (5.4.1.7)."""

    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Data:
    """Network key, address and the like, sealed: 25 bytes and a MIC of 8 (5.4.1.8)."""

    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Complete:
    """The device is a node now (5.4.1.9)."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The device gave up; see `ErrorCode` (5.4.1.10)."""

    code: int


Pdu: TypeAlias = (
    "Invite | Capabilities | Choice | PublicKey | InputComplete | Confirmation | Random | Data | Complete"
    " | Failed"
)


def build(pdu: Pdu) -> bytes:
    """Type and parameters of a provisioning PDU (5.4.1)."""
    match pdu:
        case Invite(attention_s):
            return bytes((Kind.INVITE, attention_s))
        case Capabilities():
            return bytes((Kind.CAPABILITIES,)) + _capability_bytes(pdu)
        case Choice(algorithm, public_key_oob, method, action, size):
            return bytes((Kind.START, algorithm, public_key_oob, method, action, size))
        case PublicKey(key):
            return bytes((Kind.PUBLIC_KEY,)) + key
        case Confirmation(value):
            return bytes((Kind.CONFIRMATION,)) + value
        case Random(value):
            return bytes((Kind.RANDOM,)) + value
        case Data(sealed):
            return bytes((Kind.DATA,)) + sealed
        case Failed(code):
            return bytes((Kind.FAILED, code))
        case InputComplete():
            return bytes((Kind.INPUT_COMPLETE,))
        case Complete():
            return bytes((Kind.COMPLETE,))


def parse(data: bytes) -> Pdu:
    """The inverse of `build` (5.4.1). Capabilities' reserved bits are ignored, other reserved values refused.

    Raises Rejected and nothing else, whatever the bytes: UNKNOWN_KIND for a type that is not known here
    ("invalid PDU" to the sender), TRUNCATED or INVALID ("invalid format").
    """
    if not data:
        raise Rejected(RejectReason.TRUNCATED, "an empty provisioning PDU")
    kind, body = data[0], data[1:]
    match kind:
        case Kind.INVITE:
            return Invite(*_sized(kind, body, 1))
        case Kind.CAPABILITIES:
            return _capabilities(_sized(kind, body, _CAPABILITIES.size))
        case Kind.START:
            return _choice(_sized(kind, body, 5))
        case Kind.PUBLIC_KEY:
            return PublicKey(_sized(kind, body, PUBLIC_KEY_BYTES))
        case Kind.CONFIRMATION:
            return Confirmation(_sized(kind, body, *RANDOM_SIZES))
        case Kind.RANDOM:
            return Random(_sized(kind, body, *RANDOM_SIZES))
        case Kind.DATA:
            return Data(_sized(kind, body, SEALED_DATA_BYTES))
        case Kind.FAILED:
            return Failed(*_sized(kind, body, 1))
        case Kind.INPUT_COMPLETE:
            _sized(kind, body, 0)
            return InputComplete()
        case Kind.COMPLETE:
            _sized(kind, body, 0)
            return Complete()
        case _:
            raise Rejected(RejectReason.UNKNOWN_KIND, f"provisioning PDU of type 0x{kind:02x}")


def _sized(kind: int, body: bytes, *sizes: int) -> bytes:
    if len(body) not in sizes:
        short = len(body) < min(sizes)
        raise Rejected(
            RejectReason.TRUNCATED if short else RejectReason.INVALID,
            f"provisioning PDU of type 0x{kind:02x} with {len(body)} bytes",
        )
    return body


def _capability_bytes(said: Capabilities) -> bytes:
    return _CAPABILITIES.pack(
        said.elements,
        said.algorithms,
        said.public_key_oob,
        said.static_oob | said.oob_only << 1,
        said.output_size,
        said.output_actions,
        said.input_size,
        said.input_actions,
    )


def _capabilities(body: bytes) -> Capabilities:
    elements, algorithms, key, static, *oob = _CAPABILITIES.unpack(body)
    output_size, output_actions, input_size, input_actions = oob
    if not elements or output_size > 8 or input_size > 8:
        raise Rejected(RejectReason.INVALID, f"capabilities of {elements} elements, OOB sizes {oob[::2]}")
    return Capabilities(
        elements=elements,
        algorithms=algorithms & 0x03,
        public_key_oob=bool(key & 1),
        static_oob=bool(static & 1),
        oob_only=bool(static & 2),
        # One without the other means: no such way.
        output_size=output_size if output_actions & 0x1F else 0,
        output_actions=output_actions & 0x1F if output_size else 0,
        input_size=input_size if input_actions & 0x0F else 0,
        input_actions=input_actions & 0x0F if input_size else 0,
    )


def _choice(body: bytes) -> Choice:
    algorithm, key, method, action, size = body
    highest = {Method.OUTPUT: OutputAction.TEXT, Method.INPUT: InputAction.TEXT}.get(Method(method & 3))
    plain = highest is None and not action and not size
    by_hand = highest is not None and action <= highest and 1 <= size <= 8
    if algorithm > Algorithm.HMAC_SHA256 or key > 1 or method > Method.INPUT or not (plain or by_hand):
        raise Rejected(RejectReason.INVALID, f"a start with {body.hex()}")
    return Choice(Algorithm(algorithm), bool(key), Method(method), action, size)
