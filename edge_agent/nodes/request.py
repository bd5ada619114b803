"""What an operator asks about nodes, taken out of a request. Anything may be in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from common.errors import Rejected, RejectReason
from common.mesh.addresses import check_unicast
from common.mesh.addresses import parse as parse_address
from firmware_bridge.provisioning.oob import MAX_STATIC_BYTES
from firmware_bridge.provisioning.pdus import Method

LONGEST_SCAN_S: Final = 60.0

METHODS: Final = {
    "none": Method.NONE,
    "static": Method.STATIC,
    "output": Method.OUTPUT,
    "input": Method.INPUT,
}


@dataclass(frozen=True, slots=True)
class Addition:
    """A node to add. `method` of None takes the strongest way that the device has; `static` is its value."""

    uuid: bytes
    name: str = ""
    method: Method | None = None
    static: bytes | None = field(default=None, repr=False)
    provisioner: str = ""
    relay: bool = False

    @classmethod
    def of(cls, request: dict[str, Any]) -> Addition:
        """Raises Rejected(INVALID, MALFORMED); a static value is never repeated."""
        method = request.get("method")
        if method is not None and method not in METHODS:
            raise Rejected(RejectReason.INVALID, f"the authentication is one of {', '.join(METHODS)}")
        relay = request.get("relay", False)
        if not isinstance(relay, bool):
            raise Rejected(RejectReason.INVALID, '"relay" is true or false')
        static = request.get("static")
        if method == "static" and static is None:
            raise Rejected(RejectReason.INVALID, "a static value is needed for that")
        return cls(
            uuid=_hex(request.get("uuid"), 16, 16, "uuid"),
            name=_text(request.get("name", ""), "name"),
            method=None if method is None else METHODS[method],
            static=None if static is None else _hex(static, 1, MAX_STATIC_BYTES, "static"),
            provisioner=_text(request.get("provisioner", ""), "provisioner"),
            relay=relay,
        )


def seconds(value: object) -> float:
    """How long to scan. Raises Rejected."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Rejected(RejectReason.INVALID, '"seconds" is a number')
    if not 0 < value <= LONGEST_SCAN_S:
        raise Rejected(RejectReason.OUT_OF_RANGE, f'"seconds" lies above 0 and up to {LONGEST_SCAN_S:g}')
    return float(value)


def address(value: object) -> int:
    """A node's unicast address, as `0x0105` or a number. Raises Rejected."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise Rejected(RejectReason.INVALID, '"node" is an address such as 0x0105')
    return check_unicast(parse_address(str(value)))


def _hex(value: object, least: int, most: int, name: str) -> bytes:
    text = value.replace("-", "") if isinstance(value, str) else ""
    if not re.fullmatch(r"(?:[0-9a-fA-F]{2})+", text) or not least <= len(text) // 2 <= most:
        size = f"{least}" if least == most else f"{least} to {most}"
        raise Rejected(RejectReason.MALFORMED, f'"{name}" is {size} bytes in hexadecimal digits')
    return bytes.fromhex(text)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or len(value) > 64 or not (value.isprintable() or not value):
        raise Rejected(RejectReason.INVALID, f'"{name}" is a line of at most 64 characters')
    return value
