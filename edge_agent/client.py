"""Asks a running agent over its Unix socket. Blocking, for command lines and tools."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from common.errors import (
    MeshtwinError,
    Misconfigured,
    NotSupported,
    Rejected,
    RejectReason,
    TimedOut,
    Unavailable,
)
from edge_agent.api import VERSION
from edge_agent.state_folder import MACHINE

MAX_ANSWER_BYTES: Final = 16 << 20
_KINDS: Final = {kind.__name__: kind for kind in (TimedOut, Unavailable, NotSupported, Misconfigured)}


def ask(path: Path, name: str, /, timeout: float = 5.0, **fields: Any) -> Any:
    """The agent's answer to `name`; `fields` go with the request.

    Raises Unavailable (no agent there), TimedOut, Rejected (it cannot or will not answer), and what the
    agent itself ran into: Unavailable (its mesh), TimedOut (a node), NotSupported or Misconfigured.
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
            told = f"no agent answers at {path}: {error.strerror or error}\n  fix: {_fix(error)}"
            raise Unavailable(told) from error
    return _answer(line)


def _fix(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "ask as its user"
    start = "edge-agent run --config FILE"
    # A service's folder is closed to users, whose own folder is looked into instead.
    return f"{start}; or ask the service as root" if os.geteuid() != 0 and MACHINE.exists() else start


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
    if not isinstance(document, dict):
        raise Rejected(RejectReason.MALFORMED, "the agent's answer is no object")
    if "answer" not in document:
        raise error_of(document)
    return document["answer"]


def error_of(document: Mapping[str, Any]) -> MeshtwinError:
    """What went wrong at the agent, as the error that it was there: `error` is its text, `kind` its class."""
    told = str(document.get("error") or "the agent's answer is empty")
    kind = _KINDS.get(document.get("kind", ""))
    if kind is not None:
        return kind(told)
    reason, _, detail = told.partition(": ")
    if reason in RejectReason.__members__.values():
        return Rejected(RejectReason(reason), detail)
    return Rejected(RejectReason.INVALID, told)
