"""The few facts of a certificate that the daemon has to know, read from its DER form (X.690; RFC 5280, 4.1).

Verifies nothing, that is TLS's work; and keeps the memory of a cryptographic library out of the daemon.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from common.errors import Corrupt

MAX_PEM_BYTES: Final = 64 * 1024
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_SEQUENCE, _INTEGER, _VERSION = 0x30, 0x02, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18


@dataclass(frozen=True, slots=True)
class Certificate:
    """`serial` in hexadecimal; from when and until when it is good, in Unix time."""

    serial: str
    not_before: float
    not_after: float

    @property
    def life_s(self) -> float:
        """How long it is good, in seconds."""
        return self.not_after - self.not_before


def parse(pem: bytes) -> Certificate:
    """The first certificate in a PEM text, which may hold other things. Raises Corrupt."""
    try:
        return _parse_der(_der(pem))
    except (ValueError, IndexError, OverflowError) as error:
        raise Corrupt(f"no readable certificate: {error}"[:200]) from error


def _der(pem: bytes) -> bytes:
    if len(pem) > MAX_PEM_BYTES:
        raise ValueError(f"more than {MAX_PEM_BYTES} bytes")
    text = pem.decode("ascii")
    start = text.index(_BEGIN)
    end = text.index(_END, start) + len(_END)
    return ssl.PEM_cert_to_DER_cert(text[start:end])


def _parse_der(der: bytes) -> Certificate:
    """SEQUENCE { SEQUENCE { [0] version, serial, algorithm, issuer, SEQUENCE { from, to }, …"""
    certificate, _ = _take(der, _SEQUENCE)
    fields, _ = _take(certificate, _SEQUENCE)
    if fields[0] == _VERSION:
        _, fields = _take(fields, _VERSION)
    serial, fields = _take(fields, _INTEGER)
    for _ in ("algorithm", "issuer"):
        _, fields = _take(fields, _SEQUENCE)
    validity, _ = _take(fields, _SEQUENCE)
    not_before, validity = _take_time(validity)
    not_after, _ = _take_time(validity)
    if not_after <= not_before:
        raise ValueError("it ends before it begins")
    return Certificate(f"{int.from_bytes(serial, 'big'):x}", not_before, not_after)


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The contents of the element of type `tag` at the start of `data`, and what follows it."""
    if data[0] != tag:
        raise ValueError(f"element {data[0]:#04x} where {tag:#04x} belongs")
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    if start + length > len(data):
        raise ValueError("an element is cut short")
    return data[start : start + length], data[start + length :]


def _take_time(data: bytes) -> tuple[float, bytes]:
    kind = data[0]
    if kind not in (_UTC_TIME, _GENERALIZED_TIME):
        raise ValueError("no time where one belongs")
    content, rest = _take(data, kind)
    text = content.decode("ascii")
    if kind == _UTC_TIME:
        # Two digits of the year: 50 to 99 are of the last century (RFC 5280, 4.1.2.5.1).
        text = ("19" if text[:2] >= "50" else "20") + text
    if len(text) != 15 or not text[:14].isdecimal() or text[14] != "Z":
        raise ValueError("a time of another form")
    return datetime.fromisoformat(f"{text[:8]}T{text[8:14]}+00:00").timestamp(), rest
