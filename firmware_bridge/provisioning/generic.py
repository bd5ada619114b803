"""Generic provisioning PDUs: what carries provisioning PDUs over advertisements, in pieces (5.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, TypeAlias

from common.errors import Rejected, RejectReason

MAX_PDU_BYTES: Final = 65
"""The longest provisioning PDU, a public key with its type (5.4.1.4)."""

_START_ROOM: Final = 20
_CONTINUATION_ROOM: Final = 23
_UUID_BYTES: Final = 16


class _Format(IntEnum):
    """The two low bits of the first byte: GPCF (5.3.1)."""

    START = 0
    ACK = 1
    CONTINUATION = 2
    CONTROL = 3


class _Control(IntEnum):
    """Bearer control opcodes (5.3.1.4)."""

    OPEN = 0
    ACK = 1
    CLOSE = 2


class CloseReason(IntEnum):
    """Why a link is closed (5.3.1.4.3)."""

    SUCCESS = 0
    TIMEOUT = 1
    FAIL = 2


@dataclass(frozen=True, slots=True)
class Start:
    """A transaction's first segment; `last` is the index of its last one (5.3.1.1)."""

    last: int
    total: int
    check: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A transaction has arrived as a whole (5.3.1.2)."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """A further segment (5.3.1.3)."""

    index: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class LinkOpen:
    """Open a link with the device of this UUID, 16 bytes (5.3.1.4.1)."""

    uuid: bytes


@dataclass(frozen=True, slots=True)
class LinkAck:
    """The device took the link (5.3.1.4.2)."""


@dataclass(frozen=True, slots=True)
class LinkClose:
    """The link is over; a reason of the future stays a number (5.3.1.4.3)."""

    reason: int


Generic: TypeAlias = "Start | Acknowledgement | Continuation | LinkOpen | LinkAck | LinkClose"


def build(pdu: Generic) -> bytes:
    """The bytes of a generic provisioning PDU (5.3.1)."""
    match pdu:
        case Start(last, total, check, data):
            return bytes((last << 2 | _Format.START,)) + total.to_bytes(2, "big") + bytes((check,)) + data
        case Acknowledgement():
            return bytes((_Format.ACK,))
        case Continuation(index, data):
            return bytes((index << 2 | _Format.CONTINUATION,)) + data
        case LinkOpen(uuid):
            return bytes((_Control.OPEN << 2 | _Format.CONTROL,)) + uuid
        case LinkAck():
            return bytes((_Control.ACK << 2 | _Format.CONTROL,))
        case LinkClose(reason):
            return bytes((_Control.CLOSE << 2 | _Format.CONTROL, reason))


def parse(data: bytes) -> Generic:
    """The inverse of `build` (5.3.1). Raises Rejected (TRUNCATED, INVALID) alone, whatever the bytes."""
    if not data:
        raise Rejected(RejectReason.TRUNCATED, "an empty generic provisioning PDU")
    form, rest, body = data[0] & 0x03, data[0] >> 2, data[1:]
    if form == _Format.CONTROL:
        return _control(rest, body)
    if form == _Format.ACK:
        _check(rest == 0 and not body, "an acknowledgement has nothing in it")
        return Acknowledgement()
    if form == _Format.CONTINUATION:
        _check(rest > 0 and 0 < len(body) <= _CONTINUATION_ROOM, f"segment {rest} of {len(body)} bytes")
        return Continuation(rest, body)
    if len(body) < 4:
        raise Rejected(RejectReason.TRUNCATED, f"a transaction's start of {len(data)} bytes")
    total, part = int.from_bytes(body[:2], "big"), body[3:]
    fits = 0 < total <= MAX_PDU_BYTES and rest == _last_index(total) and len(part) == min(total, _START_ROOM)
    _check(fits, f"{total} bytes in {rest + 1} segments, {len(part)} in the first")
    return Start(rest, total, body[2], part)


def _control(opcode: int, body: bytes) -> Generic:
    if opcode == _Control.OPEN and len(body) == _UUID_BYTES:
        return LinkOpen(body)
    if opcode == _Control.ACK and not body:
        return LinkAck()
    if opcode == _Control.CLOSE and len(body) == 1:
        return LinkClose(body[0])
    raise Rejected(RejectReason.INVALID, f"bearer control {opcode} of {len(body)} bytes")


def _check(good: bool, detail: str) -> None:
    if not good:
        raise Rejected(RejectReason.INVALID, detail)


def segments(pdu: bytes) -> list[Generic]:
    """The segments of a provisioning PDU, first to last (5.3.2)."""
    if not 0 < len(pdu) <= MAX_PDU_BYTES:
        raise ValueError(f"a provisioning PDU of {len(pdu)} bytes")
    last = _last_index(len(pdu))
    rest = range(_START_ROOM, len(pdu), _CONTINUATION_ROOM)
    return [
        Start(last, len(pdu), frame_check(pdu), pdu[:_START_ROOM]),
        *(Continuation(i, pdu[at : at + _CONTINUATION_ROOM]) for i, at in enumerate(rest, 1)),
    ]


def _last_index(total: int) -> int:
    return -(-max(0, total - _START_ROOM) // _CONTINUATION_ROOM)


class Assembly:
    """Puts one transaction's segments together, in whatever order they come (5.3.2).

    Bounded: at most 65 bytes in four segments.
    """

    def __init__(self) -> None:
        self._start: Start | None = None
        self._parts: dict[int, bytes] = {}

    def take(self, segment: Start | Continuation) -> bytes | None:
        """The whole PDU once it is complete and its check fits (5.3.2); None until then.

        One whose check does not fit is forgotten: it will be repeated.
        """
        if isinstance(segment, Start):
            self._start = segment
        elif segment.index <= _last_index(MAX_PDU_BYTES):
            self._parts[segment.index] = segment.data
        start = self._start
        if start is None or any(index not in self._parts for index in range(1, start.last + 1)):
            return None
        whole = start.data + b"".join(self._parts[index] for index in range(1, start.last + 1))
        if len(whole) == start.total and frame_check(whole) == start.check:
            return whole
        self._start, self._parts = None, {}
        return None


def frame_check(data: bytes) -> int:
    """The FCS: the reversed 8-bit CRC of 3GPP TS 27.010, polynomial x^8 + x^2 + x + 1 (5.3.1.1)."""
    crc = 0xFF
    for byte in data:
        crc = _TABLE[crc ^ byte]
    return 0xFF - crc


def _table_entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0xE0 if value & 1 else 0)
    return value


_TABLE: Final = tuple(map(_table_entry, range(256)))
