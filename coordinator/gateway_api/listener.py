"""A listening socket that takes a bounded number of connections, in all and from one address: those beyond
are closed at once, counted, and told.

The bounds count connections in their handshake too, whose client is still unknown. Without them strangers
could use up the process's file descriptors, and the command line and the database would find none; without
the bound for an address, one machine that only connects would keep every gateway out.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import weakref
from collections import Counter
from typing import Any, Final

from common.clock import Clock, SystemClock
from common.errors import MeshtwinError, Misconfigured, Unavailable
from common.logs import get_logger

CONNECTIONS: Final = 256
FROM_ONE_ADDRESS: Final = 64
"""Many gateways may share an address behind a router; three quarters stay for the others."""
QUIET_S: Final = 60.0
# Whoever has one IPv6 address mostly has all of its network.
_IPV6_NETWORK: Final = 64

_log = get_logger(__name__)


class Tally:
    """The connections that are open, by whom they come from; `turned_away` were too many, since the start."""

    def __init__(self) -> None:
        self._sources: weakref.WeakKeyDictionary[socket.socket, str] = weakref.WeakKeyDictionary()
        self.turned_away = 0

    def add(self, connection: socket.socket, source: str) -> None:
        """One more; it counts until it is closed."""
        self._sources[connection] = source

    def held(self) -> Counter[str]:
        """How many are open from each source. Closing tells nobody, so they are looked at."""
        return Counter(source for known, source in list(self._sources.items()) if known.fileno() >= 0)


class BoundedListener(socket.socket):
    """Listens on `host` and `port`, and keeps `tally`.

    Raises Misconfigured when it cannot, Unavailable when it cannot yet: a network that is not up at boot.
    """

    def __init__(
        self,
        host: str,
        port: int,
        connections: int = CONNECTIONS,
        each: int = FROM_ONE_ADDRESS,
        tally: Tally | None = None,
        clock: Clock | None = None,
    ) -> None:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            super().__init__(family, kind, protocol)
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        self._most, self._each = connections, each
        self._clock = clock or SystemClock()
        self._told_at, self._told = float("-inf"), 0
        self.tally = Tally() if tally is None else tally
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
        source = source_of(address[0])
        held = self.tally.held()
        if held.total() >= self._most or held[source] >= self._each:
            connection.close()
            self._turn_away(source, held)
            raise ConnectionAbortedError("too many connections")
        self.tally.add(connection, source)
        return connection, address

    def _turn_away(self, source: str, held: Counter[str]) -> None:
        """Count it, and log at most once a minute."""
        self.tally.turned_away += 1
        now = self._clock.monotonic()
        if now - self._told_at >= QUIET_S:
            _log.warning(
                "gateway-connections-turned-away",
                last=source,
                of_it=held[source],
                open=held.total(),
                turned_away=self.tally.turned_away - self._told,
            )
            self._told_at, self._told = now, self.tally.turned_away


def source_of(address: str) -> str:
    """Whom a connection is counted for: the IPv4 address, or the network of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, _IPV6_NETWORK), strict=False))


def _cannot_listen(host: str, port: int, error: OSError) -> MeshtwinError:
    problem = f"gateways cannot be served on {host}:{port}: {error.strerror or error}"
    # At boot the network may not be up yet, and a service that is told to mend its configuration stays down.
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return Unavailable(f"{problem}; if that is not this machine's address, change it in coordinator.toml")
    return Misconfigured(
        problem,
        "set another [gateways] port in coordinator.toml (0 for none), or stop the program that uses it",
    )
