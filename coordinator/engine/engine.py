"""What every engine offers: the interface of `concurrent.futures.Executor`, and a few words about itself.

Work is a function of a module with arguments that can be pickled, and what it does must be its result alone:
it may be cut off at any point, and a cluster that loses a worker begins it again on another.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar

from common.errors import TimedOut, Unavailable

P = ParamSpec("P")
R = TypeVar("R")


class WorkerDied(Unavailable, BrokenExecutor):
    """The process that did the work ended before it was done. The engine goes on with another."""


class JobTooLong(TimedOut):
    """The work took longer than any may, and was ended."""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """An engine as it stands. `workers` may be at work at once (0: as many as the cluster has), `alive` are;
    `refused` came while `most_waiting` waited already. `died` counts workers, the others count jobs."""

    kind: Literal["processes", "dask"]
    where: str
    workers: int
    alive: int
    running: int
    waiting: int
    most_waiting: int
    done: int
    failed: int
    refused: int
    died: int
    problem: str = ""


class Engine(Executor):
    """An executor that starts nothing before the first job. All methods are safe from any thread.

    A future may end with WorkerDied, JobTooLong, Unavailable (no cluster, closed), or with whatever the
    function raised.
    """

    @abstractmethod
    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Begin; at once, whatever has to be started. Raises Unavailable while too much waits already, or
        after the end; TypeError or PicklingError for what cannot be sent to another process."""

    @abstractmethod
    def describe(self) -> EngineStatus:
        """How it stands."""

    @abstractmethod
    def close(self) -> None:
        """End within moments, whatever is going on: what runs is cut off. Harmless to repeat."""

    def call(self, function: Callable[..., Any], *given: Any) -> Any:
        """`function(*given)`, waited for. Raises as the futures do."""
        try:
            return self.submit(function, *given).result()
        except CancelledError as error:
            raise Unavailable("the work was cancelled: the engine is ending") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not as executors do: nobody is left who would take a result.
        self.close()
