"""How devices that are not provisioned tell of themselves: beacons, and the service data of a connectable one
(3.10.2, 7.1.2.2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from common.errors import Rejected, RejectReason

UNPROVISIONED: Final = 0x00
UUID_BYTES: Final = 16
_WITHOUT_URI: Final = 1 + UUID_BYTES + 2
_WITH_URI: Final = _WITHOUT_URI + 4

OOB_INFORMATION: Final = {
    0: "other",
    1: "electronic or URI",
    2: "2D code",
    3: "bar code",
    4: "near field communication",
    5: "number",
    6: "string",
    7: "certificate",
    8: "provisioning records",
    11: "on the box",
    12: "inside the box",
    13: "on a piece of paper",
    14: "in the manual",
    15: "on the device",
}
"""Where a device's out-of-band information is, by bit (3.10.2, table 3.74)."""


@dataclass(frozen=True, slots=True)
class Unprovisioned:
    """A device that waits to be provisioned: UUID of 16 bytes, bits of `OOB_INFORMATION`, and the hash of
    its URI where it has one (4 bytes)."""

    uuid: bytes
    oob: int = 0
    uri_hash: bytes | None = None

    def places(self) -> tuple[str, ...]:
        """Where its out-of-band information is, as people read it."""
        return tuple(name for bit, name in OOB_INFORMATION.items() if self.oob >> bit & 1)


def build(device: Unprovisioned) -> bytes:
    """The unprovisioned device beacon, its type first: 19 bytes, or 23 with a URI hash (3.10.2)."""
    return bytes((UNPROVISIONED,)) + device.uuid + device.oob.to_bytes(2, "big") + (device.uri_hash or b"")


def parse(data: bytes) -> Unprovisioned | None:
    """The device of a beacon (3.10.2); None for a beacon of another type.

    Raises Rejected(INVALID) for a wrong length, and nothing else.
    """
    if not data or data[0] != UNPROVISIONED:
        return None
    if len(data) not in (_WITHOUT_URI, _WITH_URI):
        raise Rejected(RejectReason.INVALID, f"an unprovisioned device beacon of {len(data)} bytes")
    return Unprovisioned(data[1:17], int.from_bytes(data[17:19], "big"), data[19:] or None)


def parse_service_data(data: bytes) -> Unprovisioned | None:
    """The device of service data of the Mesh Provisioning Service (7.1.2.2.1); None when it is none."""
    if len(data) != UUID_BYTES + 2:
        return None
    return Unprovisioned(data[:UUID_BYTES], int.from_bytes(data[UUID_BYTES:], "big"))
