"""What carries the PDUs of one network between the stack and the mesh."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

from common.mesh.configuration import Transmit
from firmware_bridge.stack.proxy import PduType


@dataclass(frozen=True, slots=True)
class BearerUp:
    """PDUs pass. `peer` names the other end, for people; `filters` says that it is a proxy, whose filter is
    empty at first and lets nothing through to us (6.4)."""

    peer: str
    filters: bool


@dataclass(frozen=True, slots=True)
class BearerDown:
    """Nothing passes until the next `BearerUp`."""

    reason: str


@dataclass(frozen=True, slots=True)
class PduReceived:
    """A whole PDU, sealed as it came: network, beacon, proxy configuration or provisioning."""

    kind: PduType
    data: bytes = field(repr=False)


BearerEvent: TypeAlias = "BearerUp | BearerDown | PduReceived"


class Bearer(Protocol):
    """One way to one network.

    An implementer owes: it connects and reconnects by itself from `open` to `close`, with growing pauses;
    `events` has one consumer, is bounded (then the oldest PDU goes, counted in `dropped`), and ends after
    `close`; every awaiting method may be cancelled at any point and leaves the bearer usable.
    """

    @property
    def dropped(self) -> int:
        """PDUs that nobody read in time."""

    async def open(self) -> None:
        """Start to look for the network. Raises Unavailable or Misconfigured where that can never succeed
        here (no adapter, no such air)."""

    async def close(self) -> None:
        """Disconnect and release everything; safe to call twice."""

    def events(self) -> AsyncIterator[BearerEvent]:
        """What happens, in order."""

    async def send(self, kind: PduType, data: bytes) -> None:
        """Pass a whole PDU on. Raises Unavailable while there is no connection."""


@runtime_checkable
class ChoosingBearer(Bearer, Protocol):
    """A bearer that may have several ways to its network, and cannot tell a true one from a pretended one:
    anybody can advertise a Network ID, and only who holds the keys knows an authentic answer."""

    def distrust(self, reason: str) -> None:
        """The present way does not lead to the network: hang up, and take another if there is one.

        `BearerDown` follows. Nothing happens while there is no connection."""


@runtime_checkable
class AdvertisingBearer(Bearer, Protocol):
    """A bearer that repeats what it sends, as nothing acknowledges it: `network_transmit` says how often.

    Who hears us on one is a neighbour; behind a proxy there are none.
    """

    network_transmit: Transmit

    async def send(self, kind: PduType, data: bytes, transmit: Transmit | None = None) -> None:
        """As `Bearer.send`; `transmit` replaces network transmit for this PDU."""
