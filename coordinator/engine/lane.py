"""One worker process and its pipe, as one thread of the parent uses it. Only `kill` is for other threads."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from threading import Lock
from typing import Any, Final, Literal

from common.errors import Unavailable
from coordinator.engine.engine import JobTooLong, WorkerDied
from coordinator.engine.worker import work

GRACE_S: Final = 2.0
_starting = Lock()


class Lane:
    """A worker that is started now. Spawned, not forked: it inherits no socket, no key and no lock."""

    def __init__(self, style: Literal["line", "json"] = "line", *, single: bool = True) -> None:
        """Raises Unavailable where no process can be started."""
        context = multiprocessing.get_context("spawn")
        self._pipe, its = context.Pipe()
        self._process = context.Process(target=work, args=(its, style, single), name="worker", daemon=True)
        try:
            with _starting, _deaf():
                self._process.start()
        except OSError as error:
            self._pipe.close()
            raise Unavailable(f"no process can be started for the work: {error.strerror}") from error
        finally:
            its.close()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def perform(self, message: bytes, limit_s: float | None) -> tuple[bool, Any]:
        """Have a job done: (went well, value or error).

        Raises WorkerDied, and JobTooLong after `limit_s` (None: never); then the lane is of no more use.
        """
        try:
            self._pipe.send_bytes(message)
            if not self._pipe.poll(limit_s):
                self.kill()
                raise JobTooLong(f"it took longer than {limit_s:.0f} s and was ended")
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise WorkerDied(f"the worker process {self._fate()}") from error
        return read(answer)

    def kill(self) -> None:
        """End it at once, from any thread."""
        self._process.kill()

    def end(self) -> None:
        """Let it go; it has nothing to do."""
        self._pipe.close()
        self._process.join(GRACE_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()

    def _fate(self) -> str:
        self._process.join(GRACE_S)
        code = self._process.exitcode
        if code == -signal.SIGKILL:
            return "was killed, maybe for want of memory"
        if code is not None and code < 0:
            return f"died of {signal.Signals(-code).name}"
        return f"ended with code {code}" if code is not None else "went silent"


def read(answer: bytes) -> tuple[bool, Any]:
    """What a worker answered: (went well, value or error)."""
    try:
        went_well, value = pickle.loads(answer)  # noqa: S301 - from a process that we started
    except Exception as error:
        return False, RuntimeError(f"its result cannot be read here: {type(error).__name__}: {error}")
    return went_well, value


@contextmanager
def _deaf() -> Iterator[None]:
    """No Ctrl-C for a process that is being started: it would die of it with a trace, before it can say that
    it does not care. The tracker first: it is started by the first process, and clears the mask."""
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
