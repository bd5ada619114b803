"""What provisioning needs of a radio: devices heard, and a wire to one of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from firmware_bridge.provisioning.beacon import Unprovisioned
from firmware_bridge.provisioning.link import ProvisioningLink


@dataclass(frozen=True, slots=True)
class Heard:
    """An unprovisioned device was heard. `rssi_dbm` is None where the bearer cannot tell."""

    device: Unprovisioned
    rssi_dbm: int | None = None


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


class Advertising(Protocol):
    """A radio that advertises and listens: the air of a lab, or a controller."""

    async def advertise(self, ad_type: int, data: bytes) -> None:
        """Send one advertisement with one AD structure. Raises Unavailable."""

    def listen(self, heard: Callable[[int, bytes, int | None], None]) -> Callable[[], None]:
        """Call `heard` with AD type, data and RSSI of every advertisement until the returned function is
        called."""
