"""Ending well: a stage that is told to stop by SIGTERM or a closed terminal ends as it does by Ctrl-C, and
none waits for threads that compute."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
STOPPED: Final = 130
T = TypeVar("T")


class _Threads(ThreadPoolExecutor):
    """The event loop's threads. Nobody can stop one; once told to stop, nobody waits for them either."""

    stopping = False

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait and not self.stopping, cancel_futures=cancel_futures or self.stopping)


def run(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, ended by SIGTERM and SIGHUP too. Raises KeyboardInterrupt when it was told to stop,
    after everything that `work` holds has been given back; then end the process by `leave`, as a thread of
    its may still compute."""
    try:
        return asyncio.run(_stoppable(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def leave(status: int = STOPPED) -> int:
    """Return `status`. Where a thread would keep the process from ending, it ends here and now, and so do
    the processes that it started: the thread will not give them back."""
    lingering = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    if not lingering:
        return status
    for child in _children():
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


async def _stoppable(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    assert task is not None
    threads, loop = _Threads(), asyncio.get_running_loop()
    loop.set_default_executor(threads)
    for number in SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        threads.stopping = True
        raise


def _children() -> Iterator[int]:
    """The processes that this one's threads started, and that still run."""
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            yield from map(int, task.read_text().split())
