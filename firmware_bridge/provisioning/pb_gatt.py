"""PB-GATT: a provisioning link over a GATT connection (5.2.2).

The connection opens and closes the link, acknowledges, repeats, and carries PDUs in pieces like a proxy's
(`stack.proxy`): what is left for the link is to pass whole provisioning PDUs on.
"""

from __future__ import annotations

from common.errors import Unavailable
from firmware_bridge.provisioning.generic import MAX_PDU_BYTES, CloseReason
from firmware_bridge.provisioning.link import Arrived, LinkEvent, LinkOpened


class GattLink:
    """One connection to the Mesh Provisioning Service, at either end (5.2.2). See `link.ProvisioningLink`."""

    def __init__(self) -> None:
        self.refused = 0
        self._out: list[bytes] = []
        self._opened = False
        self._closed = False
        self._told = False

    def open(self, now: float) -> None:
        self._opened = True

    def send(self, pdu: bytes, now: float) -> None:
        if not self._opened or self._closed:
            raise Unavailable("the provisioning link is not open")
        self._out.append(pdu)

    def receive(self, data: bytes, now: float) -> list[LinkEvent]:
        if not self._opened or self._closed:
            return []
        if not 0 < len(data) <= MAX_PDU_BYTES:
            self.refused += 1
            return []
        return [Arrived(data)]

    def poll(self, now: float) -> list[LinkEvent]:
        if self._told or not self._opened:
            return []
        self._told = True
        return [LinkOpened()]

    def outgoing(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    def next_time(self) -> float | None:
        return None

    def close(self, reason: CloseReason, now: float) -> None:
        self._closed = True

    @property
    def finished(self) -> bool:
        return self._closed and not self._out
