"""Ending well: a stage that is told to stop by SIGTERM or a closed terminal ends as it does by Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
STOPPED: Final = 130
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, ended by SIGTERM and SIGHUP too. Raises KeyboardInterrupt when it was told to stop,
    after everything that `work` holds has been given back."""
    try:
        return asyncio.run(_stoppable(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _stoppable(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    assert task is not None
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await work
