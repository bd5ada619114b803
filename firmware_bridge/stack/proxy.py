"""The proxy protocol: PDUs in pieces that fit a GATT write, and the proxy configuration messages (6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, TypeAlias

from common.errors import Rejected, RejectReason

MAX_PDU_BYTES: Final = 1024
"""Longest reassembled PDU: ours need 66 (a provisioning public key); more is nobody's."""

REASSEMBLY_TIMEOUT_S: Final = 20.0
"""After so long a PDU in pieces is given up, and the connection with it (6.3.2.2)."""


class PduType(IntEnum):
    """What a proxy PDU carries (6.3.1)."""

    NETWORK = 0x00
    BEACON = 0x01
    CONFIGURATION = 0x02
    PROVISIONING = 0x03


class Sar(IntEnum):
    """Which piece of a PDU (6.3.1)."""

    COMPLETE = 0
    FIRST = 1
    CONTINUATION = 2
    LAST = 3


def split(kind: PduType, payload: bytes, most: int) -> list[bytes]:
    """Proxy PDUs of at most `most` bytes each (ATT MTU − 3) that carry a payload (6.3.2.1)."""
    if most < 2 or not payload:
        raise ValueError(f"{len(payload)} bytes in pieces of {most}")
    room = most - 1
    parts = [payload[i : i + room] for i in range(0, len(payload), room)]
    if len(parts) == 1:
        return [bytes((Sar.COMPLETE << 6 | kind,)) + payload]
    marks = [Sar.FIRST, *[Sar.CONTINUATION] * (len(parts) - 2), Sar.LAST]
    return [bytes((mark << 6 | kind,)) + part for mark, part in zip(marks, parts, strict=True)]


class Joiner:
    """Puts received proxy PDUs together (6.3.2.2). One for each connection and direction."""

    def __init__(self) -> None:
        self._kind: int | None = None
        self._parts = bytearray()
        self._begun = 0.0

    def take(self, data: bytes, now: float) -> tuple[PduType, bytes] | None:
        """Type and payload when `data` completes a PDU (6.3.2.2).

        Raises Rejected (TRUNCATED, OVERSIZED, INVALID, EXPIRED) for what breaks the rules: the connection is
        then to be closed; whatever the bytes, the joiner starts anew.
        """
        if not data:
            raise Rejected(RejectReason.TRUNCATED, "an empty proxy PDU")
        mark, kind, part = Sar(data[0] >> 6), data[0] & 0x3F, data[1:]
        if mark is Sar.COMPLETE or mark is Sar.FIRST:
            self._refuse_if(self._kind is not None, RejectReason.INVALID, "a PDU begins within another")
            self._kind, self._parts, self._begun = kind, bytearray(), now
        self._refuse_if(kind != self._kind, RejectReason.INVALID, f"a piece of type {kind} out of place")
        late = now - self._begun > REASSEMBLY_TIMEOUT_S
        self._refuse_if(late, RejectReason.EXPIRED, "the rest of a proxy PDU came too late")
        too_long = len(self._parts) + len(part) > MAX_PDU_BYTES
        self._refuse_if(too_long, RejectReason.OVERSIZED, f"a proxy PDU above {MAX_PDU_BYTES} bytes")
        self._parts += part
        if mark is Sar.FIRST or mark is Sar.CONTINUATION:
            return None
        whole, self._kind = bytes(self._parts), None
        # Types of the future are passed over (6.3.1).
        return (PduType(kind), whole) if kind in PduType._value2member_map_ else None

    def overdue(self, now: float) -> bool:
        """Whether a PDU has been incomplete for too long (6.3.2.2)."""
        return self._kind is not None and now - self._begun > REASSEMBLY_TIMEOUT_S

    def _refuse_if(self, wrong: bool, reason: RejectReason, detail: str) -> None:
        if wrong:
            self._kind = None
            raise Rejected(reason, detail)


class FilterType(IntEnum):
    """How a proxy treats the addresses on its list for a client (6.6)."""

    ACCEPT = 0
    REJECT = 1


@dataclass(frozen=True, slots=True)
class SetFilterType:
    """Choose the filter; its list becomes empty (6.6.1)."""

    kind: FilterType


@dataclass(frozen=True, slots=True)
class AddAddresses:
    """Put addresses on the list (6.6.2)."""

    addresses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RemoveAddresses:
    """Take addresses off the list (6.6.3)."""

    addresses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FilterStatus:
    """The proxy's answer to each of the others (6.6.4)."""

    kind: FilterType
    size: int


@dataclass(frozen=True, slots=True)
class UnknownConfiguration:
    """A configuration message that is not understood here (6.6)."""

    opcode: int
    parameters: bytes = field(repr=False)


Configuration: TypeAlias = (
    "SetFilterType | AddAddresses | RemoveAddresses | FilterStatus | UnknownConfiguration"
)


def build_configuration(message: Configuration) -> bytes:
    """The transport PDU of a proxy configuration message (6.6); `network.seal(…, proxy=True)` seals it.

    Raises Rejected(OUT_OF_RANGE) for an address, size or opcode that does not fit its field.
    """
    try:
        return _build(message)
    except (OverflowError, ValueError) as wrong:
        raise Rejected(RejectReason.OUT_OF_RANGE, repr(message)) from wrong


def _build(message: Configuration) -> bytes:
    match message:
        case SetFilterType(kind):
            return bytes((0x00, kind))
        case AddAddresses(addresses):
            return b"\x01" + _packed(addresses)
        case RemoveAddresses(addresses):
            return b"\x02" + _packed(addresses)
        case FilterStatus(kind, size):
            return bytes((0x03, kind)) + size.to_bytes(2, "big")
        case UnknownConfiguration(opcode, parameters):
            return bytes((opcode,)) + parameters


def parse_configuration(transport: bytes) -> Configuration:
    """The message in the transport PDU of a proxy configuration (6.6).

    Raises Rejected (TRUNCATED, INVALID) and nothing else, whatever the bytes.
    """
    if not transport:
        raise Rejected(RejectReason.TRUNCATED, "an empty proxy configuration")
    opcode, parameters = transport[0], transport[1:]
    if opcode == 0x00 and len(parameters) == 1:
        return SetFilterType(_filter(parameters[0]))
    if opcode in (0x01, 0x02) and len(parameters) % 2 == 0:
        addresses = tuple(parameters[i] << 8 | parameters[i + 1] for i in range(0, len(parameters), 2))
        return AddAddresses(addresses) if opcode == 0x01 else RemoveAddresses(addresses)
    if opcode == 0x03 and len(parameters) == 3:
        return FilterStatus(_filter(parameters[0]), parameters[1] << 8 | parameters[2])
    if opcode <= 0x03:
        raise Rejected(RejectReason.INVALID, f"proxy configuration {opcode} of {len(parameters)} bytes")
    return UnknownConfiguration(opcode, parameters)


def _filter(value: int) -> FilterType:
    if value > FilterType.REJECT:
        raise Rejected(RejectReason.INVALID, f"filter type {value}")
    return FilterType(value)


def _packed(addresses: Iterable[int]) -> bytes:
    return b"".join(address.to_bytes(2, "big") for address in addresses)
