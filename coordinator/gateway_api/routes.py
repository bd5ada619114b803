"""The paths that gateways may ask for. Who asks has been admitted already (`admission`).

GET  /v1/models/{digest}         the bundle with this SHA-256, whole or a range of it
POST /v1/certificate             PEM signing request to PEM certificate, for the caller's own name
POST /v1/certificate/confirm     the caller uses this certificate now: its others are revoked
"""

from __future__ import annotations

import asyncio
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from common.clock import Clock
from common.errors import MeshtwinError, Misconfigured, Rejected, RejectReason, Unavailable
from common.logs import get_logger
from coordinator.config import StatePaths
from coordinator.enrolment import TooMany, confirm, renew
from coordinator.gateway_api.admission import Admission, problem
from coordinator.gateway_api.peer import Peer
from coordinator.identity.fleet import Fleet
from coordinator.identity.requests import MAX_REQUEST_BYTES

# Changes of the registry that wait for their turn; each takes some milliseconds.
WAITING: Final = 32
_DIGEST = re.compile("[0-9a-f]{64}")
T = TypeVar("T")

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the answers come from. `fleet` reads the registry as of now."""

    paths: StatePaths
    fleet: Callable[[], Fleet]
    clock: Clock


def make_app(sources: Sources) -> ASGIApp:
    """The whole of what gateways reach."""
    certificates = _Certificates(sources.paths.root)
    app = Starlette(
        routes=[
            Route("/v1/models/{digest}", partial(_model, sources.paths.models), methods=["GET"]),
            Route("/v1/certificate", certificates.renew, methods=["POST"]),
            Route("/v1/certificate/confirm", certificates.confirm, methods=["POST"]),
        ],
        exception_handlers={MeshtwinError: _problem, 404: _nothing},
    )
    app.router.redirect_slashes = False
    return Admission(app, sources.fleet, sources.clock)


async def _model(folder: Path, request: Request) -> Response:
    digest = request.path_params["digest"]
    if not _DIGEST.fullmatch(digest):
        return await _nothing(request, None)
    path = folder / f"{digest}.tflite"
    try:
        found = await asyncio.to_thread(path.lstat)
    except OSError:
        return await _nothing(request, None)
    if not stat.S_ISREG(found.st_mode):
        return await _nothing(request, None)
    # The name is the content: a range of another file can never be asked for with this tag.
    headers = {"etag": f'"{digest}"', "cache-control": "private, immutable"}
    return FileResponse(path, headers=headers, media_type="application/octet-stream", stat_result=found)


class _Certificates:
    """Renewals, one at a time: each takes the installation's lock."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def renew(self, request: Request) -> Response:
        peer: Peer = request.state.peer
        csr = await _body(request)
        made = await self._in_turn(lambda: renew(self._state, peer.gateway, peer.serial, csr))
        _log.info("certificate-issued", gateway=peer.gateway, serial=made.serial, replaces=peer.serial)
        return Response(made.certificate, media_type="application/x-pem-file")

    async def confirm(self, request: Request) -> Response:
        peer: Peer = request.state.peer
        await _body(request)
        revoked = await self._in_turn(lambda: confirm(self._state, peer.gateway, peer.serial))
        if revoked:
            _log.info("certificates-replaced", gateway=peer.gateway, serial=peer.serial, revoked=revoked)
        return JSONResponse({"gateway": peer.gateway, "serial": peer.serial, "revoked": revoked})

    async def _in_turn(self, change: Callable[[], T]) -> T:
        if self._waiting >= WAITING:
            raise Unavailable("too many certificates are asked for at once")
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(change)
        finally:
            self._waiting -= 1


async def _body(request: Request) -> bytes:
    """The request's body. Raises Rejected(OVERSIZED) as soon as it is too long."""
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_REQUEST_BYTES:
                raise Rejected(RejectReason.OVERSIZED, f"more than {MAX_REQUEST_BYTES} bytes")
    except ClientDisconnect as error:
        raise Rejected(RejectReason.TRUNCATED, "the connection ended within the request") from error
    return body


async def _nothing(request: Request, error: Exception | None) -> Response:
    return problem(404, "NotFound", "there is nothing of this name")


async def _problem(request: Request, error: Exception) -> Response:
    peer: Peer = request.state.peer
    _log.warning("gateway-request-failed", gateway=peer.gateway, path=request.url.path[:100], reason=error)
    match error:
        case TooMany():
            return problem(429, "TooMany", str(error))
        case Rejected(reason=RejectReason.OVERSIZED):
            return problem(413, "Rejected", str(error))
        case Rejected():
            return problem(400, "Rejected", str(error))
        case Unavailable():
            return problem(503, "Unavailable", str(error))
        case Misconfigured():
            # The fix is the operator's, who reads it in the log; paths of this machine are nobody else's.
            return problem(500, "Misconfigured", "the coordinator cannot do it now; see its log")
        case _:
            return problem(500, type(error).__name__, "the coordinator cannot do it now; see its log")
