"""Lets in only gateways in good standing, request by request: a revocation holds at once, also on a
connection that is open already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from common.clock import Clock
from common.errors import Corrupt
from common.logs import get_logger
from coordinator.gateway_api.peer import Peer
from coordinator.identity.fleet import Fleet

QUIET_S: Final = 60.0
_REMEMBERED: Final = 1024

_log = get_logger(__name__)


class Admission:
    """`app` behind the registry, which `fleet` reads as of now; `refused` counts those kept out."""

    def __init__(self, app: ASGIApp, fleet: Callable[[], Fleet], clock: Clock) -> None:
        self._app = app
        self._fleet = fleet
        self._clock = clock
        self._told: dict[str, float] = {}
        self.refused = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or answer 403 with the reason."""
        peer: Peer = scope["state"]["peer"]
        try:
            reason = self._refusal(peer)
        except Corrupt as error:
            self._note(peer, str(error))
            return await problem(503, "Unavailable", "the registry is damaged")(scope, receive, send)
        if reason:
            self._note(peer, reason)
            return await problem(403, "Refused", reason)(scope, receive, send)
        return await self._app(scope, receive, send)

    def _refusal(self, peer: Peer) -> str:
        # TLS looked at the dates once; a connection may outlive them.
        if peer.not_after < self._clock.wall():
            return f"the certificate of {peer.gateway[:64]!r} has ended"
        return self._fleet().refusal(peer.gateway, peer.serial)

    def _note(self, peer: Peer, reason: str) -> None:
        """Count it, and log it once a minute for each gateway."""
        self.refused += 1
        now = self._clock.monotonic()
        if now - self._told.get(peer.gateway, -QUIET_S) >= QUIET_S:
            if len(self._told) >= _REMEMBERED:
                self._told.clear()
            self._told[peer.gateway] = now
            _log.warning("gateway-refused", gateway=peer.gateway[:64], reason=reason, refused=self.refused)


def problem(status: int, error: str, detail: str, fix: str = "") -> JSONResponse:
    """An answer that tells what is wrong. Ends the connection: its request may not have been read."""
    body = {"error": error, "detail": detail, **({"fix": fix} if fix else {})}
    return JSONResponse(body, status_code=status, headers={"connection": "close"})
