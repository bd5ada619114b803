"""Serves bundles over mutual TLS as the coordinator does, and as a coordinator in trouble would."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edge_agent.models.request import Source


@dataclass
class Shelf:
    """What is served, by digest, and what goes wrong.

    `cut_after`: the connection ends after so many bytes of each answer; `whole`: ranges are not understood;
    `status`: every answer's; `untold`: no length is announced.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: int | None = None
    whole: bool = False
    status: int | None = None
    untold: bool = False
    ranges: list[str | None] = field(default_factory=list)
    port: int = 0


class _Handler(BaseHTTPRequestHandler):
    shelf: Shelf

    def do_GET(self) -> None:  # noqa: N802  # the standard library's name
        shelf = self.shelf
        asked = self.headers.get("Range")
        shelf.ranges.append(asked)
        content = shelf.files.get(self.path.removeprefix("/v1/models/"))
        if shelf.status is not None or content is None:
            self.send_error(shelf.status or 404)
            return
        start = 0 if asked is None or shelf.whole else int(re.sub(r"\D", "", asked))
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked and not shelf.whole else 200)
        if asked and not shelf.whole:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if not shelf.untold:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : None if shelf.cut_after is None else start + shelf.cut_after])

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(state: Path) -> Iterator[Shelf]:
    """A server with the broker's certificate of the coordinator's state folder, for its gateways only."""
    shelf = Shelf()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(state / "pki" / "broker.crt", state / "pki" / "broker.key")
    context.load_verify_locations(state / "pki" / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"shelf": shelf}))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    shelf.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield shelf
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def source_at(state: Path, port: int, gateway: str = "gw-1") -> Source:
    """How the gateway asks the server."""
    folder = state / "gateways" / gateway
    return Source(
        host="127.0.0.1",
        port=port,
        ca=str(state / "pki" / "ca.crt"),
        certificate=str(folder / "gateway.crt"),
        key=str(folder / "gateway.key"),
    )
