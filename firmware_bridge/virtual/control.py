"""A Unix socket through which tools injure a virtual site while it runs. JSON lines, one answer a line.

    {"down": 5}                        node 5 loses power            {"ok": true}
    {"up": 5}                          and regains it
    {"pdr": [4, 5, 0.3]}               hold the link 4 → 5 at a PDR
    {"decay": [4, 5, 0.5, 90]}         let it go to 0.5 within 90 s
    {"state": true}                    nodes and counters
    {"links": true}                    [[transmitter, receiver, PDR], …]
    {"ping": [1, 5]}                   {"round_trip_s": 0.08} or null: would 1 reach 5 and back now?

For the operator's user alone (0600); it is no part of a real gateway.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.errors import MeshtwinError, Misconfigured, Rejected, RejectReason
from common.mesh.addresses import show
from firmware_bridge.virtual.site import VirtualSite

MAX_LINE_BYTES = 64 * 1024
MAX_CLIENTS = 16


class ControlSocket:
    """Serves the socket at `path`; `catch_up` brings the site to the present first."""

    def __init__(self, path: Path, site: VirtualSite, catch_up: Callable[[], None]) -> None:
        self._path = path
        self._site = site
        self._catch_up = catch_up
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen; harmless when it does already. Raises Misconfigured when the path cannot be used."""
        if self._server is not None:
            return
        try:
            listener = _listen(self._path)
        except OSError as error:
            raise Misconfigured(
                f"control socket {self._path}: {error.strerror or error}",
                "name a short path in a writable folder",
            ) from error
        # Not serving yet, this call does not suspend: no cancellation can lose the server.
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listener, limit=MAX_LINE_BYTES, start_serving=False
        )
        await self._server.start_serving()

    async def close(self) -> None:
        """Stop serving and remove the socket."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for client in list(self._clients):
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if len(self._clients) < MAX_CLIENTS:
                self._clients.add(task)
                await self._answer_lines(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the tool went away, or the site does
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer_lines(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                return  # longer than MAX_LINE_BYTES
            if not line:
                return
            writer.write(json.dumps(self._answer(line)).encode() + b"\n")
            await writer.drain()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            order = json.loads(line)
            if not isinstance(order, dict) or len(order) != 1:
                raise Rejected(RejectReason.MALFORMED, "an order is an object with one key")
            [(name, argument)] = order.items()
            self._catch_up()
            return obey(self._site, name, argument)
        except MeshtwinError as error:
            return {"error": str(error)}
        except (ValueError, RecursionError) as error:
            return {"error": f"malformed: {error}"}


def obey(site: VirtualSite, name: str, argument: Any) -> dict[str, Any]:
    """Carry out one order and return its answer. Raises Rejected."""
    match name, argument:
        case "down", address:
            site.down(_node(site, address))
        case "up", address:
            site.up(_node(site, address))
        case "pdr", [a, b, pdr]:
            site.links.set(_node(site, a), _node(site, b), _share(pdr))
        case "decay", [a, b, to, int() | float() as seconds] if 0 <= seconds <= 1e6:
            site.decay(_node(site, a), _node(site, b), _share(to), seconds)
        case "ping", [a, b]:
            return {"round_trip_s": site.round_trip(_node(site, a), _node(site, b))}
        case "links", True:
            return {"links": [[a, b, round(pdr, 4)] for a, b, pdr in site.links]}
        case "state", True:
            return _state(site)
        case _:
            raise Rejected(RejectReason.INVALID, f"no such order: {name[:40]!r} with these arguments")
    return {"ok": True}


def _state(site: VirtualSite) -> dict[str, Any]:
    return {
        "time_s": round(site.now, 3),
        "messages": site.messages,
        "probes": site.monitoring.probes,
        "gateways": sorted(site.gateways),
        "nodes": {
            show(node.address): {
                "alive": node.alive,
                "relay": node.relay,
                "relay_supported": node.relay_supported,
                "default_ttl": node.default_ttl,
                "on": node.on,
            }
            for node in site.nodes.values()
        },
    }


def _node(site: VirtualSite, address: Any) -> int:
    if type(address) is not int or address not in site.nodes:
        raise Rejected(
            RejectReason.OUT_OF_RANGE, f"no node {str(address)[:20]!r}; give an address as a number"
        )
    return address


def _share(value: Any) -> float:
    if type(value) not in (int, float) or not 0.0 <= value <= 1.0:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"PDR {str(value)[:20]}; 0 to 1 are possible")
    return float(value)


def _listen(path: Path) -> socket.socket:
    """A listening socket that nobody else can ever open; an old one at its place is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        if path.is_socket():
            path.unlink()
        listener.bind(str(path))
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener
