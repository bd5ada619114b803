"""Who is at the other end of a connection, as its certificate says.

TLS has checked signature, dates and purpose; whether the holder is let in is the registry's matter.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Peer:
    """`gateway` is the certificate's name, empty when it has not exactly one; `serial` as the registry writes
    it; `not_after` in Unix time."""

    gateway: str
    serial: str
    not_after: float


def peer_of(certificate: Mapping[str, Any]) -> Peer:
    """The holder of a certificate in the form of `ssl.SSLSocket.getpeercert`."""
    subject = [part for name in certificate.get("subject", ()) for part in name]
    names = [value for key, value in subject if key == "commonName"]
    serial = str(certificate.get("serialNumber", "")).lower().lstrip("0") or "0"
    ends = ssl.cert_time_to_seconds(certificate["notAfter"]) if "notAfter" in certificate else 0
    return Peer(names[0] if len(subject) == len(names) == 1 else "", serial, float(ends))
