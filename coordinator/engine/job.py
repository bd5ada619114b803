"""A job of an engine: what was asked for, as it travels to whoever does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any, Self


@dataclass(slots=True, eq=False)
class Job:
    """`message` is what `engine.worker` takes; `name` is the work's, for the log."""

    future: Future[Any]
    message: bytes
    name: str

    @classmethod
    def of(cls, function: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any]) -> Self:
        """Raises TypeError or PicklingError for what cannot be sent to another process."""
        message = bytes(ForkingPickler.dumps((function, tuple(given), dict(named))))
        return cls(Future(), message, getattr(function, "__qualname__", "work"))
