"""Asks a running agent over its Unix socket. Blocking, for command lines and tools."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, Final

from common.errors import Rejected, RejectReason, TimedOut, Unavailable
from edge_agent.api import VERSION

MAX_ANSWER_BYTES: Final = 16 << 20


def ask(path: Path, name: str, timeout: float = 5.0, **fields: Any) -> Any:
    """The agent's answer to `name`; `fields` go with the request.

    Raises Unavailable (no agent there), TimedOut, or Rejected (it cannot or will not answer).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps({"v": VERSION, "ask": name, **fields}).encode() + b"\n")
            line = _read_line(connection)
        except TimeoutError as error:
            raise TimedOut(f"the agent at {path} did not answer within {timeout:g} s") from error
        except OSError as error:
            raise Unavailable(f"no agent answers at {path}: {error.strerror or error}") from error
    return _answer(line)


def _read_line(connection: socket.socket) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = connection.recv(65_536)
        if not piece or len(line) > MAX_ANSWER_BYTES:
            raise Unavailable("the agent ended the connection without an answer")
        line += piece
    return bytes(line)


def _answer(line: bytes) -> Any:
    try:
        document = json.loads(line)
    except ValueError as error:
        raise Rejected(RejectReason.MALFORMED, "the agent's answer is no JSON") from error
    if not isinstance(document, dict) or "answer" not in document:
        told = document.get("error") if isinstance(document, dict) else None
        raise Rejected(RejectReason.INVALID, str(told or "the agent's answer is empty"))
    return document["answer"]
