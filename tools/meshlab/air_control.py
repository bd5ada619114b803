"""The air's commands, served on the air's own loop.

    topology [topology]    replace the links, or only tell them
    loss from to loss      set one directed link; a missing one is added
    silence, unsilence     a node's radio off and on
    stats                  counts by node, CPU seconds, seconds up
    links                  the same counts by link
    names                  the daemons' bus names as far as known; asks those that are not
    forget node            a daemon is about to be started anew: its name is not valid any more

Only the form of a line is known elsewhere (`commands`).
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.errors import Rejected, RejectReason
from tools.meshlab.commands import MAX_LINE, Arguments, Handler, answer, number, whole
from tools.meshlab.medium import Medium
from tools.meshlab.topology import Topology

_CHUNK = 1 << 16
# A client that does not read its answer holds up the air no longer than this, and then loses its connection.
_SEND_SECONDS = 1.0


class AirControl:
    """The listening socket and its connections, served by a loop that waits on `poll` and calls what
    `readers` holds for a descriptor. `cpu` tells the process's CPU seconds.
    """

    def __init__(
        self,
        path: Path,
        medium: Medium,
        poll: select.epoll,
        readers: dict[int, Callable[[], None]],
        cpu: Callable[[], float],
    ) -> None:
        self._medium = medium
        self._poll = poll
        self._readers = readers
        self._cpu = cpu
        self._started = time.monotonic()
        self._connections: dict[int, tuple[socket.socket, bytearray]] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self._handlers: dict[str, Handler] = {
            "topology": self._topology,
            "loss": self._loss,
            "silence": lambda arguments: self._silence(arguments, True),
            "unsilence": lambda arguments: self._silence(arguments, False),
            "stats": self._stats,
            "links": self._links,
            "names": self._names,
            "forget": self._forget,
        }
        self._watch(self._listener, self._accept)

    def close(self) -> None:
        for connection, _pending in self._connections.values():
            connection.close()
        self._listener.close()

    def _watch(self, source: socket.socket, reader: Callable[[], None]) -> None:
        self._readers[source.fileno()] = reader
        self._poll.register(source.fileno(), select.EPOLLIN)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(_SEND_SECONDS)
        descriptor = connection.fileno()
        self._connections[descriptor] = (connection, bytearray())
        self._watch(connection, lambda: self._read(descriptor))

    def _read(self, descriptor: int) -> None:
        connection, pending = self._connections[descriptor]
        try:
            chunk = connection.recv(_CHUNK)
            pending += chunk
            while b"\n" in chunk and b"\n" in pending:
                line, _, rest = bytes(pending).partition(b"\n")
                pending[:] = rest
                connection.sendall(answer(line, self._handlers))
        except OSError:
            chunk = b""
        if not chunk or len(pending) > MAX_LINE:
            self._drop(descriptor)

    def _drop(self, descriptor: int) -> None:
        connection, _ = self._connections.pop(descriptor)
        del self._readers[descriptor]
        connection.close()  # which also takes it out of the poll set

    def _topology(self, arguments: Arguments) -> Any:
        if "topology" in arguments:
            topology = Topology.from_json(arguments["topology"])
            if topology.nodes != len(self._medium.ports):
                raise Rejected(
                    RejectReason.INVALID, f"{topology.nodes} nodes; this air has {len(self._medium.ports)}"
                )
            self._medium.use(topology)
        return self._medium.topology.to_json()

    def _loss(self, arguments: Arguments) -> None:
        source, target = whole(arguments, "from"), whole(arguments, "to")
        self._medium.use(self._medium.topology.with_loss(source, target, number(arguments, "loss")))

    def _silence(self, arguments: Arguments, silent: bool) -> None:
        self._medium.silence(self._node(arguments), silent)

    def _stats(self, _: Arguments) -> dict[str, Any]:
        return {
            "cpu_s": self._cpu(),
            "up_s": time.monotonic() - self._started,
            "seed": self._medium.seed,
            "nodes": self._medium.counts(),
        }

    def _links(self, _: Arguments) -> list[dict[str, Any]]:
        return [
            {
                "from": source,
                "to": target,
                "loss": self._medium.topology.links.get((source, target), 1.0),
                "heard": link.heard,
                "lost": link.lost,
                "full": link.full,
                "gone": link.gone,
            }
            for (source, target), link in sorted(self._medium.links.items(), key=lambda item: item[0])
        ]

    def _names(self, _: Arguments) -> list[str | None]:
        for port in self._medium.ports:
            if port.name is None:
                port.ask_name()
        return [port.name for port in self._medium.ports]

    def _forget(self, arguments: Arguments) -> None:
        self._medium.ports[self._node(arguments)].name = None

    def _node(self, arguments: Arguments) -> int:
        return self._medium.topology.check_node(whole(arguments, "node"))
