"""The medium between the nodes: ports where nodes meet it, and the links that carry, lose and count.

It does no waiting: the loop in `air` calls `Port.carry` when a node has sent something. Loss is all it has of
radio: no delay, no collisions, no signal strength.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tools.meshlab.topology import Pair, Topology

MAX_SENT = 30  # AD type and 29 bytes of data: one advertisement
_NAME_QUERY = b"\0"


class Port:
    """Where one node meets the air. `sent` counts its datagrams, `types` the same by AD type.

    There is a receiving socket for each node because the kernel queues only ten datagrams a socket
    (net.unix.max_dgram_qlen), and a full queue loses the daemon's datagram. Sending has a socket of its own
    since a connected one, which saves a path look-up a datagram, hears only its peer.
    """

    def __init__(self, folder: Path, index: int) -> None:
        self.sent = 0
        self.types: dict[int, int] = {}
        self.links: list[Link] = []
        self.silent = False
        self.name: str | None = None
        self._node = str(folder / f"node.{index}")
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._outbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inbox.setblocking(False)
        self._outbox.setblocking(False)
        self._inbox.bind(str(folder / f"air.{index}"))
        self.deliver = self._outbox.send

    def fileno(self) -> int:
        return self._inbox.fileno()

    def carry(self) -> None:
        """Take one datagram of this node and give it to every node that hears it."""
        try:
            sent = self._inbox.recv(MAX_SENT + 1)
        except BlockingIOError:
            return
        if not 2 <= len(sent) <= MAX_SENT:
            return
        if not sent[0]:
            self.name = sent[1:].rstrip(b"\0").decode("ascii", "replace")
            return
        self.sent += 1
        self.types[sent[0]] = self.types.get(sent[0], 0) + 1
        datagram = bytes((len(sent),)) + sent
        for link in self.links:
            if link.loss and link.draw() < link.loss:
                link.lost += 1
                continue
            try:
                link.deliver(datagram)
                link.heard += 1
            except BlockingIOError:
                link.full += 1
            except OSError:
                link.carry_anew(datagram)

    def connect(self) -> None:
        """Find the node's socket: it did not exist yet, or the node has been started again."""
        self._outbox.connect(self._node)

    def ask_name(self) -> None:
        """Ask the daemon for its bus name, which `carry` will note: also the sign that it is ready."""
        try:
            self.connect()
            self.deliver(_NAME_QUERY)
        except OSError:
            pass  # not there yet: it is asked again

    def close(self) -> None:
        self._inbox.close()
        self._outbox.close()


class Link:
    """One direction between two nodes. `lost` was drawn, `full` met a full queue, `gone` nobody at all.

    Each link draws from its own generator: the n-th datagram on a link has the same fate in every run with
    the same seed, however the nodes interleave.
    """

    __slots__ = ("_seed", "_target", "deliver", "draw", "full", "gone", "heard", "loss", "lost")

    def __init__(self, target: Port, seed: int) -> None:
        self.loss = 0.0
        self.heard = self.lost = self.full = self.gone = 0
        self.deliver = target.deliver
        self.draw: Callable[[], float] = float
        self._target = target
        self._seed = seed

    def set_loss(self, loss: float) -> None:
        self.loss = loss
        if loss and self.draw is float:  # a generator takes 2.5 kB, and most links of a star need none
            self.draw = Random(self._seed).random

    def carry_anew(self, datagram: bytes) -> None:
        try:
            self._target.connect()
            self.deliver(datagram)
            self.heard += 1
        except BlockingIOError:
            self.full += 1
        except OSError:
            self.gone += 1


class Medium:
    """The ports and links of a topology. Counts are kept when links change."""

    def __init__(self, folder: Path, topology: Topology, seed: int) -> None:
        self.topology = topology
        self.seed = seed
        self.ports = [Port(folder, index) for index in range(topology.nodes)]
        self.links: dict[Pair, Link] = {}
        self.use(topology)

    def use(self, topology: Topology) -> None:
        """Take over the links of `topology`, which has as many nodes as there are ports."""
        for port in self.ports:
            port.links = []
        for (source, target), loss in topology.links.items():
            link = self._link(source, target)
            link.set_loss(loss)
            if not self.ports[source].silent and not self.ports[target].silent:
                self.ports[source].links.append(link)
        self.topology = topology

    def silence(self, index: int, silent: bool) -> None:
        """Switch a node's radio off or on: it neither hears nor is heard."""
        self.ports[index].silent = silent
        self.use(self.topology)

    def counts(self) -> list[dict[str, Any]]:
        """By node: `tx` and `types` of what it sent; `rx`, `lost`, `full`, `gone` of what went its way."""
        table: list[dict[str, Any]] = [
            {"tx": port.sent, "rx": 0, "lost": 0, "full": 0, "gone": 0, "types": _type_names(port.types)}
            for port in self.ports
        ]
        for (_, target), link in self.links.items():
            row = table[target]
            row["rx"] += link.heard
            row["lost"] += link.lost
            row["full"] += link.full
            row["gone"] += link.gone
        return table

    def close(self) -> None:
        for port in self.ports:
            port.close()

    def _link(self, source: int, target: int) -> Link:
        if (source, target) not in self.links:
            seed = self.seed << 32 | source << 16 | target
            self.links[source, target] = Link(self.ports[target], seed)
        return self.links[source, target]


def _type_names(types: dict[int, int]) -> dict[str, int]:
    return {f"0x{kind:02x}": count for kind, count in sorted(types.items())}
