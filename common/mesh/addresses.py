"""Mesh addresses (Mesh Protocol 1.1, section 3.4.2): 16-bit numbers whose range says their kind."""

from __future__ import annotations

from typing import Final

from common.errors import Rejected, RejectReason

UNASSIGNED: Final = 0x0000
UNICAST_MAX: Final = 0x7FFF
GROUP_MIN: Final = 0xC000

# Fixed group addresses, section 3.4.2.4.
ALL_PROXIES: Final = 0xFFFC
ALL_FRIENDS: Final = 0xFFFD
ALL_RELAYS: Final = 0xFFFE
ALL_NODES: Final = 0xFFFF

TTL_MAX: Final = 127


def is_unicast(address: int) -> bool:
    """One element of one node."""
    return 0x0001 <= address <= UNICAST_MAX


def is_virtual(address: int) -> bool:
    """The hash of a label UUID."""
    return 0x8000 <= address <= 0xBFFF


def is_group(address: int) -> bool:
    """Any number of elements, fixed groups included."""
    return GROUP_MIN <= address <= ALL_NODES


def check_unicast(address: int) -> int:
    """Return a unicast address. Raises Rejected(OUT_OF_RANGE)."""
    if not is_unicast(address):
        raise Rejected(
            RejectReason.OUT_OF_RANGE, f"0x{address:04x} is not a unicast address (0x0001 to 0x7fff)"
        )
    return address


def parse(text: str) -> int:
    """An address as people write it: `0x0105`, or decimal `261`. Raises Rejected(MALFORMED)."""
    try:
        address = int(text, 0)
    except ValueError as error:
        raise Rejected(RejectReason.MALFORMED, f"{text[:20]!r} is not an address like 0x0105") from error
    if not UNASSIGNED <= address <= ALL_NODES:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"{text[:20]} is not a 16-bit address")
    return address


def show(address: int) -> str:
    """The form people read: `0x0105`."""
    return f"0x{address:04x}"
