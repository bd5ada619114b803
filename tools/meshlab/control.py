"""The lab's control sockets on asyncio: serving commands, and calling them from another process.

Errors travel as themselves: a command refused over there raises the same here.
"""

from __future__ import annotations

import asyncio
import json
import socket
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

_NOW_SECONDS = 2.0
_KINDS: dict[str, type[MeshtwinError]] = {
    kind.__name__: kind for kind in (Misconfigured, NotSupported, TimedOut, Unavailable)
}


@asynccontextmanager
async def serving(socket_path: Path, handlers: Mapping[str, Handler]) -> AsyncIterator[None]:
    """Answer commands there while the context lasts. Handlers run on the event loop, one at a time."""
    connections: set[asyncio.Transport] = set()
    server = await asyncio.get_running_loop().create_unix_server(
        lambda: _Connection(handlers, connections), str(socket_path)
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


async def call(socket_path: Path, command: str, timeout: float = 10.0, **arguments: Any) -> Any:
    """Send a command and return its result.

    Raises Unavailable when nobody answers at `socket_path`, TimedOut after `timeout` seconds, and what the
    other side raised.
    """
    try:
        async with asyncio.timeout(timeout):
            reply = await _exchange(socket_path, _line(command, arguments))
    except TimeoutError as error:
        raise TimedOut(f"no answer to {command!r} within {timeout:g} s") from error
    except (OSError, ValueError) as error:
        raise Unavailable(f"nobody answers at {socket_path}: {error}") from error
    return _result(reply)


def call_now(socket_path: Path, command: str, **arguments: Any) -> Any:
    """The same without an event loop, for what must not be interrupted: it blocks, for a millisecond or so.

    Raises what `call` raises.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_NOW_SECONDS)
            connection.connect(str(socket_path))
            connection.sendall(_line(command, arguments))
            with connection.makefile("rb") as replies:
                reply = json.loads(replies.readline())
    except TimeoutError as error:
        raise TimedOut(f"no answer to {command!r} within {_NOW_SECONDS:g} s") from error
    except (OSError, ValueError) as error:
        raise Unavailable(f"nobody answers at {socket_path}: {error}") from error
    return _result(reply)


async def _exchange(socket_path: Path, line: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(str(socket_path), limit=MAX_LINE)
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


def _line(command: str, arguments: Mapping[str, Any]) -> bytes:
    return json.dumps({"do": command, **arguments}).encode() + b"\n"


def _result(reply: dict[str, Any]) -> Any:
    if "error" in reply:
        raise _error(reply["error"])
    return reply.get("result")


def _error(told: dict[str, Any]) -> MeshtwinError:
    detail = str(told.get("detail", ""))
    if told.get("kind") == "Rejected":
        return Rejected(RejectReason(told["reason"]), detail)
    return _KINDS.get(str(told.get("kind")), Unavailable)(detail)
