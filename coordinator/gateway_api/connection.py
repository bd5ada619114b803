"""One connection of a gateway: uvicorn's protocol, which drops the peer's certificate, made to keep it; and
bounds on how long and how many.

`request.state.peer` is the `Peer`. uvicorn copies a protocol's `app_state` into every request's scope, under
`state` (ASGI, Lifespan State); that is the one thing of its insides that is used here.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from coordinator.gateway_api.peer import Peer, peer_of

# From the end of the handshake to the end of the first request's headers.
FIRST_REQUEST_S: Final = 15.0
# Of a whole connection: a bundle that takes longer is fetched on from where it was.
LIFE_S: Final = 300.0
CONNECTIONS_EACH: Final = 8
"""Of one gateway at a time; more are cut."""


class Connection(H11Protocol):
    """A connection over TLS whose client showed a certificate."""

    peer: Peer | None = None
    _ends: tuple[asyncio.TimerHandle, ...] = ()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """After the handshake: learn who it is, and bound its life."""
        super().connection_made(transport)
        self.peer = peer_of(transport.get_extra_info("peercert") or {})
        self.app_state = {**self.app_state, "peer": self.peer}
        self._ends = (
            self.loop.call_later(FIRST_REQUEST_S, self._end_if_silent),
            self.loop.call_later(LIFE_S, transport.abort),
        )
        if self._siblings() > CONNECTIONS_EACH:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, whoever wanted it."""
        for end in self._ends:
            end.cancel()
        super().connection_lost(exc)

    def _end_if_silent(self) -> None:
        if self.cycle is None:
            self.transport.abort()

    def _siblings(self) -> int:
        """How many connections this gateway has, this one included."""
        own = self.peer and self.peer.gateway
        others = (c.peer for c in self.connections if isinstance(c, Connection))
        return sum(peer is not None and peer.gateway == own for peer in others)
