"""A listening socket that takes a bounded number of connections: those beyond are closed at once.

The bound counts connections in their handshake too, whose client is still unknown; without it strangers could
use up the process's file descriptors, and the command line and the database would find none.
"""

from __future__ import annotations

import socket
import weakref
from typing import Any, Final

from common.errors import Misconfigured

CONNECTIONS: Final = 256


class BoundedListener(socket.socket):
    """Listens on `host` and `port`. Raises Misconfigured when it cannot."""

    def __init__(self, host: str, port: int, connections: int = CONNECTIONS) -> None:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            super().__init__(family, kind, protocol)
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._most = connections
        self.turned_away = 0
        try:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(address)
            self.listen(128)
        except OSError as error:
            self.close()
            raise _cannot_listen(host, port, error) from error

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. Raises ConnectionAbortedError, which servers ignore, for one too many."""
        connection, address = super().accept()
        if sum(known.fileno() >= 0 for known in self._open) >= self._most:
            connection.close()
            self.turned_away += 1
            raise ConnectionAbortedError("too many connections")
        self._open.add(connection)
        return connection, address


def _cannot_listen(host: str, port: int, error: OSError) -> Misconfigured:
    return Misconfigured(
        f"gateways cannot be served on {host}:{port}: {error.strerror or error}",
        "set another [gateways] port in coordinator.toml (0 for none), or stop the program that uses it",
    )
