"""Waiting for what other processes do, which has no event to wait for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path


async def until(condition: Callable[[], bool | Awaitable[bool]], every: float = 0.003) -> None:
    """Return once `condition`, a function or a coroutine function, says so, asked each `every` seconds.

    Bound it with `asyncio.timeout`.
    """
    while True:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        await asyncio.sleep(every)


def listens(path: Path) -> bool:
    """Whether someone takes connections at a Unix socket. Its file appears before they do."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
