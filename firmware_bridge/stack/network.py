"""The network layer: a network PDU sealed by NetMIC and hidden by obfuscation (3.4.4, 3.9.7.2, 3.9.7.3).

IVI NID | CTL TTL  SEQ  SRC | DST  transport PDU  NetMIC
  open  |    obfuscated     |         encrypted
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from common.errors import Rejected, RejectReason
from firmware_bridge.stack.keys import Credentials

ACCESS_MIC_BYTES: Final = 4
CONTROL_MIC_BYTES: Final = 8
MIN_BYTES: Final = 14
"""Header, destination, and the shortest transport PDU with its MIC: one byte and 4."""

MAX_BYTES: Final = 29
MAX_ACCESS_TRANSPORT: Final = 16
MAX_CONTROL_TRANSPORT: Final = 12
MAX_TTL: Final = 127
MAX_SEQUENCE: Final = 0xFF_FFFF
MAX_IV_INDEX: Final = 0xFFFF_FFFF

_NONCE: Final = Struct(">BBBHHHI")
_HEADER: Final = Struct(">BBHH")
_PRIVACY: Final = Struct(">5xI")
_DESTINATION: Final = Struct(">H")
_NETWORK_NONCE: Final = 0x00
_PROXY_NONCE: Final = 0x03
_MASK_48: Final = (1 << 48) - 1


class NetworkPdu(NamedTuple):
    """A network PDU by its meaning (3.4.4). `control` is CTL: whether `transport` is a control PDU."""

    control: bool
    ttl: int
    sequence: int
    source: int
    destination: int
    transport: bytes


def seal(pdu: NetworkPdu, credentials: Credentials, iv_index: int, *, proxy: bool = False) -> bytes:
    """Encrypt and obfuscate a PDU for the bearer, 14 to 29 bytes (3.9.7.2, 3.9.7.3).

    `iv_index` is the one to transmit with (32 bits). `proxy` seals a proxy configuration message, which has a
    nonce of its own (3.9.5.4), CTL set, TTL 0 and no destination (0). Raises Rejected(OUT_OF_RANGE or
    OVERSIZED) for values that cannot go on air.
    """
    _check(pdu, 0 if proxy else 1)
    _check_iv_index(iv_index)
    control, ttl, sequence, source, destination, transport = pdu
    ctl_ttl = control << 7 | ttl
    high, low = sequence >> 16, sequence & 0xFFFF
    nonce = (
        _NONCE.pack(_PROXY_NONCE, 0, high, low, source, 0, iv_index)
        if proxy
        else _NONCE.pack(_NETWORK_NONCE, ctl_ttl, high, low, source, 0, iv_index)
    )
    mic = CONTROL_MIC_BYTES if control else ACCESS_MIC_BYTES
    sealed = credentials.ccm.encrypt(nonce, _DESTINATION.pack(destination) + transport, mic)
    header = _HEADER.pack(ctl_ttl, high, low, source)
    hidden = _hide(header, sealed, credentials, iv_index)
    return bytes(((iv_index & 1) << 7 | credentials.nid,)) + hidden + sealed


def open_sealed(
    data: bytes, credentials: Credentials, iv_index: int, *, proxy: bool = False
) -> NetworkPdu | None:
    """The PDU in `data`, or None when it is not of these credentials and this IV index (3.9.7.2, 3.9.7.3).

    `iv_index` is the one to receive with: `receive_iv_index` chooses it. None is no error: NID and IVI are a
    few bits, and most foreign messages end here. Raises Rejected (TRUNCATED, OVERSIZED, OUT_OF_RANGE) for
    what no sender may send, whatever the bytes.
    """
    if not MIN_BYTES <= len(data) <= MAX_BYTES:
        reason = RejectReason.TRUNCATED if len(data) < MIN_BYTES else RejectReason.OVERSIZED
        raise Rejected(reason, f"a network PDU of {len(data)} bytes")
    _check_iv_index(iv_index)
    if data[0] != (iv_index & 1) << 7 | credentials.nid:
        return None
    sealed = data[7:]
    header = _hide(data[1:7], sealed, credentials, iv_index)
    ctl_ttl, high, low, source = _HEADER.unpack(header)
    control = ctl_ttl >= 0x80
    nonce = (
        _NONCE.pack(_PROXY_NONCE, 0, high, low, source, 0, iv_index)
        if proxy
        else _NONCE.pack(_NETWORK_NONCE, ctl_ttl, high, low, source, 0, iv_index)
    )
    mic = CONTROL_MIC_BYTES if control else ACCESS_MIC_BYTES
    plain = credentials.ccm.decrypt(nonce, sealed, mic)
    if plain is None:
        return None
    if len(plain) < 3 or not 0 < source < 0x8000:
        # Sealed with the network's key, and still not a PDU: a broken node, or a hostile one.
        raise Rejected(RejectReason.OUT_OF_RANGE, f"source 0x{source:04x}, {len(plain)} bytes")
    destination = plain[0] << 8 | plain[1]
    if proxy != (destination == 0) or proxy > control:
        # Only proxy configuration goes to nobody, and it is control alone (6.6, 3.4.4.7).
        raise Rejected(RejectReason.INVALID, f"to 0x{destination:04x}, CTL {control:d}")
    return NetworkPdu(control, ctl_ttl & MAX_TTL, high << 16 | low, source, destination, plain[2:])


def receive_iv_index(data: bytes, iv_index: int) -> int:
    """The IV index that a received PDU was sent with: the present one, or the one before when the IVI bit
    says so (3.11.5). Raises Rejected(TRUNCATED) for an empty PDU, and Rejected(OUT_OF_RANGE) for one from
    before IV index 0."""
    if not data:
        raise Rejected(RejectReason.TRUNCATED, "an empty network PDU")
    if data[0] >> 7 == iv_index & 1:
        return iv_index
    if iv_index == 0:
        raise Rejected(RejectReason.OUT_OF_RANGE, "the IV index before the first")
    return iv_index - 1


def nid_of(data: bytes) -> int:
    """The NID in clear in the first byte of a network PDU (3.4.4.2)."""
    return data[0] & 0x7F


def _hide(header: bytes, sealed: bytes, credentials: Credentials, iv_index: int) -> bytes:
    """Obfuscate, or reveal, the six bytes of CTL, TTL, SEQ and SRC: the same both ways (3.9.7.3)."""
    pecb = credentials.privacy.encrypt(_PRIVACY.pack(iv_index) + sealed[:7])
    mixed = int.from_bytes(header, "big") ^ int.from_bytes(pecb[:6], "big")
    return mixed.to_bytes(6, "big")


def _check_iv_index(iv_index: int) -> None:
    if not 0 <= iv_index <= MAX_IV_INDEX:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"IV index {iv_index:#x}")


def _check(pdu: NetworkPdu, lowest_destination: int) -> None:
    longest = MAX_CONTROL_TRANSPORT if pdu.control else MAX_ACCESS_TRANSPORT
    if not 0 < len(pdu.transport) <= longest:
        raise Rejected(RejectReason.OVERSIZED, f"a transport PDU of {len(pdu.transport)} bytes")
    if not (
        0 <= pdu.ttl <= MAX_TTL
        and 0 <= pdu.sequence <= MAX_SEQUENCE
        and 0 < pdu.source < 0x8000
        and lowest_destination <= pdu.destination <= 0xFFFF
    ):
        raise Rejected(
            RejectReason.OUT_OF_RANGE,
            f"TTL {pdu.ttl}, sequence {pdu.sequence}, 0x{pdu.source:04x} to 0x{pdu.destination:04x}",
        )
