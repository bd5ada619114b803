"""The upper transport layer: access payloads under application and device keys, virtual addresses (3.6).

The MIC of a message is its TransMIC, of 4 bytes, or of 8 in a segmented message with SZMIC set. `sequence` is
always the number whose lowest bits are SeqZero: a segmented message is encrypted once.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import Final, TypeAlias

from common.errors import Rejected, RejectReason
from firmware_bridge.stack.crypto import KEY_BYTES, aes_cmac, s1
from firmware_bridge.stack.keys import ApplicationKey, DeviceKey
from firmware_bridge.stack.lower import MAX_SEGMENTS, SEGMENT_ACCESS_BYTES, UNSEGMENTED_ACCESS_BYTES

SHORT_MIC_BYTES: Final = 4
LONG_MIC_BYTES: Final = 8
MAX_UPPER_BYTES: Final = MAX_SEGMENTS * SEGMENT_ACCESS_BYTES
MAX_ACCESS_BYTES: Final = MAX_UPPER_BYTES - SHORT_MIC_BYTES
"""380: the longest access payload."""

_NONCE: Final = Struct(">BBBHHHI")
_APPLICATION_NONCE: Final = 0x01
_DEVICE_NONCE: Final = 0x02
_VIRTUAL_SALT: Final = s1(b"vtad")

TransportKey: TypeAlias = "ApplicationKey | DeviceKey"


def encrypt(
    payload: bytes,
    key: TransportKey,
    sequence: int,
    source: int,
    destination: int,
    iv_index: int,
    *,
    long_mic: bool = False,
    label: bytes | None = None,
) -> bytes:
    """The upper transport PDU of an access payload (opcode and parameters) of 1 to 380 bytes (3.9.7.1).

    `label` is the Label UUID (16 bytes) of a virtual `destination`. Raises Rejected(OVERSIZED, INVALID,
    OUT_OF_RANGE).
    """
    mic = LONG_MIC_BYTES if long_mic else SHORT_MIC_BYTES
    if not 0 < len(payload) <= MAX_UPPER_BYTES - mic:
        raise Rejected(RejectReason.OVERSIZED, f"an access payload of {len(payload)} bytes")
    check_label(destination, label)
    nonce = _nonce(key, long_mic, sequence, source, destination, iv_index)
    return key.ccm.encrypt(nonce, payload, mic, label)


def decrypt(
    upper: bytes,
    key: TransportKey,
    sequence: int,
    source: int,
    destination: int,
    iv_index: int,
    *,
    long_mic: bool = False,
    label: bytes | None = None,
) -> bytes | None:
    """The access payload in an upper transport PDU, or None when `key` (or `label`) is not the right one:
    an AID is 6 bits, a virtual address a hash of 14, so several may have to be tried (3.9.7.1). Raises
    Rejected(OUT_OF_RANGE) for numbers that no PDU has."""
    mic = LONG_MIC_BYTES if long_mic else SHORT_MIC_BYTES
    if len(upper) <= mic:
        return None
    nonce = _nonce(key, long_mic, sequence, source, destination, iv_index)
    return key.ccm.decrypt(nonce, upper, mic, label)


def needs_segments(payload: bytes) -> bool:
    """Whether a payload with a short MIC is too long for one unsegmented message (3.5.3.1)."""
    return len(payload) + SHORT_MIC_BYTES > UNSEGMENTED_ACCESS_BYTES


def virtual_address(label: bytes) -> int:
    """The 16-bit virtual address of a Label UUID (3.4.2.3)."""
    if len(label) != KEY_BYTES:
        raise ValueError(f"a Label UUID has {KEY_BYTES} bytes, not {len(label)}")
    digest = aes_cmac(_VIRTUAL_SALT, label)
    return 0x8000 | int.from_bytes(digest[14:], "big") & 0x3FFF


def is_virtual(address: int) -> bool:
    """Whether an address is a virtual one (3.4.2.3)."""
    return 0x8000 <= address <= 0xBFFF


def check_label(destination: int, label: bytes | None) -> None:
    """Raises Rejected(INVALID) where a Label UUID is missing, or has no virtual address (3.4.2.3)."""
    if is_virtual(destination) != (label is not None):
        raise Rejected(RejectReason.INVALID, f"0x{destination:04x} and its Label UUID do not fit")


def _nonce(
    key: TransportKey, long_mic: bool, sequence: int, source: int, destination: int, iv_index: int
) -> bytes:
    """Application or device nonce (3.9.5.2, 3.9.5.3). Raises Rejected(OUT_OF_RANGE)."""
    kind = _APPLICATION_NONCE if isinstance(key, ApplicationKey) else _DEVICE_NONCE
    high, low = sequence >> 16, sequence & 0xFFFF
    try:
        return _NONCE.pack(kind, long_mic << 7, high, low, source, destination, iv_index)
    except StructError as error:
        raise Rejected(
            RejectReason.OUT_OF_RANGE,
            f"sequence {sequence:#x}, {source:#x} to {destination:#x}, IV index {iv_index:#x}",
        ) from error
