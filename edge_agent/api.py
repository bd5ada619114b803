"""The agent's local interface: JSON lines on a Unix socket that only its owner can open.

A request is one line such as `{"v": 1, "ask": "status"}`, its answer one line: `{"v": 1, "answer": …}` or
`{"v": 1, "error": …}`. Answers are given by whoever builds the agent: at once, or, for questions that take
further keys of the request and some time, by a coroutine.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from common.errors import MeshtwinError, Misconfigured, Rejected, RejectReason
from common.logs import get_logger

VERSION: Final = 1
MAX_LINE_BYTES: Final = 128 * 1024
"""Files for tasks come in pieces of this size; a connection takes as much only while one is under way."""

MAX_CLIENTS: Final = 16
HEARD_OUT_BYTES: Final = 1 << 20
HEARD_OUT_S: Final = 1.0
IDLE_S: Final = 30.0

Answer = Callable[[], Any]
Question = Callable[[dict[str, Any]], Awaitable[Any]]
_log = get_logger(__name__)


class LocalApi:
    """Serves `answers` and `questions` by name at `path`. Run `run()` in the supervisor."""

    def __init__(
        self,
        path: Path,
        answers: Mapping[str, Answer],
        idle_s: float = IDLE_S,
        questions: Mapping[str, Question] | None = None,
    ) -> None:
        self._path = path
        self._answers = answers
        self._questions = questions or {}
        self._idle = idle_s
        self._clients: set[asyncio.Task[None]] = set()
        self.refused = 0
        self.serving = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled. Raises Misconfigured when the socket cannot be made."""
        owner = asyncio.TaskGroup()
        # Before the group is entered: it would wrap what the operator has to mend.
        server = await self._listen(partial(self._welcome, owner))
        async with owner:
            try:
                await server.start_serving()
                self.serving.set()
                await asyncio.Event().wait()
            finally:
                server.close()
                # A folder that became read-only keeps it; the next start removes it.
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)

    def _welcome(
        self, owner: asyncio.TaskGroup, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if len(self._clients) >= MAX_CLIENTS:
            self.refused += 1
            writer.close()
            return
        client = owner.create_task(self._serve(reader, writer))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _listen(
        self, welcome: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]
    ) -> asyncio.Server:
        try:
            _clear_stale(self._path)
            # The mask, not a later chmod: there is no moment in which others could connect.
            before = os.umask(0o177)
            try:
                # Not serving yet: nothing suspends before the caller holds the server and can close it.
                return await asyncio.start_unix_server(
                    welcome, self._path, limit=MAX_LINE_BYTES, start_serving=False
                )
            finally:
                os.umask(before)
        except OSError as error:
            raise Misconfigured(
                f"socket {self._path} cannot be made: {error.strerror or error}",
                "choose a shorter gateway.state_dir that the agent may write to",
            ) from error

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await self._next_line(reader):
                writer.write(await self._respond_in_time(line))
                async with asyncio.timeout(self._idle):
                    await writer.drain()
        except Rejected as error:
            self.refused += 1
            writer.write(_line({"v": VERSION, "error": error.detail}))
            await _hear_out(reader, writer)
        except (TimeoutError, OSError):
            # Idle, or gone without reading its answer.
            pass
        finally:
            writer.close()

    async def _next_line(self, reader: asyncio.StreamReader) -> bytes:
        """The next whole line; empty at the end. Raises Rejected(OVERSIZED) or TimeoutError."""
        try:
            async with asyncio.timeout(self._idle):
                line = await reader.readline()
        except ValueError as error:
            raise Rejected(RejectReason.OVERSIZED, f"a request has at most {MAX_LINE_BYTES} bytes") from error
        return line if line.endswith(b"\n") else b""

    def respond(self, line: bytes) -> bytes:
        """The answer to one request line; never raises."""
        try:
            name = str(_parse(line)["ask"])
            if name not in self._answers:
                known = ", ".join(sorted([*self._answers, *self._questions]))
                raise Rejected(RejectReason.INVALID, f"cannot answer {name[:40]!r}; known: {known}")
            return _line({"v": VERSION, "answer": self._answers[name]()})
        except Rejected as error:
            self.refused += 1
            return _line({"v": VERSION, "error": error.detail})
        except Exception as error:
            return _internal(error)

    async def _respond_in_time(self, line: bytes) -> bytes:
        """Like `respond`, for questions too: what went wrong is told, and the connection goes on."""
        try:
            request = _parse(line)
            question = self._questions[request["ask"]]
        except (Rejected, KeyError):
            return self.respond(line)
        try:
            return _line({"v": VERSION, "answer": await question(request)})
        except MeshtwinError as error:
            return _line({"v": VERSION, "error": str(error), "kind": type(error).__name__})
        except Exception as error:
            return _internal(error)


async def _hear_out(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take in, for a moment, what is still being said: a socket closed before loses its last answer."""
    left = HEARD_OUT_BYTES
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(HEARD_OUT_S):
            writer.write_eof()
            while left > 0 and (said := await reader.read(left)):
                left -= len(said)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Rejected(RejectReason.MALFORMED, "a request is one JSON object a line") from error
    if not isinstance(request, dict):
        raise Rejected(RejectReason.MALFORMED, "a request is one JSON object a line")
    if request.get("v") != VERSION or isinstance(request.get("v"), bool):
        raise Rejected(RejectReason.FOREIGN_VERSION, f"this agent speaks version {VERSION}")
    if not isinstance(request.get("ask"), str):
        raise Rejected(RejectReason.INVALID, '"ask" names what is wanted')
    return request


def _internal(error: Exception) -> bytes:
    """An answer's own bug must not end the interface that would show it; its details stay in the log."""
    _log.exception("api-answer-failed")
    return _line({"v": VERSION, "error": f"internal: {type(error).__name__}"})


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, default=str, separators=(",", ":")).encode() + b"\n"


def _clear_stale(path: Path) -> None:
    """Remove the socket of a dead agent; the instance lock says that no live one serves it.

    Raises Misconfigured for anything else in its place, which is not the agent's to remove.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Misconfigured(f"{path} is in the way of the agent's socket", f"move {path} elsewhere")
    path.unlink()
