"""Commands on a line: {"do": COMMAND, …} in JSON, and one line back. The answering half of `control`.

It imports no asyncio, as the air does without.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from common.errors import MeshtwinError, Rejected, RejectReason

MAX_LINE = 16 << 20  # bytes; a full topology of 1,000 nodes
Arguments = Mapping[str, Any]
Handler = Callable[[Arguments], Any]


def answer(line: bytes, handlers: Mapping[str, Handler]) -> bytes:
    """Carry out the command on `line` and return the reply, a line as well. Raises nothing on purpose."""
    try:
        request = _request(line)
        handler = handlers.get(request.get("do", ""))
        if handler is None:
            raise Rejected(
                RejectReason.UNKNOWN_KIND, f"command {str(request.get('do'))[:40]!r}; {', '.join(handlers)}"
            )
        reply: dict[str, Any] = {"result": handler(request)}
    except Rejected as error:
        reply = {"error": {"kind": "Rejected", "reason": error.reason.value, "detail": error.detail}}
    except MeshtwinError as error:
        reply = {"error": {"kind": type(error).__name__, "detail": str(error)}}
    return json.dumps(reply, separators=(",", ":")).encode() + b"\n"


def whole(arguments: Arguments, name: str) -> int:
    """A whole number among the arguments. Raises Rejected(MALFORMED)."""
    value = arguments.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Rejected(RejectReason.MALFORMED, f'"{name}" is a whole number')
    return value


def number(arguments: Arguments, name: str) -> float:
    """A number among the arguments. Raises Rejected(MALFORMED)."""
    value = arguments.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise Rejected(RejectReason.MALFORMED, f'"{name}" is a number')
    return value


def _request(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Rejected(RejectReason.MALFORMED, f"not JSON: {error}") from error
    if not isinstance(request, dict) or not isinstance(request.get("do", ""), str):
        raise Rejected(RejectReason.MALFORMED, 'a command is {"do": NAME, …}')
    return request
