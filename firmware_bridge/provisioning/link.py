"""What provisioning runs over: a link to one device, over advertisements or a GATT connection. Both kinds are
state machines of one shape, moved by whoever holds the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from firmware_bridge.provisioning.generic import CloseReason


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """The other side is there: provisioning PDUs pass from now on."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A whole provisioning PDU came."""

    pdu: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """The link is over, for a `CloseReason` or one of the future. Nothing comes after this."""

    reason: int
    by_peer: bool


LinkEvent: TypeAlias = "LinkOpened | Arrived | LinkClosed"


class ProvisioningLink(Protocol):
    """Its holder gives `receive` what the wire brings, transmits what `outgoing` gives, and calls `poll` at
    `next_time`, each with monotonic seconds. `refused` counts what broke the rules."""

    refused: int

    def open(self, now: float) -> None:
        """Begin; `LinkOpened` tells of success."""

    def send(self, pdu: bytes, now: float) -> None:
        """Pass a provisioning PDU to the other side. Raises Unavailable before `LinkOpened`, after
        `LinkClosed`, and when more wait than provisioning ever needs."""

    def receive(self, data: bytes, now: float) -> list[LinkEvent]:
        """What a PDU of the bearer brings. Hostile bytes are counted, no more."""

    def poll(self, now: float) -> list[LinkEvent]:
        """Let everything happen that is due."""

    def outgoing(self) -> list[bytes]:
        """The bearer's PDUs to transmit now, in order; each is given once."""

    def next_time(self) -> float | None:
        """When `poll` has something to do next."""

    def close(self, reason: CloseReason, now: float) -> None:
        """End the link, with the reason told to the other side. `finished` says when that is done."""

    @property
    def finished(self) -> bool:
        """Whether the link is over and nothing is left to transmit."""
