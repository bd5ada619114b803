"""PB-GATT: a provisioning link over a GATT connection, with PDUs in pieces like a proxy's (5.2.2).

The connection itself acknowledges and repeats; it also opens and closes the link.
"""

from __future__ import annotations

from typing import Final

from common.errors import Rejected, Unavailable
from firmware_bridge.provisioning.generic import MAX_PDU_BYTES, CloseReason
from firmware_bridge.provisioning.link import Arrived, LinkClosed, LinkEvent, LinkOpened
from firmware_bridge.stack.proxy import Joiner, PduType, split

DATA_IN: Final = 0x2ADB
"""Mesh Provisioning Data In: written by the provisioner (7.1.3.1)."""
DATA_OUT: Final = 0x2ADC
"""Mesh Provisioning Data Out: notified by the device (7.1.3.2)."""
SMALLEST_WRITE: Final = 20
"""Bytes of a write over a connection of the least MTU, 23."""


class GattLink:
    """One connection to the Mesh Provisioning Service, at either end. See `link.ProvisioningLink`.

    `most` are the bytes of one write or notification: the ATT MTU less 3.
    """

    def __init__(self, most: int = SMALLEST_WRITE) -> None:
        self.refused = 0
        self._most = most
        self._joiner = Joiner()
        self._out: list[bytes] = []
        self._state: bool | None = None
        self._told = False

    def open(self, now: float) -> None:
        self._state = True

    def send(self, pdu: bytes, now: float) -> None:
        if not self._state:
            raise Unavailable("the provisioning link is not open")
        self._out += split(PduType.PROVISIONING, pdu, self._most)

    def receive(self, data: bytes, now: float) -> list[LinkEvent]:
        if not self._state:
            return []
        try:
            found = self._joiner.take(data, now)
            if found is None or found[0] is not PduType.PROVISIONING:
                return []
            if len(found[1]) > MAX_PDU_BYTES:
                self.refused += 1
                return []
        except Rejected:
            # Whoever breaks the proxy protocol is disconnected (6.3.2.2).
            self.refused += 1
            self._state = False
            return [LinkClosed(CloseReason.FAIL, by_peer=False)]
        return [Arrived(found[1])]

    def poll(self, now: float) -> list[LinkEvent]:
        if self._state and not self._told:
            self._told = True
            return [LinkOpened()]
        if self._state and self._joiner.overdue(now):
            self._state = False
            return [LinkClosed(CloseReason.TIMEOUT, by_peer=False)]
        return []

    def outgoing(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    def next_time(self) -> float | None:
        return 0.0 if self._state and not self._told else None

    def close(self, reason: CloseReason, now: float) -> None:
        self._state = False

    @property
    def finished(self) -> bool:
        return self._state is False and not self._out
