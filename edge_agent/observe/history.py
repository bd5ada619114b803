"""The last windows of one link, packed: a site has thousands of links, and a gateway little memory."""

from __future__ import annotations

import struct
from typing import Final

from common.models.link_forecast import WINDOWS, LinkWindow

_WINDOW: Final = struct.Struct("<dHHBb")
_KEPT: Final = WINDOWS * _WINDOW.size
_UNKNOWN_RSSI: Final = 127
"""As Bluetooth's host controller interface says that it cannot tell."""

EMPTY: Final = b""


def add(packed: bytes, window: LinkWindow) -> bytes:
    """The history with a window more, and the oldest one less where there are enough."""
    rssi = _UNKNOWN_RSSI if window.rssi_dbm is None else round(min(126.0, max(-128.0, window.rssi_dbm)))
    expected = min(window.expected, 0xFFFF)
    heard = min(max(0, window.heard), expected)
    fields = (window.t, heard, expected, min(window.transmissions, 0xFF), rssi)
    return (packed + _WINDOW.pack(*fields))[-_KEPT:]


def windows(packed: bytes) -> list[LinkWindow]:
    """What was packed, oldest first."""
    return [
        LinkWindow(t, heard, expected, transmissions, None if rssi == _UNKNOWN_RSSI else rssi)
        for t, heard, expected, transmissions, rssi in _WINDOW.iter_unpack(packed)
    ]


def spacing(packed: bytes) -> float | None:
    """Mean seconds between the windows; None when there are not two."""
    times = [t for t, *_ in _WINDOW.iter_unpack(packed)]
    return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None
