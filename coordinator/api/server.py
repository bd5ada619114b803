"""Serving the API on a Unix socket with mode 0600: whoever may open it is the operator."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from common.errors import Misconfigured

# sun_path of Linux, with its final zero.
_MAX_PATH_BYTES: Final = 107


class Server(uvicorn.Server):
    """uvicorn's server, which leaves signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process's entry point."""
        yield


async def serve(app: FastAPI, path: Path) -> None:
    """Serve `app` on the socket `path` until cancelled. The caller holds the single-instance lock.

    Raises Misconfigured when the socket cannot be made.
    """
    with _listening(path) as listener:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            log_level="warning",
            timeout_graceful_shutdown=2,
        )
        await serve_until_cancelled(Server(config), listener)


async def serve_until_cancelled(server: Server, listener: socket.socket) -> None:
    """Run `server` on `listener`; when cancelled, give its open requests the time of its configuration."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.serve(sockets=[listener]))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            server.should_exit = True
            await task
            raise


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise Misconfigured(
            f"the socket's path {path} is longer than {_MAX_PATH_BYTES} bytes",
            "set [api] socket to a shorter absolute path",
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _bind(listener, path)
        yield listener
    finally:
        listener.close()
        path.unlink(missing_ok=True)


def _bind(listener: socket.socket, path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        # The mode of the descriptor is the mode the file is born with: no moment of being open to others.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(path))
        path.chmod(0o600)
    except OSError as error:
        raise Misconfigured(
            f"the socket {path} cannot be made: {error}", "set [api] socket to a path that you can write"
        ) from error
