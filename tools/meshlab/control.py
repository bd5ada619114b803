"""The lab's control sockets on asyncio: serving commands, and calling them from another process.

Errors travel as themselves: a command refused over there raises the same here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from common.errors import (
    MeshtwinError,
    Misconfigured,
    NotSupported,
    Rejected,
    RejectReason,
    TimedOut,
    Unavailable,
)
from tools.meshlab.commands import MAX_LINE, Handler, answer

_KINDS: dict[str, type[MeshtwinError]] = {
    kind.__name__: kind for kind in (Misconfigured, NotSupported, TimedOut, Unavailable)
}


@asynccontextmanager
async def serving(socket: Path, handlers: Mapping[str, Handler]) -> AsyncIterator[None]:
    """Answer commands at `socket` while the context lasts. Handlers run on the event loop, one at a time."""
    connections: set[asyncio.Transport] = set()
    server = await asyncio.get_running_loop().create_unix_server(
        lambda: _Connection(handlers, connections), str(socket)
    )
    try:
        yield
    finally:
        server.close()
        for connection in connections:
            connection.abort()
        await server.wait_closed()


class _Connection(asyncio.Protocol):
    def __init__(self, handlers: Mapping[str, Handler], connections: set[asyncio.Transport]) -> None:
        self._handlers = handlers
        self._connections = connections
        self._pending = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while b"\n" in self._pending:
            line, _, rest = bytes(self._pending).partition(b"\n")
            self._pending[:] = rest
            self._transport.write(answer(line, self._handlers))
        if len(self._pending) > MAX_LINE:
            self._transport.abort()


async def call(socket: Path, command: str, timeout: float = 10.0, **arguments: Any) -> Any:
    """Send a command and return its result.

    Raises Unavailable when nobody answers at `socket`, TimedOut after `timeout` seconds, and what the other
    side raised.
    """
    line = json.dumps({"do": command, **arguments}).encode() + b"\n"
    try:
        async with asyncio.timeout(timeout):
            reply = await _exchange(socket, line)
    except TimeoutError as error:
        raise TimedOut(f"no answer to {command!r} within {timeout:g} s") from error
    except (OSError, ValueError) as error:
        raise Unavailable(f"nobody answers at {socket}: {error}") from error
    if "error" in reply:
        raise _error(reply["error"])
    return reply.get("result")


async def _exchange(socket: Path, line: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(str(socket), limit=MAX_LINE)
    try:
        writer.write(line)
        await writer.drain()
        reply: dict[str, Any] = json.loads(await reader.readline())
        return reply
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            pass  # the other side was faster


def _error(told: dict[str, Any]) -> MeshtwinError:
    detail = str(told.get("detail", ""))
    if told.get("kind") == "Rejected":
        return Rejected(RejectReason(told["reason"]), detail)
    return _KINDS.get(str(told.get("kind")), Unavailable)(detail)
