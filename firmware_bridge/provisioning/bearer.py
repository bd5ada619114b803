"""What provisioning needs of a radio: devices heard, and a wire to one of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from firmware_bridge.provisioning.beacon import Unprovisioned
from firmware_bridge.provisioning.link import ProvisioningLink
from firmware_bridge.stack.proxy import PduType


@dataclass(frozen=True, slots=True)
class Heard:
    """An unprovisioned device was heard. `rssi_dbm` is None where the bearer cannot tell."""

    device: Unprovisioned
    rssi_dbm: int | None = None


Hear: TypeAlias = "Callable[[PduType, bytes, int | None], None]"
"""Is given kind and bytes of a PDU, and its RSSI where that is known."""


class Wire(Protocol):
    """The way of one link through the bearer. Every method may be cancelled at any point."""

    async def send(self, data: bytes) -> None:
        """Pass one PDU of the bearer on. Raises Unavailable."""

    async def receive(self) -> bytes:
        """The next PDU of the bearer. Raises Unavailable when no more will come."""


class ProvisioningBearer(Protocol):
    """One way to unprovisioned devices. `name` is what people read: `PB-ADV`, `PB-GATT`."""

    name: str

    async def scan(self, heard: Callable[[Heard], None]) -> None:
        """Tell of every unprovisioned device that is heard, until cancelled. Raises Unavailable."""

    def connect(self, uuid: bytes) -> AbstractAsyncContextManager[tuple[ProvisioningLink, Wire]]:
        """A fresh link to the device with this UUID, not opened yet, and its wire. Raises Unavailable."""


class Radio(Protocol):
    """What advertises and listens: a bearer of the stack, which also carries beacons and PB-ADV."""

    async def send(self, kind: PduType, data: bytes) -> None:
        """Advertise a PDU once. Raises Unavailable."""

    def listen(self, heard: Hear) -> Callable[[], None]:
        """Call `heard` for every beacon and provisioning PDU until the returned function is called."""
