"""What runs around a job in its own process, so that it can be cancelled at any point and outlives nobody.

Imports nothing heavy: the pool's process imports it first, and the job brings its own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common import logs
from common.errors import MeshtwinError
from coordinator.engine.worker import end_with_parent

NICE: Final = 10
GRACE_S: Final = 3.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Failure:
    """A job's own error in words: our exceptions do not survive pickling, and need not."""

    kind: str
    text: str


def guarded(function: Callable[[Any], Any], request: Any, cancel: Path) -> Any:
    """`function(request)`, or the Failure that it ended with.

    Ends the process when its parent has died, or when the file `cancel` exists and the job has not ended by
    itself `GRACE_S` later. Ctrl-C in a terminal is for the coordinator.
    """
    logs.configure("warning")
    # A pool of threads, or one in another's process, has no say in the process's priority and signals.
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
        threading.Thread(target=end_with_parent, name="parent", daemon=True).start()
        threading.Thread(target=_end_when_cancelled, args=(cancel,), name="cancel", daemon=True).start()
    try:
        return function(request)
    except MeshtwinError as error:
        return Failure(type(error).__name__, str(error))


def _end_when_cancelled(cancel: Path) -> None:
    while not cancel.exists():
        time.sleep(_POLL_S)
    time.sleep(GRACE_S)
    os._exit(1)
