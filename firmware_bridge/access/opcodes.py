"""Opcodes and the frame of an access message (Mesh Protocol 1.1, section 3.7.3).

An opcode is kept as the big-endian number of its 1, 2 or 3 bytes: 0x00, 0x8202, 0xC1F105.
"""

from __future__ import annotations

from typing import Final

from common.errors import Rejected, RejectReason

# Section 3.7.3: an access payload is opcode and parameters; 380 bytes is what segmentation carries.
MAX_ACCESS_PAYLOAD: Final = 380
# Section 3.5.2: fifteen bytes of upper transport PDU, less a four-byte TransMIC, go in one packet.
MAX_UNSEGMENTED_PAYLOAD: Final = 11

_OPCODE_BYTES = {0b00: 1, 0b01: 1, 0b10: 2, 0b11: 3}


def opcode_length(first: int) -> int:
    """Bytes of the opcode that starts with byte `first` (section 3.7.3.1, table 3.63)."""
    return _OPCODE_BYTES[first >> 6]


def opcode_bytes(opcode: int) -> bytes:
    """The opcode as it goes on air. Raises Rejected(OUT_OF_RANGE)."""
    for length in (1, 2, 3):
        if 0 <= opcode < 1 << 8 * length:
            data = opcode.to_bytes(length, "big")
            if opcode_length(data[0]) == length:
                return data
            break
    raise Rejected(RejectReason.OUT_OF_RANGE, f"0x{opcode:x} is no opcode of 1, 2 or 3 bytes")


def vendor_opcode(number: int, company: int) -> int:
    """A vendor's opcode: six bits of the vendor's choice, then the company id, little endian."""
    if not 0 <= number <= 0x3F or not 0 <= company <= 0xFFFF:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"vendor opcode {number} of company {company}")
    return int.from_bytes(bytes((0xC0 | number,)) + company.to_bytes(2, "little"), "big")


def split(payload: bytes) -> tuple[int, bytes]:
    """Opcode and parameters. Raises Rejected: OVERSIZED, TRUNCATED."""
    if len(payload) > MAX_ACCESS_PAYLOAD:
        raise Rejected(RejectReason.OVERSIZED, f"{len(payload)} bytes, at most {MAX_ACCESS_PAYLOAD}")
    if not payload or len(payload) < (length := opcode_length(payload[0])):
        raise Rejected(RejectReason.TRUNCATED, "an access message ends within its opcode")
    return int.from_bytes(payload[:length], "big"), payload[length:]


def check_payload(payload: bytes) -> bytes:
    """Return a payload that can be sent. Raises Rejected like `split`."""
    split(payload)
    return payload
