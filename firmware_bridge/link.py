"""MeshLink: what a mesh network looks like from a gateway, and the events it tells.

Implementations: `bluez_mesh` (a real `bluetooth-meshd` over D-Bus), `virtual` (a simulated site); the GATT
proxy's stack and recorded sites come beside them. Every one passes `tests/contracts/mesh_link.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

from common.mesh.cdb import SiteFile
from common.mesh.configuration import ConfigurationChange, NodeConfiguration


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The gateway is attached to the network; `address` is its own primary unicast address."""

    t: float
    address: int


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The gateway lost the network: daemon gone, proxy gone. The link tries again by itself."""

    t: float
    reason: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A standard heartbeat (Mesh Protocol 1.1, 3.6.7.2). `hops` is 1 for a direct neighbour."""

    t: float
    source: int
    hops: int | None


@dataclass(frozen=True, slots=True)
class NeighbourCount:
    """How many of a transmitter's probes one receiver heard in a reporting window.

    A probe goes on air `transmissions` times and counts once. `rssi_dbm` is None where nodes cannot tell.
    """

    transmitter: int
    heard: int
    expected: int
    transmissions: int = 1
    rssi_dbm: int | None = None


@dataclass(frozen=True, slots=True)
class NeighbourReport:
    """A receiver's neighbour table, or a part of it."""

    t: float
    receiver: int
    neighbours: tuple[NeighbourCount, ...]


@dataclass(frozen=True, slots=True)
class LostNeighbour:
    """`receiver` missed `missed` probes in a row of a usually good transmitter: evidence, not a verdict."""

    t: float
    receiver: int
    transmitter: int
    missed: int


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node told (part of) its configuration, asked or not."""

    t: float
    configuration: NodeConfiguration


@dataclass(frozen=True, slots=True)
class Message:
    """An access message that reached the gateway.

    `payload` starts with the opcode; keep it out of logs. `hops` is None where the bearer cannot tell.
    """

    t: float
    source: int
    destination: int
    payload: bytes = field(repr=False)
    hops: int | None = None


Event: TypeAlias = "LinkUp | LinkDown | Heartbeat | NeighbourReport | LostNeighbour | NodeStatus | Message"


@runtime_checkable
class KeyKeeper(Protocol):
    """A link that keeps the nodes' device keys, beside being a `MeshLink`."""

    async def adopt(self, site: SiteFile, nodes: Collection[int]) -> None:
        """Use an edited site file from now on; `nodes` are new there or have another device key.

        The network's own keys and this gateway's node stay as they were. Never raises for a daemon that is
        away: it gets the keys when it is back.
        """


@runtime_checkable
class Troubled(Protocol):
    """A link that says why it is away even before it was ever there, beside being a `MeshLink`."""

    @property
    def problem(self) -> str:
        """Why the mesh cannot be reached, for people; empty while it can, and before that is known."""


class MeshLink(Protocol):
    """One gateway's access to one mesh network. Seven methods; `t` of every event is monotonic seconds
    of the clock that the link was made with.

    An implementer owes: `open` returns once the gateway is attached or raises; after that the link
    reconnects by itself and tells `LinkDown` and `LinkUp`; `events` has one consumer, loses no event short
    of its stated queue limit (then drops the oldest `Message`, `Heartbeat` first, counted), and ends after
    `close`. Every awaiting method may be cancelled at any point and leaves the link usable.
    """

    async def open(self) -> None:
        """Attach to the network.

        Raises Unavailable (no daemon, no proxy) or Misconfigured (wrong keys, wrong address).
        """

    async def close(self) -> None:
        """Detach and release everything; safe to call twice, and on a link that never opened."""

    def events(self) -> AsyncIterator[Event]:
        """What the network tells, in order of arrival, until `close`."""

    async def configure(self, address: int, change: ConfigurationChange) -> NodeConfiguration:
        """Apply `change` to a node by Config messages and return its configuration as the node then states
        it. An empty change only reads. Repeats unanswered messages by itself; safe to repeat.

        Raises TimedOut (the node did not answer), Rejected(REFUSED_BY_NODE), NotSupported (no such feature),
        Unavailable (the link is down).
        """

    async def send(self, destination: int, payload: bytes) -> None:
        """Send an access message (opcode and parameters, at most 380 bytes) with the first application key.

        Unacknowledged. Raises Rejected (OVERSIZED, OUT_OF_RANGE) or Unavailable.
        """

    async def request(self, destination: int, payload: bytes, response: int, timeout: float) -> bytes:
        """Send an acknowledged access message and return the response's payload from that node.

        `response` is the opcode of the answer (Mesh Protocol 1.1, 3.7.3.1: 1, 2 or 3 bytes big-endian).
        Sends once; the caller decides on repeats. Raises TimedOut after `timeout` seconds, Unavailable,
        Rejected.
        """

    async def restart(self, address: int) -> None:
        """Reboot a node, which keeps its keys. Raises NotSupported where the node has no link monitor,
        TimedOut, Unavailable. Never Config Node Reset: that would expel the node.
        """
