"""Serving gateways over HTTPS with mutual TLS: who has no certificate of this fleet's authority gets no
further than the handshake.

A certificate that is renewed on disk is used for new connections at once.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from common.clock import Clock
from common.errors import Misconfigured
from common.logs import get_logger
from coordinator.api.server import Server, serve_until_cancelled
from coordinator.gateway_api.connection import Connection
from coordinator.gateway_api.listener import BoundedListener, Tally

LOOK_EVERY_S: Final = 2.0
HANDSHAKE_S: Final = 5.0
MAX_HEADER_BYTES: Final = 16 * 1024

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """PEM files: the authority, and the server's certificate and key."""

    ca: Path
    certificate: Path
    key: Path


class _Server(Server):
    """uvicorn's server, which gives a handshake less than asyncio's minute: a client that only connects holds
    one of a bounded number of places meanwhile."""

    def __init__(self, config: uvicorn.Config, handshake_s: float) -> None:
        super().__init__(config)
        self._handshake_s = handshake_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's for sockets that listen already; nobody asks for its lifespan protocol."""

        def connection() -> Connection:
            return Connection(self.config, self.server_state, self.lifespan.state)

        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                connection,
                sock=listener,
                ssl=self.config.ssl,
                backlog=self.config.backlog,
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=self._handshake_s,
            )
            for listener in sockets or ()
        ]
        self.started = True


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    files: ServerFiles,
    clock: Clock,
    *,
    tally: Tally | None = None,
    handshake_s: float = HANDSHAKE_S,
) -> None:
    """Serve `app` until cancelled, with the connections counted in `tally`.

    Raises Misconfigured when the port or the files cannot be used, Unavailable when the address is not there
    (yet).
    """
    context = server_context(files)
    with BoundedListener(host, port, tally=tally, clock=clock) as listener:
        config = uvicorn.Config(
            app,
            http=Connection,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            # Warnings of it are what a hostile client writes; errors are our own.
            log_level="error",
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=2,
        )
        config.load()
        config.ssl = context
        async with asyncio.TaskGroup() as group:
            follower = group.create_task(_follow(files, context, clock), name="gateway-api-certificate")
            try:
                await serve_until_cancelled(_Server(config, handshake_s), listener)
            finally:
                follower.cancel()


def server_context(files: ServerFiles) -> ssl.SSLContext:
    """A server context that insists on a client certificate of the authority. Raises Misconfigured."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    # A resumed session would spare the client its certificate, and us its dates.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        context.load_verify_locations(cafile=files.ca)
        _load(context, files)
    except OSError as error:
        raise Misconfigured(
            f"{files.certificate} cannot be served with: {error}",
            "run: coordinator init (it mends what it made)",
        ) from error
    return context


def _load(context: ssl.SSLContext, files: ServerFiles) -> None:
    context.load_cert_chain(files.certificate, files.key, password=lambda: b"")


async def _follow(files: ServerFiles, context: ssl.SSLContext, clock: Clock) -> None:
    """Load the certificate again whenever its file was replaced."""
    used = _stamp(files.certificate)
    while True:
        await clock.sleep(LOOK_EVERY_S)
        if (found := _stamp(files.certificate)) == used:
            continue
        used = found
        try:
            # Tried apart first: a bad pair must not take the place of the good one.
            server_context(files)
            _load(context, files)
            _log.info("gateway-api-certificate-loaded")
        except (Misconfigured, OSError) as error:
            _log.error("gateway-api-certificate-unusable", reason=error)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
