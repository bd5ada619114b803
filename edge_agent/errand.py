"""Errands: short-lived processes of our own for what is heavy, rare, or might hang or crash, so that it costs
the daemon no memory and at worst its result.

A request is one JSON object on standard input, the answer one line of JSON on standard output; errors of our
tree pass through as they are. What an errand does is its module's business.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Any, Final

from common.errors import (
    Corrupt,
    MeshtwinError,
    Misconfigured,
    NotSupported,
    Rejected,
    RejectReason,
    TimedOut,
    Unavailable,
)

MAX_BYTES: Final = 256 * 1024
"""Of a request, and of an answer."""

_PLAIN: Final[dict[str, type[MeshtwinError]]] = {
    kind.__name__: kind for kind in (Unavailable, TimedOut, Corrupt, NotSupported)
}


async def send(module: str, request: dict[str, Any], patience_s: float) -> dict[str, Any]:
    """Run `python -m module` with `request`; its answer. The process is killed when it takes longer than
    `patience_s`, or when the caller is cancelled.

    Raises TimedOut; Unavailable when the process ended without a proper answer; or what the errand raised.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdin=PIPE, stdout=PIPE, limit=MAX_BYTES
    )
    try:
        async with asyncio.timeout(patience_s):
            line = await _converse(process, json.dumps(request).encode())
    except TimeoutError as error:
        raise TimedOut(f"{module} did not answer within {patience_s:.0f} s") from error
    finally:
        await _end(process)
    return _understood(module, line, process.returncode)


async def _converse(process: Process, request: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(request)
        await process.stdin.drain()
        process.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        # It ended without reading: the empty answer tells.
        pass
    try:
        line = await process.stdout.readline()
    except ValueError:
        # More than the limit without an end of the line.
        return b""
    await process.wait()
    return line


async def _end(process: Process) -> None:
    if process.returncode is None:
        try:
            process.kill()
        except ProcessLookupError:
            pass
        # Shielded: the process has to be collected even when the caller is being cancelled.
        await asyncio.shield(process.wait())


def _understood(module: str, line: bytes, code: int | None) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise Unavailable(f"{module} ended with code {code} and no answer")
    if "error" in answer:
        raise _raised(answer)
    return answer


def serve(errand: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
    """The process's side: read the request, do `errand`, print its answer or error. Returns the exit code."""
    try:
        text = sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise Rejected(RejectReason.OVERSIZED, f"a request of more than {MAX_BYTES} bytes")
        answer = errand(json.loads(text))
    except MeshtwinError as error:
        answer = _told(error)
    print(json.dumps(answer), flush=True)
    return 0


def _told(error: MeshtwinError) -> dict[str, Any]:
    told = {"error": type(error).__name__, "detail": str(error)}
    if isinstance(error, Rejected):
        told |= {"reason": error.reason.value, "detail": error.detail}
    if isinstance(error, Misconfigured):
        told |= {"detail": error.problem, "fix": error.fix}
    return told


def _raised(answer: dict[str, Any]) -> MeshtwinError:
    kind, detail = str(answer["error"]), str(answer.get("detail", ""))
    if kind == Rejected.__name__ and answer.get("reason") in list(RejectReason):
        return Rejected(RejectReason(answer["reason"]), detail)
    if kind == Misconfigured.__name__:
        return Misconfigured(detail, str(answer.get("fix", "")))
    return _PLAIN.get(kind, Unavailable)(detail)
