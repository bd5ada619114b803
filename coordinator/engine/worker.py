"""What a worker process does: one job after the other from a pipe, until the pipe or its parent ends.

Imports nothing heavy: a job brings its own. Shares nothing with its parent but that pipe.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any, Final, Literal

from common import __version__, logs
from common.errors import MeshtwinError, Unavailable

NICE: Final = 10
_THREADS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
_OF_THE_PARENT: Final = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID")


def work(connection: Connection, style: Literal["line", "json"], single: bool) -> None:
    """Serve the pipe. Each message is (function, arguments, keywords), each answer (went well, value or
    error). `single`: libraries below shall not start threads, for there is a worker for each processor."""
    settle(style, single=single)
    while True:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            connection.send(_done(message))
        except OSError:
            return
        except Exception as error:
            # A result that cannot be pickled, found before anything was sent.
            connection.send((False, _sendable(error)))


def settle(style: Literal["line", "json"], *, single: bool) -> None:
    """Make this process a worker: polite, deaf to Ctrl-C, and no longer alive than its parent."""
    # A terminal's Ctrl-C reaches every process of it; what becomes of the work is for the parent to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(NICE)
    for name in _OF_THE_PARENT:
        os.environ.pop(name, None)
    if single:
        os.environ.update(dict.fromkeys(_THREADS, "1"))
    logs.configure("warning", style)
    threading.Thread(target=end_with_parent, name="parent", daemon=True).start()


def answer(message: bytes, version: str) -> bytes:
    """A job's answer, for whoever carries it: on a cluster's worker, where `version` has to be this one's."""
    if version != __version__:
        error = Unavailable(f"the cluster's workers run meshtwin {__version__}, and this is {version}")
        return pickle.dumps((False, error))
    done = _done(message)
    try:
        return pickle.dumps(done)
    except Exception as error:
        return pickle.dumps((False, _sendable(error)))


def _done(message: bytes) -> tuple[bool, Any]:
    try:
        function, given, keywords = pickle.loads(message)  # noqa: S301 - our own parent's words
        return True, function(*given, **keywords)
    except Exception as error:
        return False, _sendable(error)


def _sendable(error: Exception) -> Exception:
    """The error, or one that says the same where it would not survive the way."""
    if not isinstance(error, MeshtwinError):
        error.add_note("".join(traceback.format_exception(error)).rstrip())
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was just pickled
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def end_with_parent() -> None:
    """End this process when its parent is gone; for a thread. While a job runs nobody looks at the pipe, and
    a process that holds both ends of its queue would wait for good."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
