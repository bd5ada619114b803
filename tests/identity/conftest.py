"""The coordinator's HTTPS in this process, over an initialised state folder with two gateways, and clients
with any identity."""

from __future__ import annotations

import asyncio
import http.client
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.clock import Clock, SystemClock
from common.tls import client_context
from coordinator.broker.process import free_port
from coordinator.config import StatePaths
from coordinator.enrolment import enrol
from coordinator.gateway_api.listener import Tally
from coordinator.gateway_api.routes import Sources, make_app
from coordinator.gateway_api.server import HANDSHAKE_S, ServerFiles, serve
from coordinator.identity.fleet import FleetView
from coordinator.identity.own import GATEWAY_API
from coordinator.installation import InitOptions, initialise

SITE = "hall"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """An initialised state folder with ports of its own, and gw-1 and gw-2 enrolled."""
    folder = tmp_path / "coordinator"
    initialise(folder, InitOptions(port=free_port(), gateways_port=free_port()))
    for gateway in ("gw-1", "gw-2"):
        enrol(folder, SITE, gateway)
    return folder


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Https:
    """The server, and how tests ask it."""

    state: Path
    port: int

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        identity: str | Path = "gw-1",
    ) -> Answer:
        """One request with the identity in a folder, or of an enrolled gateway."""
        folder = self.state / "gateways" / identity if isinstance(identity, str) else identity
        return await asyncio.to_thread(self._ask, method, path, body, dict(headers or {}), folder)

    def context(self, folder: Path) -> ssl.SSLContext:
        return client_context(self.state / "pki" / "ca.crt", folder / "gateway.crt", folder / "gateway.key")

    def connect(self, folder: Path) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=self.context(folder))

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], folder: Path
    ) -> Answer:
        connection = self.connect(folder)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()


@asynccontextmanager
async def serving(
    state: Path, clock: Clock | None = None, *, tally: Tally | None = None, handshake_s: float = HANDSHAKE_S
) -> AsyncIterator[Https]:
    """The server, up inside the block."""
    paths, port, clock = StatePaths(state), free_port(), clock or SystemClock()
    app = make_app(Sources(paths, FleetView(paths.fleet).current, clock))
    files = ServerFiles(
        paths.pki / "ca.crt", paths.pki / f"{GATEWAY_API}.crt", paths.pki / f"{GATEWAY_API}.key"
    )
    async with asyncio.TaskGroup() as owner:
        task = owner.create_task(
            serve(app, "127.0.0.1", port, files, clock, tally=tally, handshake_s=handshake_s)
        )
        try:
            # The listener takes connections from the moment it is bound; until then they are refused.
            async with asyncio.timeout(10):
                while not await _listens(port):
                    assert not task.done()
                    await asyncio.sleep(0.01)
            yield Https(state, port)
        finally:
            task.cancel()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@pytest.fixture
async def https(state: Path) -> AsyncIterator[Https]:
    async with serving(state) as server:
        yield server
